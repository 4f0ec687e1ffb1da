package mongo_test

import (
	"fmt"

	"github.com/go-es/es/drivers/mongo"
)

func ExampleParseDSN() {
	cfg, err := mongo.ParseDSN("mongodb://me@db1,db2,db3/orders?replicaSet=rs0&prefix=shop&ddl=check&maxPoolSize=20")
	fmt.Println(cfg.Database, cfg.Prefix, cfg.CheckOnly, cfg.Client.Hosts, *cfg.Client.MaxPoolSize, err)
	// Output: orders shop true [db1 db2 db3] 20 <nil>
}
