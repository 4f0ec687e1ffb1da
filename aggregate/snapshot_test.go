package aggregate_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
	"github.com/go-es/es/driver"
)

// told keeps what OnSnapshotError is told.
type told struct {
	mu   sync.Mutex
	errs []error
}

func (t *told) tell(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errs = append(t.errs, err)
}

func (t *told) take() []error {
	t.mu.Lock()
	defer t.mu.Unlock()
	errs := t.errs
	t.errs = nil
	return errs
}

const kind = "account/v1"

// fill makes an account of n events with a snapshot at the last.
func fill(t testing.TB, repo *aggregate.Repository[Account], id string, n int) {
	t.Helper()
	for left := n; left > 0; left -= 500 {
		must[aggregate.Result](t)(repo.Update(t.Context(), id, func(a *Account) error {
			for range min(left, 500) {
				if err := a.Deposit(1); err != nil {
					return err
				}
			}
			return nil
		}, aggregate.OrNew()))
	}
}

func snapshotVersion(t testing.TB, store *es.Store, stream string) es.Version {
	t.Helper()
	snap, _, err := store.LoadSnapshot(t.Context(), stream, kind)
	if err != nil {
		t.Fatal(err)
	}
	return snap.Version
}

func TestSnapshotPolicy(t *testing.T) {
	for _, row := range []struct {
		every int
		want  []es.Version // after 1, 2, 3 … events, one at a time
	}{
		{1, []es.Version{1, 2, 3, 4, 5, 6, 7}},
		{3, []es.Version{0, 0, 3, 3, 3, 6, 6}},
		{100, []es.Version{0, 0, 0}},
	} {
		store, _ := newStore(t)
		var errs told
		accounts := Accounts.Repository(store, aggregate.SnapshotEvery(row.every), aggregate.OnSnapshotError(errs.tell))
		for i, want := range row.want {
			fill(t, accounts, "updated", 1)
			a, err := accounts.Load(t.Context(), "saved")
			if err != nil {
				a = Accounts.New("saved")
			}
			a.Deposit(1)
			must[aggregate.Result](t)(accounts.Save(t.Context(), a))
			must[[]aggregate.Result](t)(aggregate.Atomically(t.Context(), store, func(tx *aggregate.Tx) error {
				a, err := aggregate.GetOrNew(tx, Accounts, "atomically")
				return errors.Join(err, a.Deposit(1))
			}, aggregate.SnapshotEvery(row.every), aggregate.OnSnapshotError(errs.tell)))
			for _, id := range []string{"updated", "saved", "atomically"} {
				if got := snapshotVersion(t, store, Accounts.Stream(id)); got != want {
					t.Errorf("every %d: %s at version %d: the snapshot is at %d, want %d", row.every, id, i+1, got, want)
				}
				if a := must[*Account](t)(accounts.Load(t.Context(), id)); a.Balance != int64(i+1) || a.Version() != es.Version(i+1) {
					t.Errorf("every %d: %s: balance %d at version %d", row.every, id, a.Balance, a.Version())
				}
			}
		}
		if e := errs.take(); len(e) > 0 {
			t.Errorf("every %d: %v", row.every, e)
		}
	}
}

// A load with a snapshot reads the snapshot's event and those after it, no more.
func TestSnapshotSparesReading(t *testing.T) {
	store, f := newStore(t)
	accounts := Accounts.Repository(store, aggregate.SnapshotEvery(1000))
	fill(t, accounts, "1", 1000)
	fill(t, accounts, "1", 2)
	for _, row := range []struct {
		at      es.Version // 0: the last
		read    int
		balance int64
	}{
		{0, 3, 1002}, {1002, 3, 1002}, {1001, 2, 1001}, {1000, 1, 1000}, {999, 999, 999}, {2, 2, 2},
	} {
		f.read, f.reads = 0, 0
		a, err := accounts.Load(t.Context(), "1")
		if row.at > 0 {
			f.read, f.reads = 0, 0
			a, err = accounts.LoadAt(t.Context(), "1", row.at)
		}
		if err != nil || f.read != row.read || f.reads != 1 || a.Balance != row.balance {
			t.Errorf("at %d: read %d events in %d calls, want %d in 1; balance %d, %v", row.at, f.read, f.reads, row.read, a.Balance, err)
		}
	}
	f.read, f.reads = 0, 0
	must[aggregate.Result](t)(accounts.Update(t.Context(), "1", deposit(1)))
	if f.read != 3 || f.reads != 1 {
		t.Errorf("an update read %d events in %d calls", f.read, f.reads)
	}
}

// A snapshot that is of no use is no snapshot, and is replaced.
func TestUselessSnapshots(t *testing.T) {
	type save struct {
		snap  es.Snapshot
		state any
	}
	for _, row := range []struct {
		name    string
		save    save
		told    string
		deleted bool
	}{
		{"another event there", save{es.Snapshot{Version: 2, EventID: es.ID{7}}, accountState{Balance: 1000}}, `ends with an event that the stream does not have there: it is deleted`, true},
		{"beyond the head", save{es.Snapshot{Version: 9, EventID: es.ID{7}}, accountState{Balance: 1000}}, `ends with an event that the stream does not have there: it is deleted`, true},
		{"cannot be decoded", save{es.Snapshot{Version: 3, EventID: es.ID{7}}, "text"}, `cannot be decoded`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			store, _ := newStore(t)
			var errs told
			accounts := Accounts.Repository(store, aggregate.SnapshotEvery(2), aggregate.OnSnapshotError(errs.tell))
			plain := Accounts.Repository(store)
			fill(t, plain, "1", 3)
			s := row.save.snap
			s.Stream, s.Kind = "account-1", kind
			if err := store.SaveSnapshot(t.Context(), s, row.save.state, es.SnapshotSettings{}); err != nil {
				t.Fatal(err)
			}
			a := must[*Account](t)(accounts.Load(t.Context(), "1"))
			if a.Balance != 3 || a.Version() != 3 {
				t.Errorf("balance %d at version %d", a.Balance, a.Version())
			}
			got := errs.take()
			if len(got) != 1 || !strings.Contains(got[0].Error(), row.told) {
				t.Errorf("told %v", got)
			}
			if v := snapshotVersion(t, store, "account-1"); (v == 0) != row.deleted {
				t.Errorf("the snapshot is at version %d", v)
			}
			fill(t, accounts, "1", 1)
			if v := snapshotVersion(t, store, "account-1"); v != 4 {
				t.Errorf("the next snapshot is at version %d", v)
			}
			errs.take()
			if a := must[*Account](t)(accounts.Load(t.Context(), "1")); a.Balance != 4 || len(errs.take()) > 0 {
				t.Errorf("balance %d", a.Balance)
			}
		})
	}
}

// A snapshot of a stream that is not there any more is not used either.
func TestSnapshotWithoutStream(t *testing.T) {
	store, _ := newStore(t)
	s := es.Snapshot{Stream: "account-1", Kind: kind, Version: 1, EventID: es.ID{7}}
	if err := store.SaveSnapshot(t.Context(), s, accountState{Balance: 1000}, es.SnapshotSettings{}); err != nil {
		t.Fatal(err)
	}
	accounts := Accounts.Repository(store)
	if _, err := accounts.Load(t.Context(), "1"); !errors.Is(err, es.ErrStreamNotFound) {
		t.Errorf("load: %v", err)
	}
	if v := snapshotVersion(t, store, "account-1"); v != 0 {
		t.Errorf("the snapshot is at version %d", v)
	}
	fill(t, accounts, "1", 1)
	if a := must[*Account](t)(accounts.Load(t.Context(), "1")); a.Balance != 1 {
		t.Errorf("balance %d", a.Balance)
	}
}

// A snapshot that cannot be written fails nothing.
func TestSnapshotThatCannotBeWritten(t *testing.T) {
	store, f := newStore(t)
	full := errors.New("disk full")
	f.beforeSave = func(driver.Snapshot) error { return full }
	var errs told
	accounts := Accounts.Repository(store, aggregate.SnapshotEvery(1), aggregate.OnSnapshotError(errs.tell))
	fill(t, accounts, "1", 1)
	if got := errs.take(); len(got) != 1 || !errors.Is(got[0], full) {
		t.Errorf("told %v", got)
	}
	fill(t, Accounts.Repository(store, aggregate.SnapshotEvery(1)), "1", 1) // nobody is told
	f.beforeSave = nil
	fill(t, accounts, "1", 1)
	if v := snapshotVersion(t, store, "account-1"); v != 3 || len(errs.take()) > 0 {
		t.Errorf("the snapshot is at version %d", v)
	}
}

// noSnapshots is a driver's store that keeps no snapshots.
type noSnapshots struct{ driver.Store }

func TestStoreWithoutSnapshots(t *testing.T) {
	_, f := newStore(t)
	store, err := es.New(noSnapshots{f})
	if err != nil {
		t.Fatal(err)
	}
	var errs told
	accounts := Accounts.Repository(store, aggregate.SnapshotEvery(2), aggregate.OnSnapshotError(errs.tell))
	fill(t, accounts, "1", 3)
	if got := errs.take(); len(got) != 1 || !errors.Is(got[0], errors.ErrUnsupported) {
		t.Errorf("told %v", got)
	}
	f.read = 0
	fill(t, accounts, "1", 1)
	if f.read != 3 {
		t.Errorf("an update of 3 events read %d", f.read)
	}
	if a := must[*Account](t)(accounts.Load(t.Context(), "1")); a.Balance != 4 {
		t.Errorf("balance %d", a.Balance)
	}
}

// What is appended within a transaction of the caller's may be undone: a snapshot
// of it would outlive it.
func TestNoSnapshotInATransaction(t *testing.T) {
	store, f := newStore(t)
	accounts := Accounts.Repository(store.With(f), aggregate.SnapshotEvery(1))
	fill(t, accounts, "1", 3)
	if v := snapshotVersion(t, store, "account-1"); v != 0 {
		t.Errorf("there is a snapshot at version %d", v)
	}
}

// A snapshot with another version name is another snapshot.
func TestSnapshotOfAnotherVersion(t *testing.T) {
	store, f := newStore(t)
	fill(t, Accounts.Repository(store, aggregate.SnapshotEvery(1)), "1", 5)
	restarted, err := es.New(f) // with a program that has another definition
	if err != nil {
		t.Fatal(err)
	}
	v2 := aggregate.Define("account",
		aggregate.On(func(a *Account, e Deposited) { a.Balance += 2 * e.Amount }),
		aggregate.Snapshot("v2", func(a *Account) int64 { return a.Balance }, func(a *Account, s int64) { a.Balance = s }))
	repo := v2.Repository(restarted, aggregate.SnapshotEvery(1))
	if a := must[*Account](t)(repo.Load(t.Context(), "1")); a.Balance != 10 {
		t.Errorf("balance %d", a.Balance)
	}
	must[aggregate.Result](t)(repo.Update(t.Context(), "1", deposit(1)))
	f.read = 0
	if a := must[*Account](t)(repo.Load(t.Context(), "1")); a.Balance != 12 || f.read != 1 {
		t.Errorf("balance %d, %d events read", a.Balance, f.read)
	}
}

// A snapshot is what the stored events say, whatever was raised here: another
// process ran the same command first, and its amount was another.
func TestSnapshotIsOfStoredEvents(t *testing.T) {
	store, f := newStore(t)
	fill(t, Accounts.Repository(store), "1", 2)
	accounts := Accounts.Repository(store, aggregate.SnapshotEvery(1))
	other := must[*es.Store](t)(es.New(f.Store))
	f.beforeAppend = func(driver.AppendRequest) error {
		_, err := Accounts.Repository(other).Update(t.Context(), "1", deposit(1000), aggregate.CommandID("c"))
		return err
	}
	must[aggregate.Result](t)(accounts.Update(t.Context(), "1", deposit(7), aggregate.CommandID("c")))
	f.beforeAppend = nil
	if v := snapshotVersion(t, store, "account-1"); v != 3 {
		t.Errorf("the snapshot is at version %d", v)
	}
	if a := must[*Account](t)(accounts.Load(t.Context(), "1")); a.Balance != 1002 {
		t.Errorf("balance %d", a.Balance)
	}
}

// The entities of an aggregate come back from a snapshot as from the events.
func TestSnapshotOfEntities(t *testing.T) {
	store, _ := newStore(t)
	orders := Orders.Repository(store, aggregate.SnapshotEvery(1))
	must[aggregate.Result](t)(orders.Create(t.Context(), "1", func(o *Order) error { return errors.Join(o.Add("pen", 1), o.Add("ink", 2)) }))
	must[aggregate.Result](t)(orders.Update(t.Context(), "1", func(o *Order) error {
		l, err := o.Line("pen")
		if err != nil {
			return err
		}
		return l.SetQuantity(7)
	}))
	if o := must[*Order](t)(orders.Load(t.Context(), "1")); o.String() != "2×ink 7×pen" || o.Version() != 3 {
		t.Errorf("%v at version %d", o, o.Version())
	}
}

// keyring is keys by subject, which can be deleted.
type keyring struct {
	mu      sync.Mutex
	keys    map[string]es.AEAD
	deleted map[string]bool
}

type gcm struct{ cipher.AEAD }

func (g gcm) Encrypt(plain, associated []byte) ([]byte, error) {
	return g.Seal(nil, nil, plain, associated), nil
}

func (g gcm) Decrypt(box, associated []byte) ([]byte, error) {
	return g.Open(nil, nil, box, associated)
}

func (k *keyring) Key(_ context.Context, subject string, create bool) (es.AEAD, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.deleted[subject]:
		return nil, es.ErrShredded
	case k.keys[subject] == nil && !create:
		return nil, es.ErrNoKey
	case k.keys[subject] == nil:
		var secret [32]byte
		copy(secret[:], subject)
		block, err := aes.NewCipher(secret[:])
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		if k.keys == nil {
			k.keys = map[string]es.AEAD{}
		}
		k.keys[subject] = gcm{aead}
	}
	return k.keys[subject], nil
}

func (k *keyring) shred(subject string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.deleted == nil {
		k.deleted = map[string]bool{}
	}
	k.deleted[subject] = true
}

func TestSnapshotsAreEncrypted(t *testing.T) {
	byType := func(subjects map[string]string) es.Rule {
		return func(_, typ string) (string, bool) {
			s, ok := subjects[typ]
			return s, ok
		}
	}
	for _, row := range []struct {
		name    string
		before  es.Rule // under which the first events are written
		now     es.Rule
		subject string // of the snapshot; "": in plain text; "-": there is none
	}{
		{"nothing", nil, nil, ""},
		{"all", es.EncryptAll(), es.EncryptAll(), "account-1"},
		{"one type, not of the events", nil, es.EncryptTypes("account.opened"), "account-1"},
		{"a type of others", nil, es.EncryptTypes("other"), ""},
		{"earlier events", es.EncryptTypes("account.deposited"), nil, "account-1"},
		{"two subjects by type", nil, byType(map[string]string{"account.opened": "a", "account.deposited": "b"}), "-"},
		{"one subject by type", nil, byType(map[string]string{"account.opened": "a", "account.deposited": "a"}), "a"},
		{"another subject than earlier", byType(map[string]string{"account.deposited": "a"}), byType(map[string]string{"account.deposited": "b"}), "-"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, f := newStore(t)
			keys := &keyring{}
			open := func(rule es.Rule) *es.Store { return must[*es.Store](t)(es.New(f, es.Encrypt(keys, rule))) }
			fill(t, Accounts.Repository(open(row.before)), "1", 2)
			store := open(row.now)
			var errs told
			accounts := Accounts.Repository(store, aggregate.SnapshotEvery(1), aggregate.OnSnapshotError(errs.tell))
			for i := range 3 { // the later ones load the snapshot
				fill(t, accounts, "1", 1)
				snap, ok, err := store.LoadSnapshot(t.Context(), "account-1", kind)
				subject, encrypted := snap.Subject()
				if err != nil || ok != (row.subject != "-") || ok && subject != row.subject || encrypted != (ok && row.subject != "") {
					t.Errorf("%d: there is one: %v, encrypted: %v, for %q; %v", i, ok, encrypted, subject, err)
				}
				raw := must[driver.Snapshot](t)(f.LoadSnapshot(t.Context(), "account-1", kind))
				if plain := strings.Contains(string(raw.Data), "Balance"); plain != (ok && row.subject == "") {
					t.Errorf("%d: in plain text: %v", i, plain)
				}
			}
			if a := must[*Account](t)(accounts.Load(t.Context(), "1")); a.Balance != 5 || len(errs.take()) > 0 {
				t.Errorf("balance %d", a.Balance)
			}
		})
	}
}

// Person is an aggregate with data that can be shredded.
type Person struct {
	aggregate.Root
	Name      string
	Visits    int
	Forgotten []string
}

type SignedUp struct{ Name string }

type Visited struct{}

func (SignedUp) EventType() string { return "person.signed_up" }
func (Visited) EventType() string  { return "person.visited" }

func people(options ...aggregate.Option[Person]) *aggregate.Definition[Person] {
	return aggregate.Define("person", append(options,
		aggregate.On(func(p *Person, e SignedUp) { p.Name = e.Name }),
		aggregate.On(func(p *Person, e Visited) { p.Visits++ }),
		aggregate.Snapshot("v1", func(p *Person) Person2 { return Person2{p.Name, p.Visits} },
			func(p *Person, s Person2) { p.Name, p.Visits = s.Name, s.Visits }))...)
}

type Person2 struct {
	Name   string
	Visits int
}

func TestShredded(t *testing.T) {
	_, f := newStore(t)
	var keys keyring
	open := func() *es.Store {
		return must[*es.Store](t)(es.New(f, es.Encrypt(&keys, es.EncryptTypes("person.signed_up"))))
	}
	strict := people().Repository(open(), aggregate.SnapshotEvery(1))
	must[aggregate.Result](t)(strict.Create(t.Context(), "1", func(p *Person) error { return errors.Join(p.Raise(SignedUp{"Ada"}), p.Raise(Visited{})) }))
	if p := must[*Person](t)(strict.Load(t.Context(), "1")); p.Name != "Ada" || p.Visits != 1 {
		t.Fatalf("%+v", p)
	}
	keys.shred("person-1")

	_, err := strict.Load(t.Context(), "1")
	if !errors.Is(err, es.ErrShredded) || !strings.HasPrefix(text(err), `es: load person "1" at version 1: event 1 of stream "person-1" (type "person.signed_up", position 1): `) {
		t.Errorf("without OnShredded: %v", err)
	}
	var errs told
	lenient := people(aggregate.OnShredded(func(p *Person, rec es.Record) {
		p.Forgotten = append(p.Forgotten, fmt.Sprint(rec.Type, " ", rec.Version))
		p.Name = "somebody"
	})).Repository(open(), aggregate.SnapshotEvery(1), aggregate.OnSnapshotError(errs.tell))
	must[aggregate.Result](t)(lenient.Update(t.Context(), "1", func(p *Person) error { return p.Raise(Visited{}) }))
	p := must[*Person](t)(lenient.Load(t.Context(), "1"))
	if p.Name != "somebody" || p.Visits != 2 || p.Version() != 3 || strings.Join(p.Forgotten, ",") != "person.signed_up 1" {
		t.Errorf("%+v at version %d", p, p.Version())
	}
	for _, err := range errs.take() { // the snapshot that was there, and the one that was to be
		if !errors.Is(err, es.ErrShredded) {
			t.Errorf("told %v", err)
		}
	}
	if _, err := lenient.Update(t.Context(), "1", func(p *Person) error { return p.Raise(SignedUp{"Ada"}) }); !errors.Is(err, es.ErrShredded) {
		t.Errorf("a new event for a subject that was forgotten: %v", err)
	}
}

// An aggregate that cannot have a snapshot is not loaded for one at every save.
func TestNoLoadForASnapshotThatCannotBe(t *testing.T) {
	const events, updates = 500, 10
	byType := func(_, typ string) (string, bool) { return typ, true }
	forget := aggregate.OnShredded(func(p *Person, rec es.Record) { p.Forgotten = append(p.Forgotten, rec.Type) })
	for _, row := range []struct {
		name   string
		before es.Rule // under which the first events are written
		now    es.Rule
		shred  string
		told   int // how often OnSnapshotError is called by all updates
	}{
		{"two subjects by the rule", nil, byType, "", 0},
		{"another subject than earlier", es.EncryptAll(), byType, "", 0},
		{"two subjects of stored events", byType, nil, "", 0},
		{"shredded", es.EncryptTypes("person.signed_up"), es.EncryptTypes("person.signed_up"), "person-1", 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, f := newStore(t)
			var keys keyring
			read := 0
			open := func(rule es.Rule) *es.Store {
				return must[*es.Store](t)(es.New(f, es.Encrypt(&keys, rule), es.WithHooks(es.Hooks{
					End: func(_ context.Context, op es.Op, out es.OpResult) {
						if op.Name == "read" {
							read += out.Events
						}
					},
				})))
			}
			visit := func(n int) func(*Person) error {
				return func(p *Person) (err error) {
					for range n {
						err = errors.Join(err, p.Raise(Visited{}))
					}
					return err
				}
			}
			def := people(forget)
			first := def.Repository(open(row.before), aggregate.SnapshotEvery(events))
			must[aggregate.Result](t)(first.Create(t.Context(), "1", func(p *Person) error { return p.Raise(SignedUp{"Ada"}) }))
			must[aggregate.Result](t)(first.Update(t.Context(), "1", visit(events-1)))
			had := must[driver.Snapshot](t)(f.LoadSnapshot(t.Context(), "person-1", "person/v1")).Version > 0
			if want := row.name != "two subjects of stored events"; had != want {
				t.Fatalf("a snapshot was taken before: %v", had)
			}
			if row.shred == "" && had {
				if err := f.DeleteSnapshot(t.Context(), "person-1", "person/v1"); err != nil {
					t.Fatal(err)
				}
			}
			keys.shred(row.shred)
			var errs told
			repo := def.Repository(open(row.now), aggregate.SnapshotEvery(1), aggregate.OnSnapshotError(errs.tell))
			read = 0
			want := 0
			for i := range updates {
				must[aggregate.Result](t)(repo.Update(t.Context(), "1", visit(1)))
				want += events + i
			}
			if read != want {
				t.Errorf("%d updates read %d events, want %d: each the stream once", updates, read, want)
			}
			if got := errs.take(); len(got) != row.told {
				t.Errorf("told %v", got)
			}
			if s := must[driver.Snapshot](t)(f.LoadSnapshot(t.Context(), "person-1", "person/v1")); s.Version != 0 {
				t.Errorf("there is a snapshot at version %d", s.Version)
			}
		})
	}
}

// What is wrong with a snapshot is told once an update, not once for each time that
// the update comes across it.
func TestSnapshotErrorsAreToldOnce(t *testing.T) {
	store, f := newStore(t)
	fill(t, Accounts.Repository(store), "1", 3)
	full := errors.New("disk full")
	s := es.Snapshot{Stream: "account-1", Kind: kind, Version: 3, EventID: es.ID{7}}
	if err := store.SaveSnapshot(t.Context(), s, "text", es.SnapshotSettings{}); err != nil {
		t.Fatal(err)
	}
	f.beforeSave = func(driver.Snapshot) error { return full }
	var errs told
	fill(t, Accounts.Repository(store, aggregate.SnapshotEvery(1), aggregate.OnSnapshotError(errs.tell)), "1", 1)
	if got := errs.take(); len(got) != 2 || !strings.Contains(got[0].Error(), "cannot be decoded") || !errors.Is(got[1], full) {
		t.Errorf("told %v", got)
	}
}

// Whoever can write to the database, and has no key, cannot make up a state.
func TestPlainSnapshotsAreRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		before es.Rule // under which the events are written
		now    es.Rule
		used   bool
	}{
		{"no encryption", nil, nil, true},
		{"a type of others is encrypted", nil, es.EncryptTypes("other"), true},
		{"all is encrypted", es.EncryptAll(), es.EncryptAll(), false},
		{"a type of the definition is encrypted", nil, es.EncryptTypes("account.opened"), false},
		{"the events are encrypted", es.EncryptAll(), nil, false},
	} {
		for _, at := range []es.Version{3, 5} { // of 5
			for _, command := range []string{"", "c"} {
				name := fmt.Sprintf("%s, at %d, command %q", row.name, at, command)
				_, f := newStore(t)
				var keys keyring
				open := func(rule es.Rule) *es.Store { return must[*es.Store](t)(es.New(f, es.Encrypt(&keys, rule))) }
				before := open(row.before)
				fill(t, Accounts.Repository(before), "1", 5)
				forged := es.Snapshot{Stream: "account-1", Kind: kind, Version: at, EventID: records(t, before, "account-1")[at-1].ID}
				if err := before.SaveSnapshot(t.Context(), forged, accountState{Balance: 1000}, es.SnapshotSettings{}); err != nil {
					t.Fatal(err)
				}
				var errs told
				accounts := Accounts.Repository(open(row.now), aggregate.OnSnapshotError(errs.tell))
				var options []aggregate.UpdateOption
				if command != "" {
					options = append(options, aggregate.CommandID(command))
				}
				want := int64(5)
				if row.used {
					want = 1000 + 5 - int64(at)
				}
				must[aggregate.Result](t)(accounts.Update(t.Context(), "1", func(a *Account) error {
					if a.Balance != want || a.Version() != 5 {
						t.Errorf("%s: balance %d at version %d, want %d", name, a.Balance, a.Version(), want)
					}
					return nil
				}, options...))
				got := errs.take()
				if refused := len(got) == 1 && strings.Contains(got[0].Error(), "in plain text"); refused == row.used || len(got) > 1 {
					t.Errorf("%s: told %v", name, got)
				}
				if there := snapshotVersion(t, before, "account-1") > 0; there != row.used {
					t.Errorf("%s: the snapshot is still there: %v", name, there)
				}
			}
		}
	}
}
