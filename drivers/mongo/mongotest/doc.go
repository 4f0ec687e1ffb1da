// Package mongotest holds the tests and benchmarks of drivers/mongo that need a
// server, or other modules than the driver.
package mongotest
