//go:build real

package demos_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// server is a "twohop demo" that can be killed and started again, at the same
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
	s.process = exec.CommandContext(context.WithoutCancel(t.Context()), s.binary, "demo", "--listen", s.listen, "--engine", "disk", "--data", s.data)
	s.process.Stdout, s.process.Stderr = os.Stderr, os.Stderr
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the server to be healthy", func() bool {
		status, _ := s.request(t, http.MethodGet, "/health", "")
		return status == http.StatusOK
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

// request answers status and body, or 0 if there was no answer.
func (s *server) request(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, ""
	}
	return answer.StatusCode, string(text)
}

var readersLine = regexp.MustCompile(`(?m)^twohop_readers\{transport="sse"\} (\d+)$`)

// crowd is how many read one channel each over SSE, as the simulated people do and
// the pages don't.
func (s *server) crowd(t *testing.T) int {
	t.Helper()
	_, text := s.request(t, http.MethodGet, "/metrics", "")
	m := readersLine.FindStringSubmatch(text)
	if m == nil {
		return -1
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
