package dynamodb

import (
	"bytes"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-es/es/driver"
)

// What is stored of a commit is read as it was, and bytes that cannot be one are
// refused.
func FuzzCommit(f *testing.F) {
	f.Add("t", "json", "tag", []byte("{}"), []byte(nil), int64(1), []byte{1, 1, 't'})
	f.Add("é", "~", "", bytes.Repeat([]byte{0xff}, 300), []byte{0}, int64(-62135596800000000+1), []byte{})
	f.Fuzz(func(t *testing.T, typ, encoding, tag string, data, metadata []byte, micros int64, junk []byte) {
		r := driver.Record{ID: driver.ID{1}, Type: typ, Encoding: encoding, Data: data, Metadata: metadata, Time: driver.FromMicros(micros)}
		if tag != "" {
			r.Tags = []string{tag, tag}
		}
		if driver.Check(caps, driver.AppendRequest{Parts: []driver.Part{{Stream: "s", Records: []driver.Record{r}}}}) == nil {
			c := newCommit("s", 4, []driver.Record{r, r}, writer{1})
			if n, most := len(c.ids)+len(c.events), 2*driver.Size(&r); n > most {
				t.Errorf("it takes %d bytes, and counts %d", n, most)
			}
			back, err := parseCommit(c.item())
			if err != nil {
				t.Fatal(err)
			}
			records, err := back.records()
			if err != nil || len(records) != 2 {
				t.Fatalf("%d records, error %v", len(records), err)
			}
			for i, got := range records {
				want := r
				want.Stream, want.Version = "s", driver.Version(5+i)
				if got.Stream != want.Stream || got.Version != want.Version || got.ID != want.ID || got.Type != want.Type || got.Encoding != want.Encoding ||
					len(got.Tags) != len(want.Tags) || !got.Time.Equal(want.Time) || got.Time.Location() != time.UTC || !bytes.Equal(got.Data, want.Data) || !bytes.Equal(got.Metadata, want.Metadata) {
					t.Errorf("read %+v, want %+v", got, want)
				}
			}
		}
		for _, last := range []string{"1", "2", "1152921504606846977", "9223372036854775807", "x"} {
			it := keyOf("s#s", ordered(1))
			it[attrLast] = &types.AttributeValueMemberN{Value: last}
			it[attrIDs], it[attrEvents] = bin(make([]byte, 16*(len(junk)%3))), bin(junk)
			if c, err := parseCommit(it); err == nil {
				c.records() // whatever it returns
			}
		}
	})
}
