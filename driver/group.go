package driver

import "context"

// GroupAppender is a [Store] that can write several independent appends at once
// for less than one by one (G1, G2). es owns the queue and forms the groups.
type GroupAppender interface {
	// AppendGroup applies requests of one part each, with the limits of one
	// append for all together. Where several are to one stream, all of them
	// expect Any; an id may then occur twice. It returns one outcome a request,
	// in order.
	AppendGroup(ctx context.Context, reqs []AppendRequest) []Outcome
}

// Outcome is what became of one request of a group.
type Outcome struct {
	Result AppendResult
	Err    error
}
