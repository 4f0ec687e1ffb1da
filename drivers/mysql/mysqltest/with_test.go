package mysqltest

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
)

type noted struct{ Text string }

func (noted) EventType() string { return "noted" }

// Through package es: an application's own table and its events change in one
// commit, or neither does in a rollback.
func TestWithInTx(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		s := openStore(t, dsn)
		ctx := t.Context()
		execute(t, dsn, "CREATE TABLE accounts (name VARCHAR(20) PRIMARY KEY)")
		db := pool(t, dsn)
		store, err := es.New(s)
		must(t, err)
		for i, end := range []func(*sql.Tx) error{(*sql.Tx).Commit, (*sql.Tx).Rollback} {
			account, other := fmt.Sprint("account-", i), fmt.Sprint("other-", i)
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
			must(t, err)
			defer tx.Rollback()
			_, err = tx.Exec("INSERT INTO accounts VALUES (?)", account)
			must(t, err)
			in := store.With(s.InTx(tx))
			_, err = in.Append(ctx, account, es.NoStream, noted{"a"}, noted{"b"})
			must(t, err)
			_, err = in.Append(ctx, account, es.Exactly(2), noted{"c"})
			must(t, err)
			_, err = in.AppendAll(ctx, es.To(account, es.Any, noted{"d"}), es.To(other, es.NoStream, noted{"e"}), es.To("missing", es.NoStream))
			must(t, err)
			n := 0
			for _, err := range in.Read(ctx, account) { // its own
				must(t, err)
				n++
			}
			if n != 4 {
				t.Errorf("within the transaction there are %d events of 4", n)
			}
			if _, err := s.ReadStream(ctx, driver.StreamQuery{Stream: account}); !errors.Is(err, driver.ErrStreamNotFound) {
				t.Errorf("others see it before the end: %v", err)
			}
			must(t, end(tx))
		}
		var accounts string
		must(t, db.QueryRow("SELECT GROUP_CONCAT(name) FROM accounts").Scan(&accounts))
		if accounts != "account-0" {
			t.Errorf("the accounts are %q", accounts)
		}
		var got []string
		for _, rec := range feed(t, s) {
			got = append(got, fmt.Sprintf("%s@%d", rec.Stream, rec.Version))
		}
		if want := "[account-0@1 account-0@2 account-0@3 account-0@4 other-0@1]"; fmt.Sprint(got) != want {
			t.Errorf("the feed has %v, want %s", got, want)
		}
		// What was taken in the transaction that was undone is free.
		if _, err = store.Append(ctx, "account-1", es.NoStream, noted{"f"}); err != nil {
			t.Error(err)
		}
		if _, err = store.Append(ctx, "account-0", es.Exactly(4), noted{"g"}); err != nil {
			t.Error(err)
		}
	})
}
