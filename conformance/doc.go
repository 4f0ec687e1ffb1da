// Package conformance says whether a store keeps the promises of package
// driver. Each numbered sentence of that package's documentation has at least
// one check here that tries to break it. The author of a driver writes one test:
//
//	func TestConformance(t *testing.T) {
//		d, _ := driver.Lookup("sqlite")
//		conformance.Run(t, conformance.Config{
//			Open: d.Open,
//			DSN:  func(t conformance.TB) string { return filepath.Join(t.TempDir(), "es.db") },
//		})
//	}
//
// Every further field of [Config] lets more checks run; the report at the end of
// a run (go test -v) says which were skipped for want of what. A check that
// fails quotes the sentence, tells what it saw, and lists the last calls. Where
// the feed lost an event or returned it late, it tells when the event was appended,
// acknowledged, passed and returned, and draws the calls of that time.
//
// go test -run 'TestConformance/feed' runs the checks of one area; -short spends
// less time on what depends on chance. Run it with -race. The flags of
// pgregory.net/rapid (-rapid.seed, -rapid.checks) reach the check that compares
// random sequences of calls with a model.
//
// For nights there is -es.long: each check runs five times with new data, with
// twice the writers and many times the data, for ten times as long, and random
// sequences are tried for a minute each time. It takes ten to twenty minutes on
// memory and longer on a disk. Name the package of the test, as other binaries do
// not know the flag: go test -timeout 8h ./mydriver -es.long
//
// [Bench] measures a store, with the same Config. docs/writing-a-driver.md leads
// from an empty folder to a driver that passes.
//
// Calls are made as package es makes them: requests pass driver.Check first, and
// an error for which driver.IsTransient holds makes the suite call again. Names
// and sizes adapt to the store's Caps; limits below 1 KiB an event or an append
// are not supported.
//
// # The proof
//
// The suite is held to account by its own tests. go test -v ./conformance lists
// stores that are wrong on purpose, each with the checks that caught it and the
// sentence that they said it breaks, and runs every check on stores that are
// strange and legal. A check that catches no such store fails them, as does a
// sentence that none breaks. So does taking any check away:
//
//	go test -v ./conformance -run TestEveryCheckIsNeeded
//
// does that with each in turn.
package conformance
