//go:build real

package balancer_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"twohop/test/rig"
)

// stream is an SSE response under way.
type stream struct {
	header http.Header
	lines  chan string // closed when the response has ended
}

// openStream asks for an SSE response, as a browser that accepts compression.
func openStream(t *testing.T, url string, header rig.Header) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Accept-Encoding", "gzip")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	late := time.AfterFunc(patience, cancel)
	resp, err := rig.Client.Do(r)
	if err != nil || !late.Stop() {
		cancel()
		t.Fatalf("the response does not begin: %v", err)
	}
	if resp.StatusCode != http.StatusOK {
		cancel()
		t.Fatal(resp.Status)
	}
	s := &stream{header: resp.Header, lines: make(chan string, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(s.lines)
		for in := bufio.NewScanner(resp.Body); in.Scan(); {
			select {
			case s.lines <- in.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = resp.Body.Close()
	})
	return s
}

// line is the next line, or io.EOF.
func (s *stream) line() (string, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case l, ok := <-s.lines:
		if !ok {
			return "", io.EOF
		}
		return l, nil
	case <-late.C:
		return "", errors.New("nothing comes")
	}
}

// until reads on to the line with the prefix and returns what follows it.
func (s *stream) until(t *testing.T, prefix string) string {
	t.Helper()
	for {
		l, err := s.line()
		if err != nil {
			t.Fatalf("waiting for %q: %v", prefix, err)
		}
		if rest, ok := strings.CutPrefix(l, prefix); ok {
			return rest
		}
	}
}
