package postgrestest

import (
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Every statement finds what it looks for by an index, in tables of some size.
func TestPlans(t *testing.T) {
	p := opened(t, with(data(t, server(t)), "pool_max_conns=1"))
	ctx := t.Context()
	tables := []string{"streams", "events", "checkpoints", "snapshots"}
	run := func(text string) {
		t.Helper()
		for _, name := range append(tables, "positions") {
			text = strings.ReplaceAll(text, "{"+name+"}", table(p.dsn, name))
		}
		_, err := p.pool.Exec(ctx, text)
		must(t, err)
	}
	run("INSERT INTO {streams} SELECT 'stream-' || i, 10 FROM generate_series(1, 10000) i")
	run("INSERT INTO {events} SELECT nextval('{positions}'), 'stream-' || (i % 10000 + 1), i / 10000 + 1, gen_random_uuid(), 'noted', 'json', now(), NULL, NULL, convert_to(repeat('x', 100), 'UTF8') FROM generate_series(0, 99999) i")
	run("INSERT INTO {checkpoints} SELECT 'checkpoint-' || i, 1, 1, gen_random_uuid(), gen_random_uuid() FROM generate_series(1, 10000) i")
	run("INSERT INTO {snapshots} SELECT 'stream-' || i, 'state', 1, gen_random_uuid(), 'json', '' FROM generate_series(1, 10000) i")
	for _, name := range tables {
		run("ANALYZE {" + name + "}")
	}
	c, err := p.pool.Acquire(ctx)
	must(t, err)
	defer c.Release()
	rows, err := c.Query(ctx, "SELECT name, statement, cardinality(parameter_types) FROM pg_prepared_statements WHERE name LIKE 'es\\_%'")
	must(t, err)
	type prepared struct {
		name, text string
		params     int
	}
	var all []prepared
	for rows.Next() {
		var s prepared
		must(t, rows.Scan(&s.name, &s.text, &s.params))
		all = append(all, s)
	}
	must(t, rows.Err())
	if len(all) < 25 {
		t.Fatalf("%d statements are prepared: those of the store are not found", len(all))
	}
	scans := regexp.MustCompile(`Seq Scan on (es_\w+)`)
	// Without values, as a statement that is called often is planned.
	_, err = c.Exec(ctx, "SET plan_cache_mode = force_generic_plan")
	must(t, err)
	for _, s := range all {
		args := strings.TrimSuffix(strings.Repeat("NULL, ", s.params), ", ")
		if s.params > 0 {
			args = "(" + args + ")"
		}
		plan := explain(t, c, s.name+args)
		if m := scans.FindStringSubmatch(plan); m != nil || strings.Contains(plan, "Sort Key: e.position") {
			t.Errorf("%s:\n%s", s.text, plan)
		}
	}
	// With values, as its first calls are.
	_, err = c.Exec(ctx, "SET plan_cache_mode = force_custom_plan")
	must(t, err)
	for text, args := range map[string]string{
		"pg_postmaster_start_time(), NULL::text[], NULL::bytea, NULL::bytea, NULL::bigint)": "(50000, 1000, 0)",
		"ORDER BY e.version LIMIT":           "('stream-7', 1, 1000)",
		"ORDER BY e.version DESC LIMIT":      "('stream-7', 100, 10)",
		"p.position = $1 + p.n":              "(50000, 20000)",
		"starts_with(e.stream":               "(50000, 1000, 0, 70000, '{noted}', '{stream-7}')",
		"WHERE stream > $1 AND stream >= $2": "('', 'stream-7', 100)",
		"LEFT JOIN":                          "('{stream-7,stream-8}', '{1,1}', '{1,1}')",
	} {
		found := false
		for _, s := range all {
			if !strings.Contains(s.text, text) {
				continue
			}
			found = true
			plan := explain(t, c, s.name+args)
			if m := scans.FindStringSubmatch(plan); m != nil || strings.Contains(plan, "Sort Key: e.position") {
				t.Errorf("%s:\n%s", s.text, plan)
			}
		}
		if !found {
			t.Errorf("no statement has %q", text)
		}
	}
}

func explain(t *testing.T, c *pgxpool.Conn, call string) string {
	t.Helper()
	rows, err := c.Query(t.Context(), "EXPLAIN EXECUTE "+call)
	must(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	return strings.Join(lines, "\n")
}
