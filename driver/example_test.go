package driver_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/go-es/es/driver"
)

// What an Append of a store with one part comes down to: read the state of the
// stream, let Decide decide, write. A real store does all of it in one
// transaction.
func ExampleDecide() {
	streams := map[string][]driver.Record{}
	appendTo := func(req driver.AppendRequest) (driver.AppendResult, error) {
		p := req.Parts[0]
		stream := streams[p.Stream]
		states := []driver.StreamState{{Head: driver.Version(len(stream))}}
		write, result, err := driver.Decide(req, states, func(int) (driver.Position, bool, error) {
			base, _ := p.Expected.Exact()
			there := stream[base : int(base)+len(p.Records)] // Decide knows that so many are there
			same := slices.EqualFunc(there, p.Records, func(a, b driver.Record) bool { return a.ID == b.ID })
			return 0, same, nil
		})
		if !write {
			return result, err
		}
		streams[p.Stream] = append(stream, p.Records...)
		first := driver.Version(len(stream) + 1)
		last := driver.Version(len(stream) + len(p.Records))
		return driver.AppendResult{Parts: []driver.Appended{{First: first, Last: last}}}, nil
	}

	opened := driver.Record{ID: driver.ID{1}, Type: "account.opened"}
	closed := driver.Record{ID: driver.ID{2}, Type: "account.closed"}
	first := driver.AppendRequest{Parts: []driver.Part{{Stream: "account-42", Expected: driver.NoStream, Records: []driver.Record{opened}}}}
	other := driver.AppendRequest{Parts: []driver.Part{{Stream: "account-42", Expected: driver.NoStream, Records: []driver.Record{closed}}}}
	fmt.Println(appendTo(first))
	fmt.Println(appendTo(first)) // the same ids at the same version: made before
	fmt.Println(appendTo(other))
	fmt.Println(len(streams["account-42"]), "event")
	// Output:
	// {[{1 1 0}]} <nil>
	// {[{1 1 0}]} <nil>
	// {[]} es: conflict: stream "account-42" is at version 1, expected: no stream
	// 1 event
}

// es checks each request against the limits of the store before any I/O.
func ExampleCheck() {
	caps := driver.Caps{MaxEventBytes: 1000}
	record := driver.Record{ID: driver.NewID(time.Now()), Type: "photo.taken", Encoding: "json", Data: make([]byte, 2000), Time: time.Now()}
	err := driver.Check(caps, driver.AppendRequest{Parts: []driver.Part{{Stream: "album-7", Expected: driver.Any, Records: []driver.Record{record}}}})
	fmt.Println(err)
	var large *driver.TooLargeError
	fmt.Println(errors.As(err, &large), large.Got-large.Limit, "bytes too many")
	// Output:
	// es: too large: bytes of event 0 to stream "album-7": 2079, the limit is 1000
	// true 1079 bytes too many
}

// A store marks what may be tried again. The cause stays reachable for those who
// log it.
func ExampleTransient() {
	err := driver.Transient(fmt.Errorf("es: the database is restarting: %w", io.EOF))
	fmt.Println(err)
	fmt.Println(driver.IsTransient(err), errors.Is(err, io.EOF))
	// Output:
	// es: the database is restarting: EOF
	// true true
}
