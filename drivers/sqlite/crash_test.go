package sqlite_test

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
)

func init() {
	jobs["acknowledge"] = acknowledge
	jobs["follow"] = follow
	jobs["count"] = count
}

// acknowledge appends for ever, to streams of its own and to one that all share,
// in each of the ways there are, and prints a line for each event that was
// acknowledged: stream, version, position, id.
func acknowledge(args []string) error {
	s, err := sqlite.Open(ctx, sqlite.Config{Path: args[0]})
	if err != nil {
		return err
	}
	name := args[1]
	print := func(req driver.AppendRequest, res driver.AppendResult) {
		var b strings.Builder
		for i, p := range req.Parts {
			for j, r := range p.Records {
				a := res.Parts[i]
				pos := a.Position - driver.Position(len(p.Records)-1-j)
				fmt.Fprintf(&b, "%s %d %d %v\n", p.Stream, a.First+driver.Version(j), pos, r.ID)
			}
		}
		os.Stdout.WriteString(b.String())
	}
	for i := 0; ; i++ {
		switch i % 4 {
		case 0, 1:
			req := one(name+"-a", driver.Any, records(1+i%3, strings.Repeat("x", i%5000))...)
			res, err := s.Append(ctx, req)
			if err != nil {
				return err
			}
			print(req, res)
		case 2:
			req := driver.AppendRequest{Parts: []driver.Part{
				{Stream: name + "-b", Expected: driver.Any, Records: records(1, "{}")},
				{Stream: "shared", Expected: driver.Any, Records: records(2, "{}")},
			}}
			res, err := s.Append(ctx, req)
			if err != nil {
				return err
			}
			print(req, res)
		case 3:
			reqs := []driver.AppendRequest{one(name+"-c", driver.Any, records(1, "{}")...), one("shared", driver.Any, records(1, "{}")...)}
			for j, out := range s.AppendGroup(ctx, reqs) {
				if out.Err != nil {
					return out.Err
				}
				print(reqs[j], out.Result)
			}
		}
	}
}

// Processes that write are killed at random moments, again and again. All that
// they had acknowledged is there, once, where they said, and nothing is torn.
func TestKill(t *testing.T) {
	file := newFile(t)
	acked := map[driver.Position]string{}
	var mu sync.Mutex
	kills := 40
	if testing.Short() {
		kills = 8
	}
	for round := range kills / 2 {
		var wg sync.WaitGroup
		for w := range 2 {
			cmd := process(t, "acknowledge", file, fmt.Sprintf("w%d", w))
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			wg.Go(func() {
				r := bufio.NewReader(out)
				last := 10 + rand.IntN(100) // lines
				for n := 0; ; n++ {
					line, err := r.ReadString('\n')
					if err != nil {
						break // what is left is half a line
					}
					if n == last {
						time.AfterFunc(rand.N(time.Millisecond), func() { cmd.Process.Kill() })
					}
					fields := strings.Fields(line)
					if len(fields) != 4 {
						t.Errorf("round %d: the process said %q", round, line)
						continue
					}
					pos, _ := strconv.ParseUint(fields[2], 10, 63)
					mu.Lock()
					if before := acked[driver.Position(pos)]; before != "" {
						t.Errorf("round %d: position %d was given to %q and to %q", round, pos, before, line)
					}
					acked[driver.Position(pos)] = strings.TrimSpace(line)
					mu.Unlock()
				}
				cmd.Wait()
			})
		}
		wg.Wait()
		check(t, file, acked)
		if t.Failed() {
			t.Fatalf("after round %d", round)
		}
	}
	t.Logf("%d events were acknowledged in %d processes that were killed", len(acked), kills)
	if len(acked) < 10*kills {
		t.Errorf("only %d events were acknowledged", len(acked))
	}
}

// check compares a database with the events that were acknowledged.
func check(t *testing.T, file string, acked map[driver.Position]string) {
	t.Helper()
	s, err := sqlite.Open(ctx, sqlite.Config{Path: file})
	must(t, err)
	versions := map[string]driver.Version{}
	ids := map[driver.ID]bool{}
	all := feed(t, s) // without a gap
	for _, r := range all {
		if versions[r.Stream]++; r.Version != versions[r.Stream] {
			t.Errorf("stream %s: version %d at position %d", r.Stream, r.Version, r.Position)
		}
		if ids[r.ID] {
			t.Errorf("id %v is there twice", r.ID)
		}
		ids[r.ID] = true
		line := fmt.Sprintf("%s %d %d %v", r.Stream, r.Version, r.Position, r.ID)
		if a := acked[r.Position]; a != "" && a != line {
			t.Errorf("acknowledged was %q, there is %q", a, line)
		}
	}
	for pos, line := range acked {
		if int(pos) > len(all) {
			t.Errorf("%q is lost: the feed ends at %d", line, len(all))
		}
	}
	for stream, v := range versions {
		page, err := s.ReadStream(ctx, driver.StreamQuery{Stream: stream, Backward: true, Limit: 1})
		if err != nil || page.Head != v {
			t.Errorf("stream %s ends at %d, the feed says %d (%v)", stream, page.Head, v, err)
		}
	}
	must(t, s.Close())
	intact(t, file)
}

// follow appends events while it follows the feed until it has so many, and
// prints a hash of what it saw.
func follow(args []string) error {
	file, name := args[0], args[1]
	mine, _ := strconv.Atoi(args[2])
	total, _ := strconv.Atoi(args[3])
	s, err := sqlite.Open(ctx, sqlite.Config{Path: file})
	if err != nil {
		return err
	}
	defer s.Close()
	wrote := make(chan error, 1)
	go func() {
		for n := 0; n < mine; n += 4 {
			if _, err := s.Append(ctx, one(name, driver.Exactly(driver.Version(n/2)), records(2, "{}")...)); err != nil {
				wrote <- err
				return
			}
			for _, out := range s.AppendGroup(ctx, []driver.AppendRequest{one(name+"-x", driver.Any, records(1, "{}")...), one("shared", driver.Any, records(1, "{}")...)}) {
				if out.Err != nil {
					wrote <- out.Err
					return
				}
			}
		}
		wrote <- nil
	}()
	sum := sha256.New()
	q := driver.FeedQuery{Limit: 7}
	for deadline := time.Now().Add(time.Minute); int(q.After) < total; {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: after a minute the feed is at %d of %d", name, q.After, total)
		}
		page, err := s.ReadAll(ctx, q)
		if err != nil {
			return err
		}
		for i, r := range page.Records {
			if r.Position != q.After+driver.Position(i)+1 {
				return fmt.Errorf("%s: after %d comes %d", name, q.After, r.Position)
			}
			fmt.Fprintln(sum, r.Position, r.Stream, r.Version, r.ID)
			q.Seen = driver.Seen{Position: r.Position, ID: r.ID}
		}
		if q.After = page.Next; page.End {
			time.Sleep(time.Millisecond)
		}
	}
	if err := <-wrote; err != nil {
		return err
	}
	fmt.Printf("%x\n", sum.Sum(nil))
	return nil
}

// Several processes write to one file and follow it at once: all see the same
// feed, whole.
func TestFollowers(t *testing.T) {
	file := newFile(t)
	const processes, each = 4, 400
	var wg sync.WaitGroup
	sums := make([]string, processes)
	for i := range processes {
		cmd := process(t, "follow", file, fmt.Sprintf("f%d", i), strconv.Itoa(each), strconv.Itoa(processes*each))
		wg.Go(func() {
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			sums[i] = string(out)
		})
	}
	wg.Wait()
	for _, sum := range sums {
		if sum != sums[0] || len(sum) != 65 {
			t.Fatalf("the processes saw different feeds: %q", sums)
		}
	}
	check(t, file, nil)
}

// count appends for a second and prints how often.
func count(args []string) error {
	s, err := sqlite.Open(ctx, sqlite.Config{Path: args[0]})
	if err != nil {
		return err
	}
	defer s.Close()
	n := 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); n++ {
		if _, err := s.Append(ctx, one(args[1], driver.Any, records(1, "{}")...)); err != nil {
			return err
		}
	}
	fmt.Print(n)
	return nil
}

// Processes that do nothing but append all get their turns.
func TestTurns(t *testing.T) {
	file := newFile(t)
	must(t, open(t, file).Close())
	for range 3 { // a busy machine may stop one of them for most of its second
		var wg sync.WaitGroup
		counts := make([]int, 3)
		for i := range counts {
			wg.Go(func() {
				out, err := process(t, "count", file, fmt.Sprint(i)).Output()
				if err != nil {
					t.Errorf("%v: %s", err, out)
				}
				counts[i], _ = strconv.Atoi(string(out))
			})
		}
		wg.Wait()
		t.Log(counts)
		if total := counts[0] + counts[1] + counts[2]; min(counts[0], counts[1], counts[2]) >= total/30 {
			return
		}
	}
	t.Error("some processes did not get their turns, three times")
}
