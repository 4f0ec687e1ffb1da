package cassandra_test

import (
	"fmt"
	"strings"

	"github.com/go-es/es/drivers/cassandra"
)

func ExampleParseDSN() {
	cfg, err := cassandra.ParseDSN("cassandra://me:secret@h1,h2:9042/shop?prefix=orders&ddl=check&dc=dc1&consistency=local_quorum&serial=local_serial")
	fmt.Println(cfg.Cluster.Hosts, cfg.Keyspace, cfg.Prefix, cfg.CheckOnly, cfg.DC, cfg.Local, err)
	// Output: [h1 h2] shop orders true dc1 true <nil>
}

// The tables, for those who create them themselves.
func ExampleConfig_CQL() {
	cql := cassandra.Config{Keyspace: "shop"}.CQL()
	for line := range strings.Lines(cql) {
		fmt.Println(strings.Join(strings.Fields(line)[:6], " "))
	}
	// Output:
	// CREATE TABLE IF NOT EXISTS "shop".es_meta
	// CREATE TABLE IF NOT EXISTS "shop".es_events
	// CREATE INDEX IF NOT EXISTS es_events_dirty
	// CREATE INDEX IF NOT EXISTS es_events_overdue
	// CREATE TABLE IF NOT EXISTS "shop".es_log
	// CREATE TABLE IF NOT EXISTS "shop".es_seqv
	// CREATE TABLE IF NOT EXISTS "shop".es_checkpoints
	// CREATE TABLE IF NOT EXISTS "shop".es_snapshots
	// INSERT INTO "shop".es_meta (key, version, bucket,
}
