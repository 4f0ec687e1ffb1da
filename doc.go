// Package es stores events, on whatever database is there.
//
// An event store keeps streams of events. An event is a fact that was appended
// to a stream and never changes; the state of anything is computed from its
// stream. Package es is to event stores what database/sql is to databases: a
// program imports a driver for its side effect, opens a store by the driver's
// name, and gets a [Store] that behaves the same on every database.
//
//	import (
//		"github.com/go-es/es"
//		_ "github.com/go-es/es/drivers/sqlite"
//	)
//
//	store, err := es.Open("sqlite", "bank.db")
//
// # Writing
//
// [Store.Append] appends events to a stream, all or none, if the stream is at the
// version that the caller expects: [NoStream], an exact version, [Exists] or
// [Any]. A stream that is not gives a [*ConflictError], the same on every
// database. [Store.AppendAll] appends to several streams at once.
//
// An append whose acknowledgement is lost is settled by the store, by the ids of
// its events; what cannot be settled is an [*UnknownOutcomeError], whose Resend
// decides it without writing anything twice.
//
// # Reading
//
// [Store.Read] gives the events of one stream, [Store.ReadAll] those of all
// streams in one total order. [Store.Subscribe] and [Store.Pages] go on with what
// comes. None of them ever misses, repeats or reorders an event, however many
// processes write. A reader that keeps a [Checkpoint] goes on where it was.
//
// Events are decoded when they are asked for, by [As] or by the [Type] that
// describes them; a record that cannot be decoded stops nobody.
//
// # Encoding
//
// Events are encoded as JSON, or by another [Codec], may be compressed
// ([Compress]) and may be encrypted ([Encrypt]) by type and by subject, so that
// the data of one person can be made unreadable. Each record says how it was
// encoded, so all that was ever written stays readable when settings change.
//
// A Go type that changes reads what was stored before by an UnmarshalJSON of its own, an
// upcaster: see the example of that name. Data that fits no such type is an [ErrCorrupt]
// of the record.
//
// # Above
//
// Package aggregate holds domain objects whose state is made of events. Package
// keys holds keys for encryption. Package driver is the contract of drivers, and
// package conformance the tests that every driver passes.
package es
