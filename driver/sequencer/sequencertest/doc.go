// Package sequencertest holds a whole driver on top of package sequencer to the
// suite of package conformance. Its database is simulated, with no more than what
// databases without transactions have: writes of one item if it is absent or as it
// was, reads by key, and an index that lags behind. The driver is written to be
// read: one for such a database can begin as a copy of it.
package sequencertest
