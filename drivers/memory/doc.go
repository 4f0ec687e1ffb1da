// Package memory keeps events in the memory of the process: for tests, for
// examples, and as the model of what a driver looks like. It keeps every promise
// of package driver but the two that need a disk: nothing outlives the process,
// and nothing outlives the last open store of its data (A6, O2).
//
// The data source name is empty, for a store of its own, or a name of up to 255
// letters, digits, '-', '_' and '.': all stores of one process that are opened
// with one name share their data until the last of them is closed.
//
//	store, err := es.Open("memory", "")
//	store, err := es.New(memory.New())
//
// Events have positions 1, 2, 3 and so on, and the feed is filtered here. The
// limits are about those of the drivers for SQL databases: 1 MiB an event, 1,000
// events, 1,000 streams and 16 MiB an append, 16 MiB a snapshot. Each driver's own are
// in its documentation; those of MySQL are lower, and DynamoDB, Cassandra and MongoDB
// take fewer streams.
package memory
