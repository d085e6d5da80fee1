package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"twohop/internal/bench"
)

// twohopCmd is this test's executable as the command.
func twohopCmd(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self)
	cmd.Args = append([]string{"twohop"}, args...)
	return cmd
}

// runBench runs "twohop bench" and returns what it printed.
func runBench(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := twohopCmd(t, append([]string{"bench"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), errs.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), 0
}

func benchResult(t *testing.T, args ...string) *bench.Result {
	t.Helper()
	stdout, stderr, code := runBench(t, append(args, "-o", "json")...)
	if code != 0 {
		t.Fatalf("exit code %d: %s\n%s", code, stderr, stdout)
	}
	dec := json.NewDecoder(strings.NewReader(stdout))
	dec.DisallowUnknownFields()
	var r bench.Result
	if err := dec.Decode(&r); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if f := r.Faults(); f.Any() || r.Interrupted {
		t.Fatalf("faults %+v, interrupted %v", f, r.Interrupted)
	}
	return &r
}

// TestBench runs every scenario in a very small form.
func TestBench(t *testing.T) {
	for scenario, figures := range map[string]int{
		"idle": 9, "fanout": 12, "channels": 12, "publish": 4, "resume": 4, "poll": 3, "slow": 2, "mixed": 6,
	} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			r := benchResult(t, scenario, "--readers", "20", "--channels", "5", "--duration", "100ms", "--missed", "30", "--transport", "ws,sse,long-poll,poll")
			if len(r.Figures) != figures {
				t.Errorf("%d figures, want %d", len(r.Figures), figures)
			}
			for _, f := range r.Figures {
				if f.Scenario != scenario || f.Case == "" || f.Did == "" || f.Seconds <= 0 {
					t.Errorf("a figure without its words: %+v", f)
				}
				checkFigure(t, f)
			}
		})
	}
}

// checkFigure sees that a figure has what its scenario is for.
func checkFigure(t *testing.T, f *bench.Figure) {
	t.Helper()
	known := runtime.GOOS == "linux"
	need := func(what string, v float64) {
		if v <= 0 {
			t.Errorf("%s, %s: %s is %g", f.Scenario, f.Case, what, v)
		}
	}
	cpu := func(what string, of func(*bench.ServerCost) float64) {
		if known && f.Server != nil {
			need(what, of(f.Server))
		} else if known && f.Scenario != "mixed" {
			t.Errorf("%s, %s: nothing of the server is known", f.Scenario, f.Case)
		}
	}
	switch f.Scenario {
	case "idle":
		cpu("CPU a connect", func(c *bench.ServerCost) float64 { return c.PerConnect })
	case "poll":
		need("responses", float64(f.Responses))
		need("answer p50", f.Response.P50)
		cpu("CPU a poll", func(c *bench.ServerCost) float64 { return c.PerResponse })
	case "publish":
		need("published", float64(f.Published))
		need("acknowledged p50", f.Ack.P50)
		cpu("CPU a record", func(c *bench.ServerCost) float64 { return c.PerPublish })
	case "resume":
		if f.Deliveries != int64(f.Readers*30) || f.CaughtUp.Count != int64(f.Readers) {
			t.Errorf("resume, %s: %d deliveries to %d readers who missed 30, %d caught up", f.Case, f.Deliveries, f.Readers, f.CaughtUp.Count)
		}
		cpu("CPU a resume", func(c *bench.ServerCost) float64 { return c.PerResume })
	default:
		need("deliveries", float64(f.Deliveries))
		need("latency p50", f.Latency.P50)
		if f.Scenario == "fanout" && f.Deliveries != int64(f.Published)*int64(f.Readers) {
			t.Errorf("fanout, %s: %d records to %d readers are %d deliveries", f.Case, f.Published, f.Readers, f.Deliveries)
		}
		if f.Scenario == "slow" && f.Deliveries != int64(f.Published)*int64(f.Readers) {
			t.Errorf("slow, %s: %d records to %d readers are %d deliveries", f.Case, f.Published, f.Readers, f.Deliveries)
		}
		if f.Slow != nil && (f.Slow.Complete != f.Slow.Readers || f.Slow.Behind == 0) {
			t.Errorf("slow: %+v", f.Slow)
		}
		cpu("CPU a delivery", func(c *bench.ServerCost) float64 { return c.PerDelivery })
	}
}

// TestBenchCalibrates measures what things cost, on both engines.
func TestBenchCalibrates(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // the server's CPU is not known there
	}
	t.Parallel()
	file := filepath.Join(t.TempDir(), "costs.json")
	if _, stderr, code := runBench(t, "--calibrate", file, "--readers", "20", "--duration", "100ms", "--rounds", "1"); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c bench.Costs
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	for _, tr := range []bench.Transport{bench.SSE, bench.WebSocket, bench.LongPoll} {
		d := c.Delivery[tr]
		if c.Connect[tr] <= 0 || d.Steady <= 0 || d.Saturated <= 0 || d.Bulk <= 0 || d.Bytes <= 128 {
			t.Errorf("%s: connect %g, delivery %+v", tr, c.Connect[tr], d)
		}
	}
	for _, engine := range []string{"memory", "disk"} {
		if p := c.Publish[engine]; p.Single <= 0 || p.Parallel <= 0 || p.Bulk <= 0 || p.Pipelined <= 0 || p.Bulk > p.Single {
			t.Errorf("%s: publish %+v", engine, p)
		}
	}
	if err := c.Units.Check(); err != nil {
		t.Errorf("the units lack %v: %s", err, text)
	}
	out, err := twohopCmd(t, "advise", "--costs", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Costs of "+file) {
		t.Errorf("advise: %v, %s", err, out)
	}
	if p := c.Poll; p.Empty <= 0 || p.Unchanged <= 0 || p.Ten <= 0 || p.TenBytes < p.EmptyBytes+10*128 {
		t.Errorf("poll %+v", p)
	}
	if c.Format != bench.CostsFormat || c.Version == "" || c.Machine.Cores == 0 || c.Date.IsZero() {
		t.Errorf("the costs do not say what they are of: %s", text)
	}
}

// TestBenchChecksTheModel sees that all loads are predicted and measured; how
// well needs more time and a quieter machine than a test has.
func TestBenchChecksTheModel(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // the server's CPU is not known there
	}
	t.Parallel()
	stdout, stderr, code := runBench(t, "--check-model", "--readers", "20", "--duration", "100ms", "--rounds", "1", "-o", "json")
	var p bench.Proof
	if err := json.Unmarshal([]byte(stdout), &p); err != nil || code > 1 {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	within := true
	for _, l := range p.Loads {
		if l.Name == "" || l.Cores <= 0 || l.MeasuredCores <= 0 || l.Egress <= 0 || l.MeasuredEgress <= 0 {
			t.Errorf("%+v", l)
		}
		within = within && l.Within
	}
	if len(p.Loads) != 6 || within != (code == 0) {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

// TestBenchNotices reads through a proxy that changes long pages.
func TestBenchNotices(t *testing.T) {
	for name, c := range map[string]struct {
		tamper func([]json.RawMessage) []json.RawMessage
		want   string
	}{
		"nothing": {slices.Clip[[]json.RawMessage], ""},
		"lost": {func(p []json.RawMessage) []json.RawMessage { return slices.Delete(p, 4, 5) },
			"1 records lost, 0 doubled, 0 out of order, 0 in the wrong channel, 0 overdue, 0 readers refused:\n  reader 0 of .* (poll) never got record 8\n"},
		"lost at the end": {func(p []json.RawMessage) []json.RawMessage { return p[:len(p)-1] },
			"1 records lost, 0 doubled, 0 out of order, 0 in the wrong channel, 0 overdue, 0 readers refused:\n  reader 0 of .* (poll) never got records 33 to 33\n"},
		"doubled": {func(p []json.RawMessage) []json.RawMessage { return slices.Insert(p, 4, p[4]) },
			"0 records lost, 1 doubled, 0 out of order, 0 in the wrong channel, 0 overdue, 0 readers refused:\n  reader 0 of .* (poll) got record 8 twice\n"},
		"disordered": {func(p []json.RawMessage) []json.RawMessage { p[4], p[5] = p[5], p[4]; return p },
			"0 records lost, 0 doubled, 1 out of order, 0 in the wrong channel, 0 overdue, 0 readers refused:\n  reader 0 of .* (poll) got record 8 after 9\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := benchProxy(t, func(*http.Request) {}, c.tamper)
			stdout, stderr, code := runBench(t, "resume", "--server", proxy, "--transport", "poll", "--readers", "1", "--missed", "30", "--duration", "200ms")
			if c.want == "" {
				if code != 0 || !strings.Contains(stdout, "No record was lost") {
					t.Errorf("exit code %d: %s%s", code, stdout, stderr)
				}
				return
			}
			before, after, _ := strings.Cut(c.want, ".*")
			if code != 1 || !strings.Contains(stdout, "FAULTS: "+before) || !strings.Contains(stdout, after) || !strings.Contains(stderr, "records were lost, doubled or out of order") {
				t.Errorf("exit code %d, want 1 and %q: %s%s", code, c.want, stdout, stderr)
			}
		})
	}
}

// benchProxy stands before a server, sees requests, and changes pages of many
// records.
func benchProxy(t *testing.T, see func(*http.Request), tamper func([]json.RawMessage) []json.RawMessage) string {
	t.Helper()
	return proxyBefore(t, see, func(resp *http.Response) error {
		if resp.Request.Method != http.MethodGet || resp.Header.Get("Content-Type") != "application/json" {
			return nil
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		var page []json.RawMessage
		if json.Unmarshal(body, &page) == nil && len(page) > 10 {
			if body, err = json.Marshal(tamper(page)); err != nil {
				return err
			}
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
		return nil
	})
}

// proxyBefore stands before a server, sees requests, and changes answers.
func proxyBefore(t *testing.T, see func(*http.Request), change func(*http.Response) error) string {
	t.Helper()
	to := &url.URL{Scheme: "http", Host: startServer(t)}
	s := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			see(r.In)
			r.SetURL(to)
		},
		ModifyResponse: change,
	})
	t.Cleanup(s.Close)
	return s.URL
}

// channelsLeft knows the channels that were made and not deleted since.
type channelsLeft struct {
	mu   sync.Mutex
	all  int
	left map[string]bool
}

func (c *channelsLeft) see(r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.Method {
	case http.MethodPut:
		c.all++
		c.left[r.URL.Path] = true
	case http.MethodDelete:
		delete(c.left, r.URL.Path)
	}
}

func (c *channelsLeft) check(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == 0 || len(c.left) > 0 {
		t.Errorf("%d of %d channels are left on the server", len(c.left), c.all)
	}
}

// TestBenchGoesOnWhereConnectionsEnd publishes through a proxy that ends a
// connection with every third answer.
func TestBenchGoesOnWhereConnectionsEnd(t *testing.T) {
	t.Parallel()
	var answers atomic.Int64
	channels := channelsLeft{left: map[string]bool{}}
	proxy := proxyBefore(t, channels.see, func(resp *http.Response) error {
		if resp.Request.Method != http.MethodGet && answers.Add(1)%3 == 0 {
			resp.Header.Set("Connection", "close")
		}
		return nil
	})
	r := benchResult(t, "publish", "channels", "--server", proxy, "--readers", "10", "--channels", "5", "--duration", "100ms", "--transport", "sse")
	if len(r.Figures) != 7 {
		t.Errorf("%d figures, want 7", len(r.Figures))
	}
	channels.check(t)
}

// startServer starts "twohop serve" for the time of a test.
func startServer(t *testing.T) (address string) {
	t.Helper()
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	cmd := twohopCmd(t, "serve", "--engine", "memory", "--listen", address, "--drain", "0s")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	line := make([]byte, 256)
	for n := 0; !bytes.Contains(line[:n], []byte("msg=serving")); {
		k, err := stderr.Read(line[n:])
		if n += k; err != nil {
			t.Fatalf("the server does not serve: %s", line[:n])
		}
	}
	return address
}

// TestBenchEndsEarly interrupts a bench, which prints what it has, and leaves
// nothing on the server.
func TestBenchEndsEarly(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it knows no signals
	}
	t.Parallel()
	published := make(chan struct{})
	var once sync.Once
	channels := channelsLeft{left: map[string]bool{}}
	proxy := benchProxy(t, func(r *http.Request) {
		channels.see(r)
		if r.Method == http.MethodPost {
			once.Do(func() { close(published) })
		}
	}, slices.Clip[[]json.RawMessage])
	cmd := twohopCmd(t, "bench", "fanout", "poll", "--server", proxy, "--readers", "5", "--rate", "100", "--duration", "1h", "-o", "json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-published:
	case <-t.Context().Done():
		t.Fatal("nothing is published")
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitInterrupted {
		t.Fatalf("exit code %d, %v; want %d: %s", cmd.ProcessState.ExitCode(), err, exitInterrupted, &stderr)
	}
	var r bench.Result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil || !r.Interrupted || len(r.Figures) != 1 {
		t.Fatalf("printed %s, %v", &stdout, err)
	}
	if f := r.Figures[0]; !f.Interrupted || f.Deliveries != int64(f.Published)*5 || f.Published == 0 || f.Faults.Any() {
		t.Errorf("the figure is %+v", f)
	}
	channels.check(t)
}
