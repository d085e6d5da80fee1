//go:build real

package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"twohop/test/rig"
)

// server is a twohop process.
type server struct{ *rig.Server }

// startServer runs the command; it ends with the test.
func startServer(t *testing.T, binary string) *server {
	t.Helper()
	return &server{rig.Serve(t, binary, rig.Options{Args: []string{"--engine", "disk"}})}
}

// readers is how many requests and connections read from the server now, as
// its metrics have it.
func (s *server) readers(t *testing.T) (readers []string) {
	t.Helper()
	for _, line := range s.metrics(t, "twohop_readers{") {
		if !strings.HasSuffix(line, " 0") {
			readers = append(readers, strings.TrimPrefix(line, "twohop_readers"))
		}
	}
	return readers
}

// metrics are the server's metrics that begin like this.
func (s *server) metrics(t *testing.T, prefix string) (lines []string) {
	t.Helper()
	metrics := rig.MustSend(t, http.StatusOK, http.MethodGet, s.URL+"/metrics", nil, "")
	for line := range strings.Lines(metrics.Body) {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// publisher publishes numbered records, each of them once, to all channels in
// turn, also while the server is down.
type publisher struct {
	channels []string
	stop     context.CancelFunc
	done     chan struct{} // closed when it has ended
	rounds   int           // to be read after done
}

// create makes channels of JSON.
func (s *server) create(t *testing.T, channels ...string) {
	t.Helper()
	for _, channel := range channels {
		rig.MustSend(t, http.StatusCreated, http.MethodPut, s.URL+"/v1/stream/"+channel, rig.JSON, "")
	}
}

// publish creates the channels and starts a publisher; it ends with the test at
// the latest.
func publish(t *testing.T, s *server, channels ...string) *publisher {
	t.Helper()
	s.create(t, channels...)
	ctx, stop := context.WithCancel(t.Context())
	p := &publisher{channels: channels, stop: stop, done: make(chan struct{})}
	t.Cleanup(func() { p.end() })
	go func() {
		defer close(p.done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ; ctx.Err() == nil; p.rounds++ {
			for _, channel := range channels {
				if !publishOne(context.WithoutCancel(ctx), tick, s.URL+"/v1/stream/"+channel, p.rounds) {
					t.Errorf("record %d of %s is not acknowledged", p.rounds, channel)
					return
				}
			}
			<-tick.C
		}
	}()
	return p
}

// publishOne sends a record until it is acknowledged; that it takes effect once
// is the server's part.
func publishOne(ctx context.Context, tick *time.Ticker, url string, n int) bool {
	ctx, cancel := context.WithTimeout(ctx, rig.Patience)
	defer cancel()
	header := rig.Header{"Content-Type": "application/json", "Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": fmt.Sprint(n)}
	for ctx.Err() == nil {
		a, err := rig.Send(ctx, http.MethodPost, url, header, fmt.Sprintf(`{"n":%d}`, n))
		if err == nil && (a.Status == http.StatusOK || a.Status == http.StatusNoContent) {
			return true
		}
		<-tick.C
	}
	return false
}

// end ends the publisher; the answer is how many records each channel has.
func (p *publisher) end() (records int) {
	p.stop()
	<-p.done
	return p.rounds
}
