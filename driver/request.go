package driver

import "time"

// Record is an event as it is stored: bytes and no Go types.
type Record struct {
	Stream   string   // set by the store when read; ignored in a request
	Version  Version  // likewise
	Position Position // likewise; 0 where it is not known yet

	ID       ID
	Type     string
	Encoding string   // how Data is to be read; opaque to a driver
	Tags     []string // stored with the record
	Data     []byte
	Metadata []byte
	Time     time.Time
}

const (
	recordOverhead = 64 // for the columns of a record that have a fixed size
	tagOverhead    = 8  // for what a database keeps beside each tag
)

// Size is what a record counts against the limits of [Caps]: the bytes of data,
// metadata, type, encoding and tags, 8 for each tag and 64 for the record.
func Size(r *Record) int {
	n := recordOverhead + len(r.Data) + len(r.Metadata) + len(r.Type) + len(r.Encoding)
	for _, t := range r.Tags {
		n += len(t) + tagOverhead
	}
	return n
}

// AppendRequest is one atomic append to one or more streams.
type AppendRequest struct {
	Parts []Part
}

// Part is what an append does to one stream. A part without records checks the
// stream's version only.
type Part struct {
	Stream   string
	Expected Expected
	Records  []Record
}

// AppendResult is what Append returns.
type AppendResult struct {
	Parts []Appended // one a part of the request, in order
}

// Appended says where the records of one part went.
type Appended struct {
	First, Last Version
	Position    Position // of the last record; 0 where it is not known yet
}

// StreamQuery asks for a page of one stream.
type StreamQuery struct {
	Stream   string
	From     Version // the first version wanted; 0 is the first, or the last if Backward
	Backward bool
	Limit    int  // at most so many records; 0 is the store's choice
	Deleted  bool // read a closed stream too
}

// StreamPage is a page of one stream.
type StreamPage struct {
	Records []Record
	Head    Version // the last version of the stream when the page was read
	End     bool    // nothing follows, as of Head
}

// FeedQuery asks for a page of the feed.
type FeedQuery struct {
	After  Position
	Limit  int    // at most so many records; 0 is the store's choice
	Filter Filter // needs Caps.FilterFeed unless it is zero
	Seen   Seen   // unless zero, the event that the reader saw last
}

// Seen is an event that a reader of the feed has seen: proof that the feed is
// still the one that it read.
type Seen struct {
	Position Position
	ID       ID
}

// Filter chooses records of the feed: those that have one of Types, if there
// are any, and whose stream begins with one of Prefixes, if there are any.
type Filter struct {
	Types    []string
	Prefixes []string
}

// FeedPage is a page of the feed.
type FeedPage struct {
	Records []Record
	Next    Position // the After of the following page
	Seen    Seen     // the last event at or below Next, for the following query
	End     bool     // nothing is held back and nothing follows, as of now
}

// ListQuery asks for a page of the names of streams.
type ListQuery struct {
	Prefix string
	After  string
	Limit  int // at most so many; 0 is the store's choice
}

// ListPage is a page of the names of streams.
type ListPage struct {
	Streams []StreamInfo
	Next    string // the After of the following page
	End     bool
}

// StreamInfo is one stream of a listing.
type StreamInfo struct {
	Stream  string
	Version Version // the last one; 0 where it is not known
	Closed  bool    // tombstoned or purged
}

// DeleteMode says what Delete does with the events.
type DeleteMode int

const (
	// Tombstone closes the stream and keeps its events.
	Tombstone DeleteMode = iota
	// Purge closes the stream and erases its events.
	Purge
)

// DeleteRequest closes one stream.
type DeleteRequest struct {
	Stream   string
	Expected Expected // an exact version is the last one before the delete
	Mode     DeleteMode
	Record   Record // of type TypeDeleted: becomes the last event of the stream
}
