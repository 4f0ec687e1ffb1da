// Package dynamodbtest holds the tests and benchmarks of drivers/dynamodb that need a server, or
// other modules than the driver.
package dynamodbtest
