//go:build real

package balancer_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take before it counts as stuck: less than
// the server's heartbeat, which would push out what a balancer holds back.
const patience = 12 * time.Second

// settings of the servers: a publish creates its channel.
const settings = `
log: {level: error}
rules:
  - match: "text/*"
    create: on-publish
    content_type: text/plain
  - match: "**"
    create: on-publish
    content_type: application/json
`

// server is a twohop process that can be killed and started again, at the same
// address and on the same data.
type server struct {
	t       *testing.T
	binary  string
	dir     string
	addr    string
	url     string
	process *exec.Cmd
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

// startServer runs the command with a configuration; it ends with the test.
func startServer(t *testing.T, binary, config string) *server {
	t.Helper()
	s := &server{t: t, binary: binary, dir: t.TempDir(), addr: freeAddress(t)}
	s.url = "http://" + s.addr
	if err := os.WriteFile(filepath.Join(s.dir, "twohop.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	// Not bound to the test's context: kill ends it, also at the end of the test.
	s.process = exec.CommandContext(context.WithoutCancel(s.t.Context()), s.binary, "serve",
		"--config", filepath.Join(s.dir, "twohop.yaml"), "--listen", s.addr, "--data", filepath.Join(s.dir, "data"))
	s.process.Stdout, s.process.Stderr = os.Stderr, os.Stderr
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the server to be healthy", func() bool {
		a, err := send(s.t.Context(), http.MethodGet, s.url+"/health", nil, "")
		return err == nil && a.status == http.StatusOK
	})
}

// kill ends the process as a crash does: without a word.
func (s *server) kill() {
	if err := s.process.Process.Signal(syscall.SIGKILL); err != nil {
		s.t.Error(err)
	}
	_ = s.process.Wait() // "signal: killed", which is what was asked for
}

// restart kills the process and starts it again.
func (s *server) restart() {
	s.t.Helper()
	s.kill()
	s.start()
}

// answer is what is said to a request.
type answer struct {
	status int
	header http.Header
	body   string
}

type header = map[string]string

// asWritten sends requests as they are and leaves answers as they come.
var asWritten = &http.Client{Transport: &http.Transport{DisableCompression: true}}

// send sends one request and reads the answer, whole.
func send(ctx context.Context, method, url string, hd header, body string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	setHeader(r, hd)
	resp, err := asWritten.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return &answer{status: resp.StatusCode, header: resp.Header, body: string(b)}, err
}

func setHeader(r *http.Request, hd header) {
	for k, v := range hd {
		r.Header.Set(k, v)
	}
	if host := hd["Host"]; host != "" {
		r.Host = host
	}
}

// mustSend sends a request that must be answered with the status.
func mustSend(t *testing.T, want int, method, url string, hd header, body string) *answer {
	t.Helper()
	a, err := send(t.Context(), method, url, hd, body)
	if err != nil {
		t.Fatal(err)
	}
	if a.status != want {
		t.Fatalf("%s %s is answered %d, want %d: %.200s", method, url, a.status, want, a.body)
	}
	return a
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !isSo() {
		select {
		case <-deadline.C:
			t.Fatal("timed out waiting for " + what)
		case <-again.C:
		}
	}
}
