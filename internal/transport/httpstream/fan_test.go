package httpstream_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"twohop/internal/hub"
)

// Each of a thousand readers of one channel gets everything once and in order,
// on whatever transport, with whatever pages, while several publish.
func TestThousandReaders(t *testing.T) {
	const readers, publishers, each = 1000, 4, 8
	run(t, func(t *testing.T, m mode) {
		o := hub.Options{PageBytes: 1 << (5 + rand.IntN(9)), TailBytes: 1 << (6 + rand.IntN(14))}
		t.Logf("pages of %d bytes, a tail buffer of %d", o.PageBytes, o.TailBytes)
		s := serve(t, m, setup{hub: o})
		s.create("c", asJSON)
		results := make(chan error, readers)
		for i := range readers {
			go func() {
				c := collected{json: true}
				query := []string{"offset=-1", "since=0", "tail_records=1000"}[i%3]
				err := ways[1+i%3].read(s, "c", query, &c) // polls would only make it slow
				if err == nil {
					err = inOrder(c.data.String(), publishers, each)
				}
				if err != nil {
					err = fmt.Errorf("reader %d (%s): %w", i, ways[1+i%3].name, err)
				}
				results <- err
			}()
		}
		published := make(chan error, publishers)
		for p := range publishers {
			go func() {
				for k := range each {
					r, err := s.try("POST", "stream/c", fmt.Sprintf(`["%d:%d"]`, p, k), "Content-Type", asJSON)
					if err != nil || r.status != 204 {
						published <- fmt.Errorf("publishing: %d, %w", r.status, err)
						return
					}
				}
				published <- nil
			}()
		}
		for range publishers {
			if err := <-published; err != nil {
				t.Error(err)
			}
		}
		s.closeChannel("c")
		for range readers {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		for end := 0; s.hub.Readers("c") > 0 && end < 1000; end++ { // the server notices the end a little later
			pause(time.Millisecond)
		}
		if st := s.handler.Stats(); st.SSE.Load() != 0 || st.LongPolls.Load() != 0 || st.Published.Load() != publishers*each {
			t.Errorf("%d and %d readers are left; %d published", st.SSE.Load(), st.LongPolls.Load(), st.Published.Load())
		}
	}, piped, plain[len(plain)-1])
}

// inOrder checks that records are all of each publisher's, in its order.
func inOrder(data string, publishers, each int) error {
	next, n := make([]int, publishers), 0
	for record := range strings.SplitSeq(strings.TrimSuffix(data, ","), ",") {
		var p, k int
		if _, err := fmt.Sscanf(record, `"%d:%d"`, &p, &k); err != nil {
			return fmt.Errorf("%q: %w", record, err)
		}
		if next[p] != k {
			return fmt.Errorf("publisher %d: got %d, want %d", p, k, next[p])
		}
		next[p]++
		n++
	}
	if n != publishers*each {
		return fmt.Errorf("%d records, want %d", n, publishers*each)
	}
	return nil
}

// Readers that come and go, cut their connections and resume at their offset get
// everything once.
func TestResume(t *testing.T) {
	const records = 200
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{hub: hub.Options{PageBytes: 100, TailBytes: 500}})
		s.create("c", asJSON)
		results := make(chan error)
		for i := range 10 {
			go func() { results <- s.resume(i) }()
		}
		for i := range records {
			s.post("c", asJSON, fmt.Sprintf(`["0:%d"]`, i))
		}
		s.closeChannel("c")
		for range 10 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	}, all...)
}

// resume follows a channel by many short responses of all transports, leaving
// each in its middle.
func (s *site) resume(seed int) error {
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	got, at := "", "-1"
	for {
		if random.IntN(2) == 0 {
			r, err := s.try("GET", "stream/c?live=long-poll&offset="+at, "")
			if err != nil {
				return err
			}
			got, at = got+unwrap(r.body, true), r.next()
			if r.get("Stream-Closed") == "true" {
				return inOrder(got, 1, 200)
			}
			continue
		}
		f, _, err := s.tryFollow("c", "offset=-1", "Last-Event-ID", at)
		if err != nil {
			return err
		}
		for range random.IntN(20) {
			e, err := f.next()
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if err != nil {
				break
			}
			if e.name == "data" { // as a browser does: its place is the event's id
				got, at = got+unwrap(e.data, true), e.id
			}
			if e.name == "control" && e.control().StreamClosed {
				f.close()
				return inOrder(got, 1, 200)
			}
		}
		f.close()
	}
}
