//go:build real

package startpage_test

import (
	"context"
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
	url, binary, data, listen string
	process                   *exec.Cmd
}

// startServer builds the command and runs it; it ends with the test.
func startServer(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{binary: filepath.Join(dir, "twohop"), data: filepath.Join(dir, "data")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.binary, "twohop/cmd/twohop")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.listen = l.Addr().String()
	s.url = "http://" + s.listen
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	t.Cleanup(func() { s.kill(t) })
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	// Not bound to the test's context: kill ends it, also at the end of the test.
	s.process = exec.CommandContext(context.WithoutCancel(t.Context()), s.binary, "serve", "--listen", s.listen, "--engine", "disk", "--data", s.data)
	s.process.Stdout, s.process.Stderr = os.Stderr, os.Stderr
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the server to be healthy", func() bool {
		return s.request(t, http.MethodGet, "/health", "") == http.StatusOK
	})
}

// kill ends the process as a crash does: without a word.
func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.process.Process.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	_ = s.process.Wait() // "signal: killed", which is what was asked for
}

// request answers the status, or 0 if there was no answer.
func (s *server) request(t *testing.T, method, path, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// waitFor asks until it is so, and fails the test if that takes too long.
func waitFor(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
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
