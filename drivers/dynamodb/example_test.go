package dynamodb_test

import (
	"fmt"

	"github.com/go-es/es/drivers/dynamodb"
)

func ExampleParseDSN() {
	cfg, err := dynamodb.ParseDSN("dynamodb://eu-west-1/orders?profile=shop&ddl=check")
	fmt.Println(cfg.Region, cfg.Table, cfg.Profile, cfg.CheckOnly, err)
	// Output: eu-west-1 orders shop true <nil>
}

// The table, for those who create it themselves.
func ExampleConfig_CreateTable() {
	in := dynamodb.Config{Table: "orders"}.CreateTable()
	fmt.Println(*in.TableName, in.BillingMode, *in.GlobalSecondaryIndexes[0].IndexName)
	// Output: orders PAY_PER_REQUEST dirty
}
