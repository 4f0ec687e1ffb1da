// Package sqlitetest holds the tests of drivers/sqlite that need other modules,
// so that a program that imports the driver does not.
package sqlitetest
