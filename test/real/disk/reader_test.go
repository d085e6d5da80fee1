//go:build real && linux

package disk_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"twohop/test/rig"
)

// reader follows a channel by one SSE response, which must not end.
type reader struct {
	t *testing.T

	mu    sync.Mutex
	n     int // records that came
	beats int
	err   error // why it ended
}

func follow(t *testing.T, s *server, channel string) *reader {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v1/stream/"+channel+"?offset=-1&live=sse", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	r := &reader{t: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewReader(resp.Body)
		var err error
		for err == nil {
			var line []byte
			if line, err = lines.ReadBytes('\n'); err == nil {
				err = r.line(line)
			}
		}
		r.mu.Lock()
		r.err = err
		r.mu.Unlock()
	}()
	t.Cleanup(func() {
		_ = resp.Body.Close()
		<-done
	})
	return r
}

func (r *reader) line(line []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes.HasPrefix(line, []byte(":")) {
		r.beats++
	}
	data, ok := bytes.CutPrefix(line, []byte("data:["))
	if !ok {
		return nil
	}
	var page []json.RawMessage
	if err := json.Unmarshal(append([]byte("["), data...), &page); err != nil {
		return err
	}
	for _, got := range page {
		if string(got) != record(r.n) {
			return fmt.Errorf("record %d came as %.40s", r.n, got)
		}
		r.n++
	}
	return nil
}

func (r *reader) heartbeats() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.beats
}

// wait waits until n records have come.
func (r *reader) wait(n int) {
	r.t.Helper()
	rig.WaitFor(r.t, fmt.Sprintf("%d records to come live", n), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.err != nil {
			r.t.Fatalf("the live response ended after %d records: %v", r.n, r.err)
		}
		return r.n >= n
	})
}
