// Package memorytest holds the tests of drivers/memory that need package
// conformance, so that nobody who imports the driver gets their dependencies.
package memorytest
