package gitlog

import (
	"fmt"
	"time"
)

// Commit is one commit of the first-parent line.
type Commit struct {
	// Ordinal is the position on the first-parent line, counted from 1 for
	// the oldest commit. Commits that come from [Parse] are counted from 1 in
	// the order of the input. In a shallow clone, 1 is the oldest commit that
	// is present; fetching more history therefore moves all ordinals.
	Ordinal int

	// Hash names the commit: 40 hex digits in lower case, or 64 in a
	// repository that uses SHA-256.
	Hash string

	// Time is the committer's time in UTC, to the second. It need not grow
	// along the line: clocks are wrong and commits are rebased. It is the
	// zero Time if the commit holds no date that can be read as one before
	// the year 10000; such commits exist.
	Time time.Time

	// Changes holds the files that differ from the first parent, in git's
	// order, at most one change for each new path. It is empty for a commit
	// that changes no file.
	Changes []Change
}

// Change is the change of one file by one commit.
type Change struct {
	Status Status

	// Score is how similar the old and the new contents are, 0 to 100. Git
	// gives it for renames and copies; it is 0 for all others.
	Score int

	// OldMode and OldBlob describe the file before the commit; they are 0 and
	// "" if Status is Added. NewMode and NewBlob describe it after the
	// commit; they are 0 and "" if Status is Deleted. For a submodule the
	// "blob" is the commit it points to.
	OldMode, NewMode Mode
	OldBlob, NewBlob string

	// Path is the file's path after the commit (before it, if Status is
	// Deleted), and OldPath its path before the commit, which differs from
	// Path only for renames and copies and is "" if Status is Added. Paths
	// are separated by slashes, relative to the top of the repository, and
	// made of the raw bytes git holds: any byte but NUL, longer than most file
	// systems allow if need be (only lines of more than 1 MiB are refused), not
	// necessarily UTF-8. Encode them accordingly before putting them into a
	// format that holds only valid text, such as JSON.
	OldPath, Path string

	// Added and Removed count lines. Both are 0 if Binary is set: git counts
	// no lines where the old or the new contents are binary.
	Added, Removed int
	Binary         bool
}

// Status says what a commit did to a file.
type Status byte

// The values of [Status], which are the letters git uses.
const (
	Added       Status = 'A' // the file is new
	Copied      Status = 'C' // the file is new and resembles OldPath, which stays; only in logs made with -C
	Deleted     Status = 'D' // the file is gone
	Modified    Status = 'M' // contents or mode changed
	Renamed     Status = 'R' // the file went from OldPath to Path; contents and mode may have changed as well
	TypeChanged Status = 'T' // a file became a symbolic link or a submodule, or the like
)

// String returns git's letter.
func (s Status) String() string { return string(rune(s)) }

// Mode is the mode of a file as git records it. Print it with %v or
// [Mode.String]; 0 stands for a file that is not there.
type Mode uint32

// The modes git gives to what is tracked.
const (
	ModeFile       Mode = 0o100644
	ModeExecutable Mode = 0o100755
	ModeSymlink    Mode = 0o120000
	ModeSubmodule  Mode = 0o160000
)

// modeTree is the mode of a directory, which a recursive listing never shows.
const modeTree Mode = 0o040000

// String returns the mode as git prints it: six octal digits.
func (m Mode) String() string { return fmt.Sprintf("%06o", uint32(m)) }

// Entry is one file of a tree.
type Entry struct {
	Mode Mode

	// Blob names the contents, in hex digits like [Commit.Hash]. For a
	// submodule it is the commit it points to.
	Blob string

	// Path holds raw bytes, like [Change.Path].
	Path string
}
