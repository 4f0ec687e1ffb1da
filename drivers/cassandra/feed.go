package cassandra

import (
	"context"
	"sync"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
)

// backend is what the sequencer needs of the cluster.
type backend struct{ *Store }

var (
	_ sequencer.Backend  = backend{}
	_ sequencer.Register = backend{}
)

// ReadAll returns a page of the feed, and gives positions to what has none.
func (s *Store) ReadAll(ctx context.Context, q driver.FeedQuery) (page driver.FeedPage, err error) {
	err = s.reading(ctx, func(ctx context.Context) error {
		page, err = s.seq.ReadAll(ctx, q)
		return err
	})
	return page, err
}

// Head returns the last position of the log.
func (s *Store) Head(ctx context.Context) (p driver.Position, err error) {
	err = s.reading(ctx, func(ctx context.Context) error {
		p, err = s.seq.Head(ctx)
		return err
	})
	return p, err
}

// Settled returns the last version of a stream that has a position.
func (s *Store) Settled(ctx context.Context, stream string) (v driver.Version, err error) {
	err = s.reading(ctx, func(ctx context.Context) error {
		at, err := s.registers(ctx, []string{stream})
		if err == nil {
			v = at[0]
		}
		return err
	})
	return v, err
}

const (
	fetchers   = 16      // requests of one page at once
	fetchBytes = 4 << 20 // of a page, about
)

// Fetch reads the events of runs, some runs at a time.
func (b backend) Fetch(ctx context.Context, runs []sequencer.Run) ([]sequencer.Event, error) {
	var events []sequencer.Event
	size := 0
	for len(runs) > 0 && size < fetchBytes {
		n := min(len(runs), fetchers)
		walks := make([]walk, n)
		err := b.each(ctx, n, func(ctx context.Context, i int) error {
			r := &runs[i]
			walks[i] = walk{s: b.Store, stream: r.Stream, from: r.From, to: r.To, start: r.From, bytes: fetchBytes}
			if r.From > r.First && r.From-r.First <= b.bucket {
				walks[i].start = 0 // inside a span, and perhaps inside a commit
			}
			_, err := walks[i].all(ctx)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := range walks {
			w := &walks[i]
			for _, p := range w.pieces {
				for v := p.first; v <= p.last; v++ {
					if p.records == nil {
						events = append(events, sequencer.Event{Purged: true})
					} else {
						events = append(events, sequencer.Event{Record: p.records[v-p.first]})
					}
				}
			}
			if size += w.size; w.next <= w.to || size >= fetchBytes {
				return events, nil
			}
		}
		runs = runs[n:]
	}
	return events, nil
}

// each calls f with 0 to n-1, at the same time, and returns the first error.
func (s *Store) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	if n == 1 {
		return f(ctx, 0)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var once sync.Once
	var first error
	var all sync.WaitGroup
	slots := make(chan struct{}, fetchers)
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if err := f(ctx, i); err != nil {
				once.Do(func() { first = err; cancel() })
			}
		})
	}
	all.Wait()
	return first
}

// Shards of the registers. A listing merges them.
const shards = 16

func shardOf(stream string) int {
	h := uint32(2166136261)
	for i := range len(stream) {
		h = (h ^ uint32(stream[i])) * 16777619
	}
	return int(h % shards)
}

// registers returns up to where streams were sequenced. A register is written with
// its value as its timestamp: the highest value stays, whoever writes in which
// order. A closed stream has a negative one.
func (s *Store) registers(ctx context.Context, streams []string) ([]driver.Version, error) {
	const most = 100 // streams of one request
	var names [shards][]string
	var asks []func(ctx context.Context) error
	var mu sync.Mutex
	found := make(map[string]driver.Version, len(streams))
	for _, stream := range streams {
		shard := shardOf(stream)
		names[shard] = append(names[shard], stream)
	}
	for shard := range names {
		for len(names[shard]) > 0 {
			some := names[shard][:min(most, len(names[shard]))]
			names[shard] = names[shard][len(some):]
			asks = append(asks, func(ctx context.Context) error {
				it := s.query(ctx, s.texts.registers, shard, some).Iter()
				var stream string
				var v, written *int64
				var err error
				mu.Lock()
				defer mu.Unlock()
				for it.Scan(&stream, &v, &written) {
					if found[stream], err = register(stream, v, written); err != nil {
						it.Close()
						return err
					}
				}
				return it.Close()
			})
		}
	}
	err := s.each(ctx, len(asks), func(ctx context.Context, i int) error { return asks[i](ctx) })
	if err != nil {
		return nil, err
	}
	versions := make([]driver.Version, len(streams))
	for i, stream := range streams {
		versions[i] = found[stream]
	}
	return versions, nil
}

// register returns the value of a register. One that another program has written
// would stay behind, and the feed would deliver events twice.
func register(stream string, v, written *int64) (driver.Version, error) {
	if v == nil || written == nil || max(*v, -*v) != *written {
		return 0, corrupt("the register of stream %q was not written by es", stream)
	}
	return driver.Version(*written), nil
}

// Sequenced is registers.
func (b backend) Sequenced(ctx context.Context, streams []string) ([]driver.Version, error) {
	return b.registers(ctx, streams)
}

// Raise raises registers, those of a shard in one batch to its partition.
func (b backend) Raise(ctx context.Context, spans []sequencer.Span) error {
	const most = 100 // of one batch
	var batches []*gocql.Batch
	var open [shards]*gocql.Batch
	for i := range spans {
		sp := &spans[i]
		shard := shardOf(sp.Stream)
		to := open[shard]
		if to == nil || len(to.Entries) == most {
			to = b.batch(ctx)
			open[shard] = to
			batches = append(batches, to)
		}
		v := int64(sp.Last)
		if sp.Closed {
			v = -v
		}
		to.Query(b.texts.raise, shard, sp.Stream, v, int64(sp.Last))
	}
	return b.each(ctx, len(batches), func(ctx context.Context, i int) error {
		return b.client.ExecuteBatch(batches[i].WithContext(ctx))
	})
}
