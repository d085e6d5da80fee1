package httpstream_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/transport/httpstream"
)

const (
	slowRecord = 10_000 // bytes
	slowRound  = 300    // records of a round, after which slow readers take a thousand bytes each
	slowRounds = 6
)

func numbered(i int) string {
	s := fmt.Sprintf("%08d ", i)
	return s + strings.Repeat("x", slowRecord-len(s)-1) + "\n"
}

// Readers that take next to nothing are kept, cost a bounded amount of memory,
// and hold up nobody. When they take more they get all that is still kept, and
// are told what they missed.
func TestSlowReaders(t *testing.T) {
	const slow, fast = 4, 2
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{
			Options: httpstream.Options{Rules: twohop.Rules{{Match: "**", Retention: twohop.Retention{Bytes: 2 << 20}}}},
			hub:     hub.Options{TailBytes: 1 << 19},
		})
		s.create("c", asText)
		var stuck []*follower
		for range slow {
			stuck = append(stuck, s.slowFollow("offset=-1", "Accept: text/event-stream"))
		}
		results := make(chan error)
		var seen [fast]atomic.Int64
		for i := range fast {
			f := s.follow("c", "offset=-1", "Accept", "text/event-stream")
			f.say(s, "control")
			go func() { results <- f.numbers(nil, &seen[i]) }()
		}
		s.settle("c", slow+fast)
		base := uint64(0)
		for i := range slowRounds * slowRound {
			r, err := s.try("POST", "stream/c", numbered(i), "Content-Type", asText)
			if err != nil || r.status != 204 {
				t.Fatalf("publishing %d: %d, %v", i, r.status, err)
			}
			if i%50 == 0 { // the fast ones are not held up, but may need a moment
				for k := range seen {
					for end := time.Now().Add(patience); seen[k].Load() < int64(i) && time.Now().Before(end); {
						pause(time.Millisecond)
					}
				}
			}
			if i%slowRound > 0 {
				continue
			}
			for _, f := range stuck {
				if _, err := f.in.Discard(1000); err != nil {
					t.Fatalf("a slow reader was cut off: %v", err)
				}
			}
			if i == slowRound {
				base = heap()
			}
		}
		if now := heap(); base > 0 && now > base+8<<20 {
			t.Errorf("the heap grew from %d to %d kB", base>>10, now>>10)
		}
		s.closeChannel("c")
		for range fast {
			if err := <-results; err != nil {
				t.Errorf("a fast reader: %v", err)
			}
		}
		for i, f := range stuck {
			missed := -1
			if err := f.numbers(&missed, &atomic.Int64{}); err != nil || missed <= 0 {
				t.Errorf("slow reader %d, after %d missed: %v", i, missed, err)
			}
		}
	}, plain...)
}

// heap is what is in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// numbers reads to the closure and checks that every record comes once and in
// order, but for those of which a reset says that they were missed. Without
// missed nothing may be, and the first record is the first. seen is how far it
// has come.
func (f *follower) numbers(missed *int, seen *atomic.Int64) error {
	next, told, begun := 0, 0, missed == nil
	for {
		e, err := f.next()
		if err != nil {
			return fmt.Errorf("after record %d: %w", next, err)
		}
		switch e.name {
		case "reset":
			if missed == nil {
				return fmt.Errorf("after record %d came %+v", next, e)
			}
			var p problem
			if err := json.Unmarshal([]byte(e.data), &p); err != nil || p.Missed == nil || p.Reason != "trimmed" {
				return fmt.Errorf("%+v: %w", e, err)
			}
			told = int(*p.Missed)
			*missed = max(*missed, 0) + told
		case "data":
			for line := range strings.Lines(e.data) {
				n := 0
				if _, err := fmt.Sscanf(line, "%d ", &n); err != nil && begun {
					return fmt.Errorf("%.30q: %w", line, err)
				} else if err != nil {
					continue // the rest of a line of which the begin was discarded
				}
				if begun && n != next+told {
					return fmt.Errorf("after %d, with %d missed, came %d", next-1, told, n)
				}
				next, told, begun = n+1, 0, true
			}
			seen.Store(int64(next))
		case "control":
			if e.control().StreamClosed {
				if next != slowRounds*slowRound {
					return fmt.Errorf("the last record is %d", next-1)
				}
				if _, err := f.next(); !errors.Is(err, io.EOF) {
					return fmt.Errorf("after the closure: %w", err)
				}
				return nil
			}
		}
	}
}
