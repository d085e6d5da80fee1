package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"twohop/internal/config"
	"twohop/internal/engine"
)

// memoryServer makes a server on the memory engine that ends with the test.
func memoryServer(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	c := DefaultConfig()
	c.Engine, c.Listen = "memory", "127.0.0.1:0"
	if change != nil {
		change(&c)
	}
	s, err := New(Options{Config: &c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// do answers a request without a network.
func do(s *Server, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(body))
	if method == http.MethodPut || method == http.MethodPost {
		r.Header.Set("Content-Type", "text/plain")
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestHealthAndReadiness(t *testing.T) {
	s := memoryServer(t, nil)
	f := func(path string, status int, want string) {
		t.Helper()
		w := do(s, http.MethodGet, path, "")
		var body map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("%s: %v: %s", path, err, w.Body)
		}
		if w.Code != status || !strings.Contains(w.Body.String(), want) || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("GET %s: %d %s, want %d with %q", path, w.Code, w.Body, status, want)
		}
	}
	f("/health", 200, `"healthy":true`)
	f("/ready", 200, `"ready":true`)

	healthy := s.parts.engine
	s.parts.engine = unhealthy{healthy}
	f("/health", 200, `"healthy":true`)
	f("/ready", 503, "the disk is on fire")
	s.parts.engine = healthy

	s.Drain()
	f("/health", 200, `"healthy":true`)
	f("/ready", 503, "draining")
}

type unhealthy struct{ engine.Engine }

func (unhealthy) Healthy() error { return errors.New("the disk is on fire") }

func TestOtherPathsAndMethods(t *testing.T) {
	s := memoryServer(t, nil)
	f := func(method, path string, status int, code string) {
		t.Helper()
		w := do(s, method, path, "")
		var body struct{ Code, Message, Hint string }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
		}
		if w.Code != status || body.Code != code || body.Message == "" || body.Hint == "" {
			t.Errorf("%s %s: %d %s, want %d %s", method, path, w.Code, w.Body, status, code)
		}
	}
	f("GET", "/nothing", 404, "not_found")
	f("GET", "//v1/stream/a", 404, "not_found")
	f("GET", "/v1/nothing", 404, "not_found")
	f("POST", "/health", 405, "method_not_allowed")
}

func TestMetrics(t *testing.T) {
	s := memoryServer(t, nil)
	if w := do(s, http.MethodPut, "/v1/stream/a", "x"); w.Code != http.StatusCreated {
		t.Fatalf("PUT: %d %s", w.Code, w.Body)
	}
	do(s, http.MethodPost, "/v1/stream/a", "hello")
	do(s, http.MethodPost, "/v1/stream/none", "hello")
	do(s, http.MethodGet, "/v1/stream/a?offset=-1", "")
	text := do(s, http.MethodGet, "/metrics", "").Body.String()
	for _, line := range []string{
		"twohop_published_records_total 1",
		`twohop_http_requests_total{route="publish",status="204"} 1`,
		`twohop_http_requests_total{route="publish",status="404"} 1`,
		`twohop_http_requests_total{route="read",status="200"} 1`,
		`twohop_http_requests_total{route="manage",status="201"} 1`,
		"twohop_publish_seconds_count 2",
		"twohop_delivered_records_total 2",
		`twohop_readers{transport="sse"} 0`,
		"twohop_engine_healthy 1",
		`engine="memory"`,
		"go_goroutines ",
		"process_start_time_seconds ",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in the metrics:\n%s", line, text)
		}
	}
}

func TestDiskMetrics(t *testing.T) {
	s := memoryServer(t, func(c *Config) { c.Engine, c.Data = "disk", t.TempDir() })
	do(s, http.MethodPut, "/v1/stream/a", "")
	do(s, http.MethodPost, "/v1/stream/a", "hello")
	text := do(s, http.MethodGet, "/metrics", "").Body.String()
	for _, line := range []string{"twohop_disk_appends_total 1", "twohop_disk_append_bytes_total 5", `engine="disk"`} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in the metrics:\n%s", line, text)
		}
	}
}

// docs/operations.md lists the server's metrics, all of them and no others.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`twohop_\w+`)
	documented := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `twohop_") {
			for _, name := range names.FindAllString(line, -1) {
				documented[name] = true
			}
		}
	}
	served := map[string]bool{}
	for _, engine := range []string{"memory", "disk"} {
		s := memoryServer(t, func(c *Config) { c.Engine, c.Data = engine, t.TempDir() })
		s.metrics.watch(quietFront{})
		do(s, http.MethodPut, "/v1/stream/a", "")
		families, err := s.metrics.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if names.MatchString(f.GetName()) {
				served[f.GetName()] = true
			}
		}
	}
	if diff := cmp.Diff(served, documented); diff != "" {
		t.Errorf("-served +documented:\n%s", diff)
	}
}

// quietFront is a front on which nothing happens.
type quietFront struct{ front }

func (quietFront) Behind() time.Duration { return 0 }

func TestInvalidConfig(t *testing.T) {
	c := DefaultConfig()
	c.Engine = "redis://127.0.0.1:6379"
	_, err := New(Options{Config: &c})
	faults, ok := errors.AsType[config.Faults](err)
	if !ok || len(faults) != 1 || faults[0].Path != "engine" {
		t.Errorf("got %v", err)
	}
}

// running is a server whose Run was called.
type running struct {
	*Server
	url  string
	stop context.CancelFunc
	done chan error // gets what Run returned
}

func run(t *testing.T, s *Server) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{Server: s, stop: cancel, done: make(chan error, 1)}
	ready := make(chan net.Addr, 1)
	s.ready = func(a net.Addr) { ready <- a }
	go func() { r.done <- s.Run(ctx) }()
	t.Cleanup(cancel)
	select {
	case a := <-ready:
		r.url = "http://" + a.String()
	case err := <-r.done:
		t.Fatal(err)
	}
	return r
}

// get returns the status of an answer and its body, which the test closes.
func get(t *testing.T, url string) (int, *bufio.Reader) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp.StatusCode, bufio.NewReader(resp.Body)
}

func TestRunDrainsReaders(t *testing.T) {
	s := memoryServer(t, nil)
	do(s, http.MethodPut, "/v1/stream/a", "")
	r := run(t, s)
	if got := "http://" + s.Addr().String(); got != r.url {
		t.Errorf("Addr is %s, want %s", got, r.url)
	}
	_, body := get(t, r.url+"/v1/stream/a?offset=-1&live=sse")
	if _, err := body.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	r.stop()
	if _, err := io.Copy(io.Discard, body); err != nil {
		t.Errorf("the response did not end cleanly: %v", err)
	}
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

func TestAddressInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed below
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	s := memoryServer(t, func(c *Config) { c.Listen = ln.Addr().String() })
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Run returned %v", err)
	}
}

func TestDebugServer(t *testing.T) {
	// A port that was free a moment ago: the debug server tells its own in the log only.
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed below
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	r := run(t, memoryServer(t, func(c *Config) { c.Debug.Listen = address }))
	if status, _ := get(t, "http://"+address+"/debug/pprof/cmdline"); status != http.StatusOK {
		t.Errorf("profiles: %d", status)
	}
	if status, _ := get(t, r.url+"/debug/pprof/cmdline"); status != http.StatusNotFound {
		t.Errorf("profiles on the public address: %d", status)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

// A handler that panics is told in the log and counted as what it is, and its
// connection is cut.
func TestPanicOfAHandler(t *testing.T) {
	c := DefaultConfig()
	c.Engine, c.Listen = "memory", "127.0.0.1:0"
	var log bytes.Buffer
	s, err := New(Options{Config: &c, Log: slog.New(slog.NewTextHandler(&log, nil)), Pages: map[string]http.Handler{
		"broken": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("no such luck") }),
		"left":   http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, path := range []string{"/left/", "/broken/"} {
		told := path == "/broken/"
		func() {
			defer func() {
				if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // it is any value
					t.Errorf("%s: %v", path, p)
				}
			}()
			do(s, http.MethodGet, path, "")
		}()
		for _, want := range []string{"no such luck", path, "server_test.go"} {
			if got := strings.Contains(log.String(), want); got != told {
				t.Errorf("%s: %q is in the log: %v, want %v\n%s", path, want, got, told, &log)
			}
		}
	}
	if body := do(s, http.MethodGet, "/metrics", "").Body.String(); !strings.Contains(body, `twohop_http_requests_total{route="other",status="500"} 1`) {
		t.Errorf("the panic is not counted:\n%s", body)
	}
}
