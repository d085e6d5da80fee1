//go:build real

package browser_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is a twohop process that can be killed and started again, at the same
// address and on the same data.
type server struct {
	url, binary, data, addr string
	process                 *exec.Cmd
}

// build builds the command.
func build(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "twohop")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "twohop/cmd/twohop").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// startServer runs the command; it ends with the test.
func startServer(t *testing.T, binary string) *server {
	t.Helper()
	s := &server{binary: binary, data: filepath.Join(t.TempDir(), "data"), addr: freeAddress(t)}
	s.url = "http://" + s.addr
	s.start(t)
	t.Cleanup(func() { s.kill(t) })
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	// Not bound to the test's context: kill ends it, also at the end of the test.
	s.process = exec.CommandContext(context.WithoutCancel(t.Context()), s.binary, "serve", "--listen", s.addr, "--engine", "disk", "--data", s.data)
	s.process.Stderr = os.Stderr
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	waitHealthy(t, s.url)
}

// kill ends the process as a crash does: without a word.
func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.process.Process.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	_ = s.process.Wait() // "signal: killed", which is what was asked for
}

// readers is how many requests and connections read from the server now, as
// its metrics have it.
func (s *server) readers(t *testing.T) (readers []string) {
	t.Helper()
	_, text := send(t.Context(), http.MethodGet, s.url+"/metrics", nil, "")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "twohop_readers{") && !strings.HasSuffix(line, " 0") {
			readers = append(readers, strings.TrimPrefix(line, "twohop_readers"))
		}
	}
	return readers
}

// send sends a request; without an answer the status is 0.
func send(ctx context.Context, method, url string, header map[string]string, body string) (status int, answer string) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

func waitHealthy(t *testing.T, url string) {
	t.Helper()
	waitFor(t, url+" to be healthy", func() bool {
		status, _ := send(t.Context(), http.MethodGet, url+"/health", nil, "")
		return status == http.StatusOK
	})
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
		header := map[string]string{"Content-Type": "application/json"}
		if status, answer := send(t.Context(), http.MethodPut, s.url+"/v1/stream/"+channel, header, ""); status != http.StatusCreated {
			t.Fatalf("creating %s: status %d, %s", channel, status, answer)
		}
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
				if !publishOne(context.WithoutCancel(ctx), tick, s.url+"/v1/stream/"+channel, p.rounds) {
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
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	header := map[string]string{"Content-Type": "application/json", "Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": fmt.Sprint(n)}
	for ctx.Err() == nil {
		status, _ := send(ctx, http.MethodPost, url, header, fmt.Sprintf(`{"n":%d}`, n))
		if status == http.StatusOK || status == http.StatusNoContent {
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

// freeAddress is an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // it was never used
	return l.Addr().String()
}

// patience is what anything may take, but for what has a shorter time.
const patience = 30 * time.Second

// waitFor asks until it is so, and fails the test if that takes too long.
func waitFor(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(25 * time.Millisecond)
	defer again.Stop()
	for !isSo() {
		select {
		case <-deadline.C:
			t.Fatal("timed out waiting for " + what)
		case <-t.Context().Done():
			t.Fatal("the test ended waiting for " + what)
		case <-again.C:
		}
	}
}
