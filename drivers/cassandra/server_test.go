package cassandra

import (
	"strings"
	"testing"
)

// What other servers say of themselves, and what is said of them.
func TestLookAlikes(t *testing.T) {
	names := func(s ...string) map[string]bool {
		m := map[string]bool{}
		for _, name := range s {
			m[name] = true
		}
		return m
	}
	for _, c := range []struct {
		server
		word string // of the refusal; empty: none
	}{
		{server{version: "5.0.5", cluster: "es", tables: names("local", "paxos")}, ""},
		{server{version: "4.0.11", cluster: "Test Cluster", tables: names("local", "paxos")}, ""},
		{server{version: "4.1.0-SNAPSHOT", tables: names("local")}, ""},
		{server{version: "3.0.8", cluster: "x", tables: names("local", "scylla_local")}, "ScyllaDB"},
		{server{version: "3.11.2", cluster: "Amazon Keyspaces", keyspaces: names("system_schema_mcs")}, "Amazon Keyspaces"},
		{server{version: "3.11.2", keyspaces: names("system", "system_schema_mcs")}, "Amazon Keyspaces"},
		{server{version: "3.11.0", cluster: "cosmosdb"}, "Cosmos"},
		{server{version: "3.9-SNAPSHOT", tables: names("partitions")}, "YugabyteDB"},
		{server{version: "3.11.19"}, "3.11.19"},
		{server{version: ""}, "version"},
	} {
		err := c.refusal()
		if (err == nil) != (c.word == "") || err != nil && !strings.Contains(err.Error(), c.word) {
			t.Errorf("%+v: %v, want %q", c.server, err, c.word)
		}
	}
}
