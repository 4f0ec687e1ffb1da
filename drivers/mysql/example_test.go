package mysql_test

import (
	"fmt"
	"strings"

	"github.com/go-es/es/drivers/mysql"
)

// The tables, for those who create them themselves and open the store with
// ddl=check.
func ExampleSchema() {
	text, err := mysql.Schema("shop")
	if err != nil {
		fmt.Println(err)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "CREATE") {
			fmt.Print(line)
		}
	}
	// Output:
	// CREATE TABLE IF NOT EXISTS es_shop_meta (
	// CREATE TABLE IF NOT EXISTS es_shop_events (
	// CREATE TABLE IF NOT EXISTS es_shop_checkpoints (
	// CREATE TABLE IF NOT EXISTS es_shop_snapshots (
}

func ExampleParseDSN() {
	cfg, err := mysql.ParseDSN("mysql://ada:t0p%2Fsecret@db.example:3307/shop?prefix=orders&tls=skip-verify")
	fmt.Println(cfg.Client.Addr, cfg.Client.User, cfg.Client.DBName, cfg.Prefix, err)
	// Output:
	// db.example:3307 ada shop orders <nil>
}
