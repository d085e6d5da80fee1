package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"twohop/test/rig"
)

const (
	tests       = 338 // in the suite's version that package.json names
	clientTests = 11  // in client.test.ts
	longPoll    = time.Second
	deadline    = 5 * time.Minute // of one run of the suite, which takes half a minute
)

func TestConformance(t *testing.T) {
	rig.Install(t)
	binary := rig.Build(t)
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

// serve starts the command and returns its address. At the end of the test it
// must end well when it is asked to.
func serve(t *testing.T, binary, config string) string {
	t.Helper()
	s := rig.Serve(t, binary, rig.Options{Config: fmt.Sprintf("%slong_poll: %s\n", config, longPoll)})
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("twohop ended with %v", err)
		}
	})
	return s.URL
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
