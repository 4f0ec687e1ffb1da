package sequencer_test

import (
	"context"
	"fmt"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
)

// A driver hands its backend to a Sequencer, and its feed is done.
func Example() {
	ctx := context.Background()
	db := newWorld(perCommit, 1)
	client := &process{world: db}
	seq := sequencer.New(client.backend(), sequencer.Config{})

	id := driver.ID{1}
	if _, err := client.append(ctx, "account-1", 0, 2, id); err != nil {
		fmt.Println(err)
	}
	seq.Appended("account-1", 2) // so that the feed says End when it has reached this

	q := driver.FeedQuery{}
	for {
		page, err := seq.ReadAll(ctx, q)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, r := range page.Records {
			fmt.Println(r.Position, r.Stream, r.Version)
		}
		if q.After, q.Seen = page.Next, page.Seen; page.End {
			return
		}
	}
	// Output:
	// 1 account-1 1
	// 2 account-1 2
}
