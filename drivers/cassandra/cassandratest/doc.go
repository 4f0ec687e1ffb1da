// Package cassandratest holds the tests and benchmarks of drivers/cassandra that need a cluster,
// or other modules than the driver.
package cassandratest
