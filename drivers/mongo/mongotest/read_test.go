package mongotest

import (
	"context"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/driver"
)

// A page that begins after the last event is one that the stream has had, also when it
// grows between the two commands that are sent at the same time.
func TestReadBeside(t *testing.T) {
	dsn := data(t, server(t))
	other := openStore(t, dsn)
	grow := func(n int) {
		_, err := other.Append(context.Background(), to("s", driver.Any, records(n)...))
		must(t, err)
	}
	grow(5)
	armed := false
	var once sync.Once
	var backward int64
	below := make(chan struct{}) // closed when the command for what begins below is answered
	s, err := openOwn(t.Context(), dsn, func(o *options.ClientOptions) {
		o.SetMonitor(&event.CommandMonitor{
			Started: func(_ context.Context, e *event.CommandStartedEvent) {
				var find struct {
					Sort struct {
						ID int `bson:"_id"`
					}
				}
				if !armed || e.CommandName != "find" || bson.Unmarshal(e.Command, &find) != nil {
					return
				}
				if find.Sort.ID < 0 {
					once.Do(func() { backward = e.RequestID })
					return
				}
				<-below
				grow(3)
				grow(1)
			},
			Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
				if armed && backward != 0 && e.RequestID == backward {
					close(below)
				}
			},
		})
	}, nil)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	armed = true
	page, err := s.ReadStream(t.Context(), driver.StreamQuery{Stream: "s", From: 7})
	must(t, err)
	if len(page.Records) != 3 || page.Records[0].Version != 7 || page.Head != 9 || !page.End {
		t.Errorf("head %d, end %v: %+v", page.Head, page.End, page.Records)
	}
}
