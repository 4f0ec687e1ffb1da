package mysql

import (
	"maps"
	"strings"
	"testing"
)

// A group of servers is refused where it has several primaries, or where a new primary
// answers before it has what the old one wrote.
func TestGroups(t *testing.T) {
	good := variables{"version": "8.0.36", "auto_increment_increment": "1", "innodb_flush_log_at_trx_commit": "1", "max_allowed_packet": "67108864"}
	const one, level = "group_replication_single_primary_mode", "group_replication_consistency"
	for _, c := range []struct {
		set  variables
		word string // of the error; "" if it is not refused
	}{
		{variables{}, ""},
		{variables{level: "EVENTUAL"}, ""}, // the plug-in is there, and no group
		{variables{"group_replication_group_name": "g", one: "OFF", level: "BEFORE"}, one},
		{variables{"group_replication_group_name": "g", one: "ON", level: "EVENTUAL"}, "EVENTUAL"},
		{variables{"group_replication_group_name": "g", one: "ON"}, level}, // before 8.0.14
		{variables{"group_replication_group_name": "g", one: "ON", level: "BEFORE_ON_PRIMARY_FAILOVER"}, ""},
		{variables{"group_replication_group_name": "g", one: "ON", level: "AFTER"}, ""},
	} {
		v := maps.Clone(good)
		maps.Copy(v, c.set)
		err := v.check(false)
		if c.word == "" && err != nil || c.word != "" && (err == nil || !strings.Contains(err.Error(), c.word)) {
			t.Errorf("%v: %v, want an error with %q", c.set, err, c.word)
		}
	}
}
