package bench

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// curt is a server that ends a connection with every few answers, as proxies
// do, and leaves unread what came behind the request. It knows what it took.
type curt struct {
	every int

	mu       sync.Mutex // guards what follows
	requests int
	took     []uint64 // numbers of records
	channels map[string]bool
}

func (s *curt) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what is missing of it is not taken
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests++; s.requests%s.every == 0 {
		w.Header().Set("Connection", "close")
	}
	status := http.StatusNoContent
	switch r.Method {
	case http.MethodPut:
		s.channels[r.URL.Path] = true
		w.Header().Set("Stream-Next-Offset", "e_0")
		status = http.StatusCreated
	case http.MethodDelete:
		delete(s.channels, r.URL.Path)
	case http.MethodPost:
		m, _, _ := findMark(body)
		s.took = append(s.took, m.seq)
	}
	w.WriteHeader(status)
}

func startCurt(t *testing.T, every int) (*curt, *target) {
	t.Helper()
	s := &curt{every: every, channels: map[string]bool{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	at, err := newTarget(t.Context(), server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, at
}

// TestPublisherGoesOnWhereConnectionsEnd publishes to a server that ends
// connections in good order. Each record must arrive once.
func TestPublisherGoesOnWhereConnectionsEnd(t *testing.T) {
	f := func(every, depth, size int) {
		t.Helper()
		s, at := startCurt(t, every)
		l := &load{channels: []*channel{{name: "c"}}, depth: depth, size: size, bulk: 1, lasts: 10 * time.Second, records: 20}
		done, err := l.run(t.Context(), at, clock{time.Now()})
		if err != nil {
			t.Fatalf("an end after each %d answers, %d requests ahead: %v", every, depth, err)
		}
		var want []uint64
		for seq := range uint64(done.records) {
			want = append(want, seq+1)
		}
		if done.records < l.records || !slices.Equal(s.took, want) {
			t.Errorf("an end after each %d answers, %d requests ahead: %d records were acknowledged, and arrived %v", every, depth, done.records, s.took)
		}
	}
	f(7, 1, minRecord)
	f(1, 1, minRecord)
	f(7, 32, minRecord)
	f(1, 32, minRecord)
	f(32, 32, minRecord)
	if runtime.GOOS == "linux" { // which keeps what came before a connection was reset
		f(3, 10, 1<<20) // the end comes before all is sent
	}
}

func TestChannelsAreMadeWhereConnectionsEnd(t *testing.T) {
	s, at := startCurt(t, 3)
	made, err := at.create(t.Context(), 20)
	if err != nil || len(made) != 20 || len(s.channels) != 20 {
		t.Errorf("%d channels of %d were made: %v", len(s.channels), len(made), err)
	}
	if at.remove(t.Context(), made); len(s.channels) != 0 {
		t.Errorf("%d channels are left", len(s.channels))
	}
}

// TestPublisherTakesAnswersThatTheEndDelimits reads an answer without a length.
func TestPublisherTakesAnswersThatTheEndDelimits(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\nto the end") // the publisher notices
		_ = c.Close()
	}))
	defer server.Close()
	at, err := newTarget(t.Context(), server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := at.publisher(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for range 2 {
		if status, err := p.request("POST /", "", nil); status != 200 || err != nil || string(p.body) != "to the end" {
			t.Errorf("status %d, body %q, %v", status, p.body, err)
		}
	}
}

// TestChannelsAreMadeAbreast makes channels on a server that answers when it has
// many requests.
func TestChannelsAreMadeAbreast(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		in := bufio.NewReader(c)
		for _, n := range []int{100, 100, 3} {
			for range n {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_ = r.Body.Close()
			}
			_, _ = io.WriteString(c, strings.Repeat("HTTP/1.1 201 Created\r\nContent-Length: 0\r\nStream-Next-Offset: x\r\n\r\n", n)) // the publisher notices
		}
	}()
	at, err := newTarget(t.Context(), "http://"+ln.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	made, err := at.create(ctx, 203)
	if err != nil || len(made) != 203 || made[202].tail != "x" || made[202].number != 203 {
		t.Error(len(made), err)
	}
}
