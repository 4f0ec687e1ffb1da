// Package postgrestest holds the tests and benchmarks of drivers/postgres that need a server, or
// other modules than the driver.
package postgrestest
