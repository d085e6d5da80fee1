//go:build real && linux

package disk_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take before it counts as stuck.
const patience = 30 * time.Second

// server is a process of the real command that can be killed and started again.
// It listens on a port of its own choice, which it names in its log.
type server struct {
	t     *testing.T
	bin   string
	args  []string
	cmd   *exec.Cmd
	url   string
	ended chan struct{} // closed when its log has ended
}

func startServer(t *testing.T, data string, options ...string) *server {
	t.Helper()
	s := &server{t: t, bin: filepath.Join(t.TempDir(), "twohop")}
	s.args = append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data, "--sse-heartbeat", "200ms"}, options...)
	run(t, "go", "build", "-o", s.bin, "twohop/cmd/twohop")
	s.start()
	t.Cleanup(s.kill)
	return s
}

var serving = regexp.MustCompile(`msg=serving address=(\S+)`)

func (s *server) start() {
	s.t.Helper()
	// Not bound to the test's context: kill ends it, also at the end of the test.
	s.cmd = exec.CommandContext(context.WithoutCancel(s.t.Context()), s.bin, s.args...)
	log, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	address, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(log)
		for lines.Scan() {
			if m := serving.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
			if !strings.Contains(lines.Text(), "level=INFO") {
				s.t.Log("server: ", lines.Text())
			}
		}
	}()
	s.ended = ended
	select {
	case a := <-address:
		s.url = "http://" + a
	case <-ended:
		s.t.Fatal("the server ended at its start")
	case <-time.After(patience):
		s.t.Fatal("the server does not listen")
	}
}

// kill ends the process at once.
func (s *server) kill() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	<-s.ended
	_ = s.cmd.Wait() // says that it was killed
}

// stop ends the process in good order.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.t.Error("the server does not end")
	}
	s.kill()
}

// answer is what the server says to a request.
type answer struct {
	status     int
	retryAfter string
	header     http.Header
	body       []byte

	Code    string `json:"code"` // of an error, like what follows
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

func (s *server) request(method, path string, header map[string]string, body string) *answer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := &answer{status: resp.StatusCode, retryAfter: resp.Header.Get("Retry-After"), header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		s.t.Fatal(err)
	}
	if a.status >= http.StatusBadRequest {
		if err := json.Unmarshal(a.body, a); err != nil {
			s.t.Errorf("%s %s: status %d with a body that is not the form of errors: %q", method, path, a.status, a.body)
		}
	}
	return a
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(25 * time.Millisecond)
	defer again.Stop()
	for !isSo() {
		select {
		case <-deadline.C:
			t.Fatal("timed out waiting for " + what)
		case <-again.C:
		}
	}
}
