package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a server with the little that some scenarios need of one: channels,
// records that are published one by one, and SSE from the beginning.
type fake struct {
	full  int                 // so many channels can be created; 0 is no limit
	loses uint64              // number of a record that no reader gets
	sees  func(*http.Request) // gets each request first

	mu       sync.Mutex // guards what follows
	created  int
	channels map[string]*fakeChannel
}

type fakeChannel struct {
	records []string
	more    chan struct{} // closed when there are more
}

func startFake(t *testing.T, s *fake) (address string) {
	t.Helper()
	s.channels = map[string]*fakeChannel{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL
}

func (s *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.sees != nil {
		s.sees(r)
	}
	body, _ := io.ReadAll(r.Body) // what is missing of it is not published
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[r.URL.Path]
	switch {
	case r.Method == http.MethodPut && s.created == s.full && s.full > 0:
		http.Error(w, "full", http.StatusInsufficientStorage)
	case r.Method == http.MethodPut:
		s.created++
		s.channels[r.URL.Path] = &fakeChannel{more: make(chan struct{})}
		w.Header().Set("Stream-Next-Offset", "e_0")
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodDelete:
		delete(s.channels, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	case c == nil:
		http.Error(w, "no channel", http.StatusNotFound)
	case r.Method == http.MethodPost:
		c.records = append(c.records, string(body))
		close(c.more)
		c.more = make(chan struct{})
		w.WriteHeader(http.StatusNoContent)
	default:
		s.serveEvents(w, r, c)
	}
}

// serveEvents is called with the lock, which it releases meanwhile.
func (s *fake) serveEvents(w http.ResponseWriter, r *http.Request, c *fakeChannel) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, ": hello\n\n") // the reader notices
	for sent := 0; r.Context().Err() == nil; {
		records, more := c.records[sent:], c.more
		s.mu.Unlock()
		for _, record := range records {
			if sent++; uint64(sent) != s.loses {
				_, _ = fmt.Fprintf(w, "data:[%s]\n\n", record) // the reader notices
			}
		}
		_, _ = fmt.Fprintf(w, "event: control\ndata:{\"streamNextOffset\":\"e_%d\"}\n\n", sent) // the reader notices
		_ = http.NewResponseController(w).Flush()                                               // the reader notices
		select {
		case <-more:
		case <-r.Context().Done():
		}
		s.mu.Lock()
	}
}

// TestNothingIsLeftOnTheServer ends benches early.
func TestNothingIsLeftOnTheServer(t *testing.T) {
	f := func(name string, s *fake, o Options, wantErr string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.sees = func(r *http.Request) {
			if s.full == 0 && r.Method == http.MethodPost {
				cancel()
			}
		}
		o.Server, o.Readers, o.Transports = startFake(t, s), 4, []Transport{SSE}
		result, err := Run(ctx, o)
		if got := fmt.Sprint(err); !strings.Contains(got, wantErr) {
			t.Errorf("%s: error %v, want %q", name, err, wantErr)
		}
		if s.full == 0 && !result.Interrupted {
			t.Errorf("%s was not interrupted", name)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.created == 0 || len(s.channels) > 0 {
			t.Errorf("%s: %d of %d channels are left", name, len(s.channels), s.created)
		}
	}
	for _, scenario := range []string{"fanout", "channels", "publish", "slow"} {
		f(scenario+", interrupted", &fake{}, Options{Scenarios: []string{scenario}, Channels: 3}, "nil")
	}
	f("channels, which the server does not take", &fake{full: 2}, Options{Scenarios: []string{"channels"}, Channels: 3}, "a channel cannot be created")
	f("publish, whose channels the server does not take", &fake{full: 2}, Options{Scenarios: []string{"publish"}, Publishers: 3, Duration: 100 * time.Millisecond}, "a channel cannot be created")
}

// TestSlowCountsAllReaders loses a record of all readers while all read.
func TestSlowCountsAllReaders(t *testing.T) {
	at := startFake(t, &fake{loses: 5})
	result, err := Run(t.Context(), Options{Server: at, Scenarios: []string{"slow"}, Transports: []Transport{SSE}, Readers: 3, Duration: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	all := result.Figures[0]
	if all.Readers != 4 || all.Faults.Lost != 4 || all.Deliveries != int64(all.Published-1)*4 {
		t.Errorf("%d records to %d readers, of which none got one: %d deliveries, %+v", all.Published, all.Readers, all.Deliveries, all.Faults)
	}
	some := result.Figures[1]
	if some.Slow.Complete != 1 || some.Faults.Any() || some.Deliveries != int64(some.Published)*3 {
		t.Errorf("%d records to %d readers: %d deliveries, %+v, %+v", some.Published, some.Readers, some.Deliveries, some.Slow, some.Faults)
	}
}

// still is a driver of readers that get nothing more.
type still struct{ driver }

func (still) do(f func()) { f() }

func TestDrainCountsWholeReaders(t *testing.T) {
	_, readers := someReaders(SSE, 10)
	for _, r := range readers {
		r.channel.published, r.due = 20, 21
	}
	readers[0].due = 11                             // its last ten records are lost
	readers[1].missing = map[uint64]struct{}{7: {}} // this one, too
	readers[2].fail(errEnded)
	s := &session{base: t.Context(), clock: clock{time.Now()}, driver: still{}}
	if whole := s.drain(readers, 0); whole != 7 {
		t.Errorf("%d of 10 readers are whole, want 7", whole)
	}
}

// TestOthersAreNotTheServer sees that a server on this machine, whose process is
// not known, is not taken for other programs.
func TestOthersAreNotTheServer(t *testing.T) {
	at := startFake(t, &fake{})
	busy := usage{busy: 9e8, total: 1e9}
	f := func(pid int, known bool) {
		t.Helper()
		s := &session{o: &Options{Server: at, PID: pid}, base: t.Context(), clock: clock{time.Now()}}
		defer s.leave()
		if err := s.fresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if share := s.meter.others(busy); (share != nil) != known {
			t.Errorf("pid %d: the share of other programs is known: %v, want %v", pid, share != nil, known)
		}
	}
	f(0, false)
	f(1, true)
}

// TestCostsAreOfOwnServers asks a server that exists for what things cost.
func TestCostsAreOfOwnServers(t *testing.T) {
	s := &fake{sees: func(r *http.Request) { t.Errorf("a request: %s %s", r.Method, r.URL) }}
	var c Costs
	result, err := c.Measure(t.Context(), Options{Server: startFake(t, s)})
	if usage, ok := errors.AsType[*UsageError](err); result != nil || !ok || !strings.Contains(usage.Error(), "leave --server out") {
		t.Errorf("measured %v, %v", result, err)
	}
}
