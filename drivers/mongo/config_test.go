package mongo_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	client "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mongo"
)

func TestParseDSN(t *testing.T) {
	const url = "mongodb://me:secret@localhost:27018/db"
	for _, test := range []struct {
		dsn  string
		want string // database, prefix, check only, settle
		err  string // a part of it
	}{
		{url, "db||false|0s", ""},
		{url + "?prefix=a_1&ddl=check&settle=3s&replicaSet=rs0", "db|a_1|true|3s", ""},
		{url + "?ddl=create&settle=-1s&w=majority&journal=true&readConcernLevel=majority&readPreference=primary", "db||false|-1s", ""},
		{"mongodb://a,b:1,c/my%2Ddb?replicaSet=rs0", "my-db||false|0s", ""},
		{url + "?prefix=" + strings.Repeat("a", 24), "db|" + strings.Repeat("a", 24) + "|false|0s", ""},
		{url + "?prefix=" + strings.Repeat("a", 25), "", "prefix"},
		{url + "?prefix=a-b", "", "prefix"},
		{url + "?prefix=A", "", "prefix"},
		{url + "?prefix=", "", "prefix"},
		{url + "?prefix=a&prefix=b", "", "twice"},
		{url + "?ddl=drop", "", "ddl=drop"},
		{url + "?settle=5", "", "settle=5"},
		{url + "?settle=0", "", "settle=0"},
		{url + "?w=0", "", "w=0"},
		{url + "?w=1", "", "w=1"},
		{url + "?w=2", "", "w=2"},
		{url + "?w=mine", "", "w=mine"},
		{url + "?journal=false", "", "journal"},
		{url + "?readConcernLevel=available", "", "readConcernLevel"},
		{url + "?readPreference=nearest", "", "readPreference"},
		{url + "?loadBalanced=true", "", "loadBalanced"},
		{url + "?maxPoolSize=secret", "", "maxPoolSize"},
		{url + "?authMechanism=secret", "", "connection string"},
		{"mongodb://me:secret@localhost/", "", "database"},
		{"mongodb://me:secret@localhost", "", "database"},
		{"mongodb://me:secret@localhost/?prefix=a", "", "database"},
		{"mongodb://me:secret@localhost/" + strings.Repeat("a", 64), "", "database"},
		{"mongodb://me:secret@localhost:port/db", "", "connection string"},
		{"mysql://me:secret@localhost/db", "", "mongodb://"},
		{"secret", "", "mongodb://"},
	} {
		cfg, err := mongo.ParseDSN(test.dsn)
		if test.err != "" {
			if !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", test.dsn, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", test.dsn, err)
			continue
		}
		if got := fmt.Sprintf("%s|%s|%v|%v", cfg.Database, cfg.Prefix, cfg.CheckOnly, cfg.Settle); got != test.want {
			t.Errorf("%q: %s, and not %s", test.dsn, got, test.want)
		}
	}
}

func TestInvalid(t *testing.T) {
	ctx := context.Background()
	opts := options.Client().ApplyURI("mongodb://me:secret@127.0.0.1:1/db?serverSelectionTimeoutMS=100")
	c, err := client.Connect(opts) // which connects when it is used
	if err != nil {
		t.Fatal(err)
	}
	defer c.Disconnect(ctx)
	for name, open := range map[string]func() (*mongo.Store, error){
		"Open without a client":   func() (*mongo.Store, error) { return mongo.Open(ctx, mongo.Config{Database: "db"}) },
		"Open without a database": func() (*mongo.Store, error) { return mongo.Open(ctx, mongo.Config{Client: opts}) },
		"New without a client":    func() (*mongo.Store, error) { return mongo.New(ctx, nil, mongo.Config{Database: "db"}) },
		"New without a database":  func() (*mongo.Store, error) { return mongo.New(ctx, c, mongo.Config{}) },
		"New with two":            func() (*mongo.Store, error) { return mongo.New(ctx, c, mongo.Config{Client: opts, Database: "db"}) },
		"New with a bad prefix":   func() (*mongo.Store, error) { return mongo.New(ctx, c, mongo.Config{Database: "db", Prefix: "-"}) },
	} {
		if s, err := open(); s != nil || !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if s, err := mongo.New(ctx, c, mongo.Config{Database: "db"}); s != nil || !driver.IsTransient(err) || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody listens: %v", err)
	}
}
