// Package mysqltest holds the tests of drivers/mysql that need other modules, so
// that a program that imports the driver does not.
package mysqltest
