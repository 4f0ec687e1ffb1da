package mongo

import (
	"context"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/go-es/es/driver"
)

// minWire is the protocol of MongoDB 5.0: from there on no server can be told to do
// without reads of what a majority has.
const minWire = 13

// checkServer refuses servers that cannot keep the store's promises.
func (s *Store) checkServer(ctx context.Context) error {
	var hello, build bson.Raw
	for command, to := range map[string]*bson.Raw{"hello": &hello, "buildInfo": &build} {
		doc, err := one(s.client.Database("admin").RunCommand(ctx, bson.D{{Key: command, Value: 1}}))
		if err != nil {
			return err
		}
		*to = doc
	}
	return checkServer(hello, build)
}

func checkServer(hello, build bson.Raw) error {
	if msg, _ := lookup(hello, "msg"); textOf(msg) == "isdbgrid" {
		return refused("the server is a mongos: a sharded collection can hold one _id twice, and mongos was not tried; name a replica set")
	}
	if cloud := lookAlike(hello); cloud != "" {
		return refused(cloud + " is not MongoDB: it lacks linearizable reads, and was not tried")
	}
	if ferret, ok := lookup(build, "ferretdb"); ok {
		v, _ := lookup(ferret.data, "version")
		if version := textOf(v); strings.HasPrefix(strings.TrimPrefix(version, "v"), "1.") {
			return refused("FerretDB " + version + " is too old: it needs 2.0 or later, with DocumentDB behind it")
		}
		return checkPrimary(hello)
	}
	e, _ := lookup(hello, "maxWireVersion")
	if wire, ok := e.number(); !ok || wire < minWire {
		v, _ := lookup(build, "version")
		return refused(fmt.Sprintf("the server is too old: version %s; it needs 5.0 or later, where reads of what a majority has cannot be switched off", textOf(v)))
	}
	if set, _ := lookup(hello, "setName"); textOf(set) == "" {
		return refused("the server is standalone: it shows what a crash may take back, and readers of the feed would have seen what never was; start it as a replica set of one (--replSet, rs.initiate())")
	}
	return checkPrimary(hello)
}

func checkPrimary(hello bson.Raw) error {
	if e, ok := lookup(hello, "isWritablePrimary"); !ok || e.kind != typeBoolean || e.data[0] == 0 {
		return driver.Transient(refused("the server is not the primary; name all members of the replica set, without directConnection"))
	}
	return nil
}

// lookAlike returns the name of a service that speaks the protocol and lacks what
// the store needs.
func lookAlike(hello bson.Raw) string {
	found := ""
	look := func(host string) {
		host, _, _ = strings.Cut(strings.ToLower(host), ":")
		switch {
		case strings.HasSuffix(host, ".docdb.amazonaws.com"), strings.HasSuffix(host, ".docdb-elastic.amazonaws.com"):
			found = "Amazon DocumentDB"
		case strings.HasSuffix(host, ".cosmos.azure.com"):
			found = "Azure Cosmos DB"
		}
	}
	each(hello, func(e element) bool {
		switch string(e.name) {
		case "me", "primary":
			look(textOf(e))
		case "hosts":
			each(e.data, func(e element) bool {
				look(textOf(e))
				return true
			})
		}
		return true
	})
	return found
}

func textOf(e element) string {
	b, _ := e.text()
	return string(b)
}

func refused(why string) error { return fmt.Errorf("es: mongo: %s", why) }
