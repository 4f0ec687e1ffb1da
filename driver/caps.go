package driver

// Caps is what a store claims, and its limits. Limits count in [Size]; 0 is no
// limit, except for MaxStreams.
type Caps struct {
	MaxEventBytes    int // of one record
	MaxAppendEvents  int // records of one append, or of one group
	MaxAppendBytes   int // of one append, or of one group
	MaxStreams       int // streams of one append; 0 and 1 are one
	MaxSnapshotBytes int // of one snapshot, in SnapshotSize

	PositionOnAppend bool // Append returns the position (F7)
	Gapless          bool // positions are 1, 2, 3 and so on (F14)
	FilterFeed       bool // the store filters the feed (F10)
	ListLag          bool // a listing may lag behind (L4)
	SingleProcess    bool // one process at a time can have the data open
}
