package demos

import (
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"twohop/demos/livecomments"
	"twohop/server"
)

// ask sends a request to demos of its own, which know no server.
func ask(t *testing.T, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	d := New(slog.New(slog.DiscardHandler))
	t.Cleanup(d.Close)
	d.Serve("http://127.0.0.1:1")
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func TestHeaders(t *testing.T) {
	for target, kind := range map[string]string{
		"/demos/": "text/html; charset=utf-8", "/demos/live-comments": "text/html; charset=utf-8",
		"/demos/live-comments/page.js": "text/javascript; charset=utf-8", "/demos/shared/tokens.css": "text/css; charset=utf-8",
	} {
		r := ask(t, http.MethodGet, target, "")
		if r.Code != http.StatusOK || r.Body.Len() == 0 {
			t.Errorf("%s: status %d with %d bytes", target, r.Code, r.Body.Len())
		}
		for name, want := range map[string]string{
			"Content-Type": kind, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": policy,
		} {
			if got := r.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
		again := ask(t, http.MethodGet, target, "", "If-None-Match", r.Header().Get("Etag"))
		if again.Code != http.StatusNotModified {
			t.Errorf("%s: asked again, status %d, want 304", target, again.Code)
		}
		if post := ask(t, http.MethodPut, target, "{}"); post.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: PUT answers %d, want 405", target, post.Code)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Error("the policy allows what is unsafe")
	}
}

func TestAddresses(t *testing.T) {
	for target, want := range map[string]int{
		"/demos": http.StatusPermanentRedirect, "/demos/live-comments/": http.StatusPermanentRedirect,
		"/demos/nothing": http.StatusNotFound, "/demos/live-comments/index.html": http.StatusNotFound,
		"/demos/live-comments/demo.go": http.StatusNotFound, "/demos/shared/": http.StatusNotFound,
	} {
		if r := ask(t, http.MethodGet, target, ""); r.Code != want {
			t.Errorf("%s: status %d, want %d", target, r.Code, want)
		}
	}
}

// Only pages of the server's own origin steer the demos, with JSON that is small
// and makes sense.
func TestControl(t *testing.T) {
	json := []string{"Content-Type", "application/json"}
	for _, c := range []struct {
		what, body string
		header     []string
		status     int
	}{
		{"settings", `{"rate":500}`, json, http.StatusOK},
		{"settings", `{"rate":500}`, append(json, "Sec-Fetch-Site", "same-origin"), http.StatusOK},
		{"settings", `{"rate":500}`, append(json, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		{"settings", `{"rate":500}`, append(json, "Sec-Fetch-Site", "same-site"), http.StatusForbidden},
		{"settings", `{"rate":500}`, append(json, "Origin", "https://elsewhere.example"), http.StatusForbidden},
		{"settings", `{"rate":500}`, nil, http.StatusBadRequest},
		{"settings", `{"rate":"many"}`, json, http.StatusBadRequest},
		{"settings", `[1,2`, json, http.StatusBadRequest},
		{"settings", `{"rate":5` + strings.Repeat(" ", 2000) + `}`, json, http.StatusBadRequest},
		{"watch", `{}`, json, http.StatusBadRequest},
		{"watch", `{"page":"` + strings.Repeat("x", 100) + `"}`, json, http.StatusBadRequest},
		{"watch", `{"page":"a","leave":true}`, json, http.StatusOK},
		{"drop", `{}`, json, http.StatusServiceUnavailable},
		{"nothing", `{}`, json, http.StatusNotFound},
	} {
		r := ask(t, http.MethodPost, "/demos/live-comments/"+c.what, c.body, c.header...)
		if r.Code != c.status {
			t.Errorf("%s %.40s %v: status %d, want %d: %s", c.what, c.body, c.header, r.Code, c.status, r.Body)
		}
	}
	if r := ask(t, http.MethodPost, "/demos/live-comments/settings", `{"rate":5}`, json...); !strings.Contains(r.Body.String(), `"rate":10`) {
		t.Errorf("settings beyond the bounds: %s", r.Body)
	}
}

// A server that was not asked for demos has none.
func TestServeHasNoDemos(t *testing.T) {
	c := server.DefaultConfig()
	c.Engine = "memory"
	s, err := server.New(server.Options{Config: &c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, target := range []string{"/demos", "/demos/", "/demos/live-comments", "/demos/live-comments/drop"} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", target, w.Code)
		}
	}
}

func TestRules(t *testing.T) {
	c := server.DefaultConfig()
	c.Rules = Rules()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	rule := c.ChannelRules().For(livecomments.Prefix + "comments")
	if !rule.Create || rule.Retention.Age <= 0 || rule.Retention.Records == 0 || rule.Retention.Bytes == 0 {
		t.Errorf("the comments' rule is %+v, want it to create and to bound", rule)
	}
	if other := c.ChannelRules().For("anything/else"); other.Create {
		t.Error("a rule of the demos holds for other channels too")
	}
}

// Every file that a file names is served, nothing comes from outside, and
// nothing is in a page that the policy would block.
func TestFiles(t *testing.T) {
	all := map[string]string{}
	for address, from := range map[string]fs.FS{"/demos/": files, "/demos/live-comments/": livecomments.Files} {
		err := fs.WalkDir(from, ".", func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			text, err := fs.ReadFile(from, name)
			all[address+name] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 10 {
		t.Fatalf("%d files", len(all))
	}
	for address, text := range all {
		for _, m := range regexp.MustCompile(`(?:from|src=|href=) ?["']([^"'#]+)["']`).FindAllStringSubmatch(text, -1) {
			target := m[1]
			switch {
			case strings.HasPrefix(target, "data:"), target == "/", target == "/twohop.js":
				continue
			case strings.HasPrefix(target, "./"):
				target = path.Join(path.Dir(address), target)
			}
			if r := ask(t, http.MethodGet, target, ""); r.Code != http.StatusOK {
				t.Errorf("%s names %s: status %d", address, m[1], r.Code)
			}
		}
		markup := strings.HasSuffix(address, ".html")
		for what, pattern := range map[string]string{
			"a resource from outside": `(src|href)=["']?(https?:)?//|url\((https?:)?//|@import`,
			"text run as code":        `\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write`,
		} {
			if m := regexp.MustCompile(pattern).FindString(text); m != "" {
				t.Errorf("%s has %s: %s", address, what, m)
			}
		}
		if markup {
			for what, pattern := range map[string]string{"a style of its own": `<style|\sstyle=`, "a script of its own": `<script>|\son[a-z]+=`} {
				if m := regexp.MustCompile(pattern).FindString(text); m != "" {
					t.Errorf("%s has %s: %s", address, what, m)
				}
			}
		}
	}
}

// Every element that a page's scripts and labels look for is there, once.
func TestNamesInPage(t *testing.T) {
	read := func(name string) string {
		text, err := fs.ReadFile(livecomments.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	html := read("index.html")
	ids := map[string]int{"link-title": 1} // made by the shared card
	for _, m := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(html, -1) {
		ids[m[1]]++
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("%d elements have the id %s", n, id)
		}
	}
	text := html + read("page.js") + read("crowd.js")
	for _, pattern := range []string{`\$\('([^']+)'\)`, `aria-labelledby="([^"]+)"`, `\sfor="([^"]+)"`, `href="#([^"]+)"`} {
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1)
		if len(found) == 0 {
			t.Errorf("nothing matches %s", pattern)
		}
		for _, m := range found {
			if ids[m[1]] == 0 {
				t.Errorf("%s refers to an element that is not there", m[0])
			}
		}
	}
}
