package filestore

import (
	"context"

	"github.com/go-es/es/driver"
)

// Delete closes a stream for good.
func (s *Store) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	if err := s.beginWrite(ctx); err != nil {
		return driver.Appended{}, err
	}
	defer s.endWrite()
	d := s.data
	state := d.state(req.Stream)
	write, result, err := driver.DecideDelete(req, state, func() (driver.ID, driver.Position, error) {
		e := d.event(req.Stream, state.Head)
		return e.ID, e.Position, nil
	})
	if err != nil {
		return driver.Appended{}, err
	}
	var entries []entry
	if write {
		last := state.Head + 1
		result = driver.Appended{First: last, Last: last, Position: driver.Position(len(d.events) + 1)}
		entries = append(entries, entry{kind: deleted, events: []driver.Record{stored(req.Stream, last, &req.Record)}})
	}
	// A crash may have left the first entry of a purge without the second.
	if req.Mode == driver.Purge && !d.streams[req.Stream].purged {
		entries = append(entries, entry{kind: purged, name: req.Stream})
	}
	if len(entries) == 0 {
		return result, nil
	}
	if err := d.write(entries...); err != nil {
		return driver.Appended{}, d.failed(err, driver.UnknownPart{Stream: req.Stream, Base: result.Last - 1})
	}
	return result, nil
}
