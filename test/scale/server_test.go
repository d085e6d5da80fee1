//go:build linux

package scale

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is a process of the real command. It listens on a port of its own
// choice, which it names in its log.
type server struct {
	t    *testing.T
	bin  string
	args []string
	cmd  *exec.Cmd
	url  string
	logs chan struct{} // closed when its log has ended
}

func newServer(t *testing.T, config string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, bin: filepath.Join(dir, "twohop")}
	file := filepath.Join(dir, "twohop.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{"serve", "--config", file, "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", s.bin, "twohop/cmd/twohop").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return s
}

var serving = regexp.MustCompile(`msg=serving address=(\S+)`)

// start runs the server and returns how long it took to be ready.
func (s *server) start() time.Duration {
	s.t.Helper()
	// Not bound to the test's context: kill ends it, also at the end of the test.
	s.cmd = exec.CommandContext(context.WithoutCancel(s.t.Context()), s.bin, s.args...)
	log, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	address := make(chan string, 1)
	s.logs = make(chan struct{})
	go s.follow(log, address)
	select {
	case a := <-address:
		s.url = "http://" + a
	case <-s.logs:
		s.t.Fatal("the server ended")
	case <-time.After(time.Minute):
		s.t.Fatal("the server does not listen after a minute")
	}
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !s.ready() {
		<-again.C
		if time.Since(began) > time.Minute {
			s.t.Fatal("the server is not ready after a minute")
		}
	}
	return time.Since(began)
}

// follow passes on the address that the log names, and warnings to the test's log.
func (s *server) follow(log io.Reader, address chan<- string) {
	defer close(s.logs)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			address <- m[1]
		}
		if !strings.Contains(lines.Text(), "level=INFO") {
			s.t.Log("server: ", lines.Text())
		}
	}
}

func (s *server) ready() bool {
	answer, err := http.Get(s.url + "/ready") //nolint:noctx // loopback, and the server ends with the test
	if err != nil {
		return false
	}
	_ = answer.Body.Close() // nothing of it is wanted
	return answer.StatusCode == http.StatusOK
}

// kill ends the process as a power cut ends it: at once.
func (s *server) kill() {
	if err := s.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		s.t.Errorf("kill the server: %v", err)
	}
	<-s.logs
	_ = s.cmd.Wait() // says that it was killed
}

// memory is what the process has resident, in MiB.
func (s *server) memory() int {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return kb >> 10
}
