package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/go-es/es/aggregate"
	"github.com/go-es/es/examples/githistory/gitlog"
)

// Path is the path of a file as git has it: any bytes but NUL. In JSON it is a
// string where it can be, and otherwise an object that holds it in base64.
type Path string

type encodedPath struct {
	Base64 string `json:"base64"`
}

// MarshalJSON implements json.Marshaler.
func (p Path) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(p)) {
		return json.Marshal(string(p))
	}
	return json.Marshal(encodedPath{base64.StdEncoding.EncodeToString([]byte(p))})
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Path) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(p))
	}
	var e encodedPath
	if err := json.Unmarshal(b, &e); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(e.Base64)
	*p = Path(raw)
	return err
}

// Content is what a commit made of a file. All changes have it.
type Content struct {
	Commit  int         `json:"commit"` // the ordinal of the commit, from 1
	Mode    gitlog.Mode `json:"mode,omitempty"`
	Blob    string      `json:"blob,omitempty"`
	Added   int         `json:"added,omitempty"` // lines
	Removed int         `json:"removed,omitempty"`
	Binary  bool        `json:"binary,omitempty"` // git counted no lines
}

// FileAdded begins the life of a file.
type FileAdded struct {
	Content
	Path Path `json:"path"`
}

// FileChanged gives a file other bytes or another mode.
type FileChanged struct{ Content }

// FileRenamed gives a file another path, and perhaps other bytes.
type FileRenamed struct {
	Content
	Path Path `json:"path"`
}

// FileDeleted ends the life of a file. A file that comes back at its path later
// is another one.
type FileDeleted struct{ Content }

// EventType implements es.Event.
func (FileAdded) EventType() string   { return "file.added" }
func (FileChanged) EventType() string { return "file.changed" }
func (FileRenamed) EventType() string { return "file.renamed" }
func (FileDeleted) EventType() string { return "file.deleted" }

// At returns the ordinal of the commit that made the change.
func (c Content) At() int { return c.Commit }

// File is a tracked file from its first commit on, under whatever path.
type File struct {
	aggregate.Root
	Path    Path
	Mode    gitlog.Mode
	Blob    string
	Lines   int
	Changes int
	Binary  bool // once, at least: then git did not count all lines
	Deleted bool
	Wrong   string // what cannot be, if anything was found
}

// Files says what events do to a file.
var Files = aggregate.Define("file",
	aggregate.On(func(f *File, e FileAdded) {
		f.Path = e.Path
		f.change(e.Content)
	}),
	aggregate.On(func(f *File, e FileChanged) { f.change(e.Content) }),
	aggregate.On(func(f *File, e FileRenamed) {
		f.Path = e.Path
		f.change(e.Content)
	}),
	aggregate.On(func(f *File, e FileDeleted) {
		f.change(e.Content)
		f.Deleted = true
		if f.Lines != 0 && !f.Binary {
			f.wrong("it had %d lines left when commit %d deleted it", f.Lines, e.Commit)
		}
	}),
)

func (f *File) change(c Content) {
	if f.Deleted {
		f.wrong("commit %d changed it after it was deleted", c.Commit)
	}
	f.Mode, f.Blob = c.Mode, c.Blob
	f.Changes++
	f.Binary = f.Binary || c.Binary
	if f.Lines += c.Added - c.Removed; f.Lines < 0 && !f.Binary {
		f.wrong("it had %d lines after commit %d", f.Lines, c.Commit)
	}
}

func (f *File) wrong(format string, args ...any) {
	if f.Wrong == "" {
		f.Wrong = fmt.Sprintf(format, args...)
	}
}

// CommitImported says that all changes of a commit are stored. Its version in
// the stream of commits is the commit's ordinal.
type CommitImported struct {
	Commit  int    `json:"commit"`
	Hash    string `json:"hash"`
	Time    int64  `json:"time"` // Unix; 0 if git has none
	Changes int    `json:"changes"`
}

// EventType implements es.Event.
func (CommitImported) EventType() string { return "commit.imported" }

// commitsStream has one CommitImported for each commit.
const commitsStream = "commits"

// filePrefix begins the names of the streams of files.
const filePrefix = "file-"
