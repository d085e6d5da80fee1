package ts_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"twohop/clients/ts"
	"twohop/test/rig"
)

// node runs a script of the package and returns what it says.
func node(t *testing.T, env []string, args ...string) string {
	t.Helper()
	rig.Install(t)
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestClient runs the client's own tests; those against a real server use the
// command, and the script that is embedded in it.
func TestClient(t *testing.T) {
	out := node(t, []string{"TWOHOP_BIN=" + rig.Build(t)}, "build.mjs", "test")
	for _, none := range []string{"skipped", "todo", "cancelled", "fail"} {
		if !strings.Contains(out, "ℹ "+none+" 0\n") {
			t.Errorf("tests %s:\n%s", none, out)
		}
	}
	if strings.Contains(out, "ℹ pass 0\n") {
		t.Error("no test ran")
	}
}

func TestTypes(t *testing.T) {
	node(t, nil, "node_modules/typescript/bin/tsc", "--noEmit")
}

// TestScriptIsFresh proves that the embedded script is what the sources make.
func TestScriptIsFresh(t *testing.T) {
	node(t, nil, "build.mjs", "check")
}

// TestSize holds the client to its size: all of it, and what is left of it when
// a page takes less.
func TestSize(t *testing.T) {
	node(t, nil, "build.mjs", "size")
}

func TestHandler(t *testing.T) {
	h := ts.Handler()
	ask := func(method string, header ...string) *http.Response {
		r := httptest.NewRequest(method, "/twohop.js", nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	read := func(r io.Reader) string {
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	file, err := os.ReadFile("twohop.js")
	if err != nil {
		t.Fatal(err)
	}

	// A bundler may take the end of the worker for unused.
	if !strings.Contains(string(file), "SharedWorkerGlobalScope") {
		t.Error("the script cannot be the worker that tabs share")
	}

	plain := ask("GET")
	if plain.StatusCode != 200 || read(plain.Body) != string(file) {
		t.Errorf("GET: %d, not the script", plain.StatusCode)
	}
	for name, want := range map[string]string{
		"Content-Type":                 "text/javascript; charset=utf-8",
		"Access-Control-Allow-Origin":  "*",
		"Cross-Origin-Resource-Policy": "cross-origin",
		"X-Content-Type-Options":       "nosniff",
		"Cache-Control":                "no-cache",
		"Vary":                         "Accept-Encoding",
	} {
		if got := plain.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if again := ask("GET", "If-None-Match", plain.Header.Get("Etag")); again.StatusCode != 304 || read(again.Body) != "" {
		t.Errorf("with its ETag: %d, want 304", again.StatusCode)
	}
	if head := ask("HEAD"); head.StatusCode != 200 || read(head.Body) != "" {
		t.Errorf("HEAD: %d", head.StatusCode)
	}

	packed := ask("GET", "Accept-Encoding", "br, gzip")
	z, err := gzip.NewReader(packed.Body)
	if err != nil || packed.Header.Get("Content-Encoding") != "gzip" || read(z) != string(file) {
		t.Errorf("gzip: %v, not the script", err)
	}
	if packed.Header.Get("Etag") == plain.Header.Get("Etag") {
		t.Error("two encodings have one ETag")
	}
	if again := ask("GET", "Accept-Encoding", "gzip", "If-None-Match", packed.Header.Get("Etag")); again.StatusCode != 304 {
		t.Errorf("gzip with its ETag: %d, want 304", again.StatusCode)
	}
}
