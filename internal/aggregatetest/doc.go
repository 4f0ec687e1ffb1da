// Package aggregatetest holds the tests of package aggregate that need a database.
package aggregatetest
