package mysql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// Where several processes append to one stream at any version, each guesses the
// version that comes next. One is right; the others are refused, lose the numbers
// that their statements took, and may lose again. So where that happens they stand
// in line: for a named lock of the server, which is held from the look at the last
// version to the answer. It is a courtesy and decides nothing: who does not get it
// in time goes on without.

// crowds remembers the streams at which others were faster.
type crowds struct {
	mu sync.Mutex
	of map[string]crowd
}

type crowd struct {
	times int
	at    time.Time // the last of them
}

const (
	crowdTime  = time.Second // without others at the stream
	crowdTimes = 2
	crowdsKept = 1024
	mostLines  = 8 // of one statement; more are not waited for
	lineTime   = "2"
)

// note notes that another append to the stream came first.
func (c *crowds) note(stream string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil || len(c.of) >= crowdsKept {
		c.of = make(map[string]crowd)
	}
	is := c.of[stream]
	if time.Since(is.at) > crowdTime {
		is.times = 0
	}
	c.of[stream] = crowd{is.times + 1, time.Now()}
}

func (c *crowds) at(stream string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	is, ok := c.of[stream]
	return ok && is.times >= crowdTimes && time.Since(is.at) <= crowdTime
}

// line waits for the turn of requests that append to a crowded stream at any
// version, and lets them look at it then. The function that it returns lets the
// next one have its turn.
func (s *Store) line(ctx, sending context.Context, ses *session, ws []*written) (func(), error) {
	var names []string
	if ses.tx == nil {
		for _, w := range ws {
			for i := range w.req.Parts {
				if p := &w.req.Parts[i]; p.Expected < 0 && len(p.Records) > 0 && !w.sent && s.crowds.at(p.Stream) {
					w.look = true
					names = append(names, s.lineName(p))
				}
			}
		}
	}
	slices.Sort(names) // all take them in the same order
	names = slices.Compact(names)
	if len(names) == 0 || len(names) > mostLines {
		return func() {}, nil
	}
	take, give := text("SELECT "), text("DO ")
	for i, name := range names {
		if i > 0 {
			take, give = append(take, ','), append(give, ',')
		}
		take.add("GET_LOCK('", name, "',"+lineTime+")")
		give.add("RELEASE_LOCK('", name, "')")
	}
	if err := ses.query(ctx, string(take), discard); err != nil && (lost(err) || unsent(err)) {
		ses.drop = true
		return nil, err
	}
	return func() {
		if _, err := ses.exec(sending, string(give)); err != nil {
			ses.drop = true // and the server takes the locks back
		}
	}, nil
}

// lineName is the name of a stream's lock, of at most 64 bytes.
func (s *Store) lineName(p *driver.Part) string {
	sum := sha256.Sum256([]byte(s.hub.Key() + "\x00" + p.Stream))
	return "es_" + hex.EncodeToString(sum[:16])
}
