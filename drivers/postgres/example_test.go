package postgres_test

import (
	"fmt"

	"github.com/go-es/es/drivers/postgres"
)

// The tables, for those who create them themselves.
func ExampleConfig_SQL() {
	fmt.Println(postgres.Config{Schema: "shop", CheckOnly: true}.SQL()[:40])
	// Output:
	// BEGIN;
	// CREATE SCHEMA IF NOT EXISTS "shop
}

func ExampleParseDSN() {
	cfg, err := postgres.ParseDSN("postgres://me@localhost/db?schema=shop&prefix=orders&ddl=check&pool_max_conns=20")
	fmt.Println(cfg.Schema, cfg.Prefix, cfg.CheckOnly, cfg.Pool.MaxConns, err)
	// Output: shop orders true 20 <nil>
}
