package sqlitetest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
	"github.com/go-es/es/driver"
)

// These benchmarks put package es on this driver beside hand-written code on the
// raw client, in turns within one run. Each prints nanoseconds of both and x-raw,
// how many times as fast es is: 1 is as fast.

// side runs raw and es in turns of some milliseconds until the benchmark has
// enough. Both do n operations a call, and get the number of the call.
func side(b *testing.B, n int, raw, es func(call int)) {
	b.Helper()
	const turn = 20 * time.Millisecond
	var took [2]time.Duration
	var calls [2]int
	for b.Loop() {
		for i, f := range [2]func(int){raw, es} {
			for start := time.Now(); ; {
				f(calls[i])
				calls[i]++
				if d := time.Since(start); d >= turn {
					took[i] += d
					break
				}
			}
		}
	}
	perOp := func(i int) float64 { return float64(took[i]) / float64(calls[i]*n) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(perOp(0), "raw-ns/op")
	b.ReportMetric(perOp(1), "es-ns/op")
	b.ReportMetric(perOp(0)/perOp(1), "x-raw")
}

// deposited is an event of 190 bytes of JSON.
type deposited struct {
	Account   string `json:"account"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	Reference string `json:"reference"`
	Note      string `json:"note"`
}

func (deposited) EventType() string { return "account.deposited" }

func deposit(i int) deposited {
	return deposited{"4b2c8a6e-0000", int64(i), "EUR", "invoice 2024-0117", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklm"}
}

func openES(b *testing.B) *es.Store {
	b.Helper()
	s, err := es.Open("sqlite", filepath.Join(b.TempDir(), "es.db"))
	must(b, err)
	b.Cleanup(func() { must(b, s.Close()) })
	return s
}

// appendValues encodes and stores events as a hand-written program would.
func (r *rawStore) appendValues(ctx context.Context, stream string, base int, events ...deposited) error {
	if len(events) == 1 {
		return r.insertValue(ctx, r.insert.ExecContext, stream, base+1, events[0])
	}
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	st := tx.StmtContext(ctx, r.insert)
	for i, e := range events {
		if err := r.insertValue(ctx, st.ExecContext, stream, base+1+i, e); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func BenchmarkES(b *testing.B) {
	b.Run("fsync", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "f"))
		must(b, err)
		defer f.Close()
		for b.Loop() {
			_, err := f.WriteAt(make([]byte, 4096), 0)
			must(b, err)
			must(b, f.Sync())
		}
	})
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprintf("append/%d", n), func(b *testing.B) {
			r, s := openRaw(b), openES(b)
			raws := make([]deposited, n)
			events := make([]es.Event, n)
			for i := range n {
				raws[i], events[i] = deposit(i), deposit(i)
			}
			ctx := b.Context()
			side(b, 1, func(i int) {
				must(b, r.appendValues(ctx, fmt.Sprintf("account-%06d", i), 0, raws...))
			}, func(i int) {
				_, err := s.Append(ctx, fmt.Sprintf("account-%06d", i), es.NoStream, events...)
				must(b, err)
			})
		})
	}
	b.Run("append/16-writers", func(b *testing.B) {
		const writers, each = 16, 20
		r, s := openRaw(b), openES(b)
		ctx := b.Context()
		all := func(call int, write func(stream string, version int) error) {
			var wg sync.WaitGroup
			errs := make([]error, writers)
			for w := range writers {
				wg.Go(func() {
					stream := fmt.Sprintf("account-%06d", w)
					for i := range each {
						errs[w] = errors.Join(errs[w], write(stream, call*each+i))
					}
				})
			}
			wg.Wait()
			must(b, errors.Join(errs...))
		}
		side(b, writers*each, func(call int) {
			all(call, func(stream string, v int) error { return r.appendValues(ctx, stream, v, deposit(v)) })
		}, func(call int) {
			all(call, func(stream string, v int) error {
				_, err := s.Append(ctx, stream, es.Exactly(es.Version(v)), deposit(v))
				return err
			})
		})
	})
	const streams, each = 100, 1000
	r, s := openRaw(b), openES(b)
	fillBoth(b, r, s, streams, each)
	b.Run("read/1000", func(b *testing.B) {
		side(b, 1, func(i int) {
			sum, n := r.sumStream(b, fmt.Sprintf("account-%06d", i%streams))
			check(b, n, each, sum)
		}, func(i int) {
			var sum int64
			n := 0
			for rec, err := range s.Read(b.Context(), fmt.Sprintf("account-%06d", i%streams)) {
				must(b, err)
				e, err := es.As[deposited](rec)
				must(b, err)
				sum += e.Amount
				n++
			}
			check(b, n, each, sum)
		})
	})
	b.Run("feed/100000", func(b *testing.B) {
		side(b, 1, func(int) {
			sum, n := r.sumFeed(b)
			check(b, n, streams*each, sum/streams)
		}, func(int) {
			var sum int64
			n := 0
			for rec, err := range s.ReadAll(b.Context()) {
				must(b, err)
				e, err := es.As[deposited](rec)
				must(b, err)
				sum += e.Amount
				n++
			}
			check(b, n, streams*each, sum/streams)
		})
	})
	load := func(b *testing.B, events int) {
		repo := accounts.Repository(s)
		side(b, 1, func(i int) {
			sum, n := r.sumStream(b, fmt.Sprintf("account-%06d", i%streams))
			check(b, n, each, sum)
		}, func(i int) {
			a, err := repo.Load(b.Context(), fmt.Sprintf("%06d", i%streams))
			must(b, err)
			check(b, a.n, events, a.balance)
		})
	}
	b.Run("load/1000", func(b *testing.B) { load(b, each) })
	b.Run("load/1000-with-snapshot", func(b *testing.B) {
		repo := accounts.Repository(s, aggregate.SnapshotEvery(1))
		for i := range streams { // an event of 0 takes the snapshot
			_, err := repo.Update(b.Context(), fmt.Sprintf("%06d", i), func(a *account) error {
				return a.Raise(deposit(0))
			})
			must(b, err)
		}
		load(b, each+1)
	})
}

// account is an aggregate of deposits.
type account struct {
	aggregate.Root
	balance int64
	n       int
}

type accountState struct {
	Balance int64
	N       int
}

var accounts = aggregate.Define("account",
	aggregate.On(func(a *account, e deposited) {
		a.balance += e.Amount
		a.n++
	}),
	aggregate.Snapshot("v1",
		func(a *account) accountState { return accountState{a.balance, a.n} },
		func(a *account, s accountState) { a.balance, a.n = s.Balance, s.N }),
)

func check(b *testing.B, n, want int, sum int64) {
	b.Helper()
	if n != want || sum != 1000*999/2 {
		b.Fatalf("%d events, %d in all", n, sum)
	}
}

// fillBoth stores the same events in both, those of each stream far apart.
func fillBoth(b *testing.B, r *rawStore, s *es.Store, streams, each int) {
	b.Helper()
	_, err := r.db.Exec(`PRAGMA synchronous = OFF`)
	must(b, err)
	const n = 10
	for v := 0; v < each; v += n {
		raws, events := make([]deposited, n), make([]es.Event, n)
		for i := range n {
			raws[i], events[i] = deposit(v+i), deposit(v+i)
		}
		var parts []es.Part
		for i := range streams {
			stream := fmt.Sprintf("account-%06d", i)
			must(b, r.appendValues(b.Context(), stream, v, raws...))
			parts = append(parts, es.To(stream, es.Exactly(es.Version(v)), events...))
		}
		_, err := s.AppendAll(b.Context(), parts...)
		must(b, err)
	}
	_, err = r.db.Exec(`PRAGMA synchronous = FULL`)
	must(b, err)
}

func (r *rawStore) insertValue(ctx context.Context, exec func(context.Context, ...any) (sql.Result, error), stream string, version int, e deposited) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	now := time.Now()
	id := driver.NewID(now)
	_, err = exec(ctx, stream, version, id[:], e.EventType(), "json", now.UnixMicro(), nil, data)
	return err
}

func (r *rawStore) sumStream(b *testing.B, stream string) (sum int64, n int) {
	rows, err := r.readStream.QueryContext(b.Context(), stream, 0)
	must(b, err)
	defer rows.Close()
	for rows.Next() {
		var e rawEvent
		must(b, rows.Scan(&e.Position, &e.Version, &e.ID, &e.Type, &e.Encoding, &e.Time, &e.Metadata, &e.Data))
		var d deposited
		must(b, json.Unmarshal(e.Data, &d))
		sum += d.Amount
		n++
	}
	must(b, rows.Err())
	return sum, n
}

func (r *rawStore) sumFeed(b *testing.B) (sum int64, n int) {
	rows, err := r.readAll.QueryContext(b.Context(), 0)
	must(b, err)
	defer rows.Close()
	for rows.Next() {
		var e rawEvent
		must(b, rows.Scan(&e.Position, &e.Stream, &e.Version, &e.ID, &e.Type, &e.Encoding, &e.Time, &e.Metadata, &e.Data))
		var d deposited
		must(b, json.Unmarshal(e.Data, &d))
		sum += d.Amount
		n++
	}
	must(b, rows.Err())
	return sum, n
}
