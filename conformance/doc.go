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
// fails quotes the sentence, tells what it saw, and lists the last calls.
//
// go test -run 'TestConformance/feed' runs the checks of one area; -short spends
// less time on what depends on chance. Run it with -race. The flags of
// pgregory.net/rapid (-rapid.seed, -rapid.checks) reach the check that compares
// random sequences of calls with a model.
//
// Calls are made as package es makes them: requests pass driver.Check first, and
// an error for which driver.IsTransient holds makes the suite call again. Names
// and sizes adapt to the store's Caps; limits below 1 KiB an event or an append
// are not supported.
package conformance
