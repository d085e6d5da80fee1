package conformance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	tests       = 338 // in the suite's version that package.json names
	clientTests = 11  // in client.test.ts
	longPoll    = time.Second
	deadline    = 5 * time.Minute // of one run of the suite, which takes half a minute
)

func TestConformance(t *testing.T) {
	install(t)
	binary := filepath.Join(t.TempDir(), "twohop")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "twohop/cmd/twohop").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for name, config := range map[string]string{
		"memory":             "engine: memory\n",
		"memory-small-pages": "engine: memory\npage_bytes: 4096\n",
		"disk":               "engine: disk\n",
		"disk-interval":      "engine: disk\nrules: [{match: \"**\", sync: interval}]\n",
		"disk-small-pages":   "engine: disk\npage_bytes: 4096\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := serve(t, binary, config)
			runSuite(t, url, "conformance.test.ts", tests)
			runSuite(t, url, "client.test.ts", clientTests)
		})
	}
}

// install fetches the suite, unless it is there in the version that the lock
// file names.
func install(t *testing.T) {
	t.Helper()
	wanted, err := os.Stat("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.Stat("node_modules/.package-lock.json")
	if err == nil && !have.ModTime().Before(wanted.ModTime()) {
		return
	}
	if out, err := exec.CommandContext(t.Context(), "npm", "ci").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
}

// serve starts the command and returns its address. At the end of the test it
// must end well when it is asked to.
func serve(t *testing.T, binary, config string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "twohop.yaml")
	config += fmt.Sprintf("listen: 127.0.0.1:0\ndata: %s\nlong_poll: %s\nlog: {format: json}\n", filepath.Join(dir, "data"), longPoll)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--config", file) //nolint:noctx // it is ended by a signal, see below
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address, ended, log := make(chan string, 1), make(chan struct{}), &bytes.Buffer{}
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.Write(append(lines.Bytes(), '\n'))
			var line struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				address <- line.Address
			}
		}
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("stopping twohop: %v", err)
		}
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("twohop ended with %v", err)
		}
		if t.Failed() {
			t.Logf("twohop's log:\n%s", log)
		}
	})
	select {
	case a := <-address:
		return "http://" + a
	case <-ended:
		t.Fatalf("twohop ended:\n%s", log)
	case <-time.After(time.Minute):
		t.Fatal("twohop does not serve after a minute")
	}
	return ""
}

// report is the part of vitest's JSON report that counts.
type report struct {
	Total   int `json:"numTotalTests"`
	Passed  int `json:"numPassedTests"`
	Failed  int `json:"numFailedTests"`
	Pending int `json:"numPendingTests"`
	Todo    int `json:"numTodoTests"`
	Files   []struct {
		Message string `json:"message"`
		Tests   []struct {
			Name     string   `json:"fullName"`
			Status   string   `json:"status"`
			Failures []string `json:"failureMessages"`
		} `json:"assertionResults"`
	} `json:"testResults"`
}

func runSuite(t *testing.T, url, file string, tests int) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "report.json")
	cmd := exec.CommandContext(t.Context(), "node", "node_modules/vitest/vitest.mjs", "run", "--reporter=json", "--outputFile="+out, file)
	cmd.Env = append(os.Environ(), "TWOHOP_URL="+url, fmt.Sprintf("TWOHOP_LONG_POLL_MS=%d", longPoll.Milliseconds()))
	stop := time.AfterFunc(deadline, func() { _ = cmd.Process.Kill() })
	output, runErr := cmd.CombinedOutput()
	stop.Stop()

	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("the suite left no report: %v\n%s", runErr, output)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Files {
		if f.Message != "" {
			t.Error(f.Message)
		}
		for _, c := range f.Tests {
			if c.Status != "passed" {
				t.Errorf("%s: %s\n%s", c.Status, c.Name, strings.Join(c.Failures, "\n"))
			}
		}
	}
	if r.Total != tests || r.Passed != tests || r.Failed+r.Pending+r.Todo != 0 {
		t.Errorf("%d tests: %d passed, %d failed, %d left out; want %d passed", r.Total, r.Passed, r.Failed, r.Pending+r.Todo, tests)
	}
	if runErr != nil {
		t.Errorf("the suite ended with %v", runErr)
	}
}
