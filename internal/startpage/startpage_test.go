package startpage_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"twohop/internal/startpage"
)

// ask sends a request to a handler of its own.
func ask(method string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	startpage.Handler().ServeHTTP(w, r)
	return w
}

func TestHeaders(t *testing.T) {
	r := ask(http.MethodGet)
	if r.Code != http.StatusOK {
		t.Fatalf("status %d, want 200", r.Code)
	}
	for name, want := range map[string]string{
		"Content-Type":           "text/html; charset=utf-8",
		"Cache-Control":          "no-cache",
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
	} {
		if got := r.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if tag := r.Header().Get("ETag"); !strings.HasPrefix(tag, `"`) || len(tag) < 18 {
		t.Errorf("ETag is %s, want a strong tag", tag)
	}
}

func TestAskedAgain(t *testing.T) {
	first := ask(http.MethodGet)
	tag := first.Header().Get("ETag")
	r := ask(http.MethodGet, "If-None-Match", tag)
	if r.Code != http.StatusNotModified || r.Header().Get("ETag") != tag {
		t.Errorf("status %d with tag %s, want 304 with %s", r.Code, r.Header().Get("ETag"), tag)
	}
	if r := ask(http.MethodGet, "If-None-Match", `"another"`); r.Code != http.StatusOK {
		t.Errorf("status %d for another tag, want 200", r.Code)
	}
}

func TestHead(t *testing.T) {
	get, head := ask(http.MethodGet), ask(http.MethodHead)
	if head.Code != http.StatusOK || head.Header().Get("Content-Length") != get.Header().Get("Content-Length") {
		t.Errorf("HEAD: status %d, length %s; GET has length %s", head.Code, head.Header().Get("Content-Length"), get.Header().Get("Content-Length"))
	}
	if n := head.Body.Len(); n != 0 {
		t.Errorf("HEAD has a body of %d bytes", n)
	}
}

func TestOtherMethods(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		r := ask(method)
		if r.Code != http.StatusMethodNotAllowed || r.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: status %d, Allow %q; want 405 and GET, HEAD", method, r.Code, r.Header().Get("Allow"))
		}
	}
}

// directives takes a policy apart.
func directives(policy string) map[string][]string {
	out := map[string][]string{}
	for d := range strings.SplitSeq(policy, ";") {
		words := strings.Fields(d)
		out[words[0]] = words[1:]
	}
	return out
}

// The policy allows exactly the style and the scripts that are in the page.
func TestPolicyMatchesContent(t *testing.T) {
	r := ask(http.MethodGet)
	page, policy := r.Body.String(), directives(r.Header().Get("Content-Security-Policy"))
	for element, directive := range map[string]string{"script": "script-src", "style": "style-src"} {
		var want []string
		for _, m := range regexp.MustCompile(`(?s)<`+element+`>(.*?)</`+element+`>`).FindAllStringSubmatch(page, -1) {
			sum := sha256.Sum256([]byte(m[1]))
			want = append(want, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
		}
		if len(want) == 0 || !slices.Equal(policy[directive], want) {
			t.Errorf("%s is %v, the page's content has %v", directive, policy[directive], want)
		}
	}
	for directive, want := range map[string]string{
		"default-src": "'none'", "connect-src": "'self'", "img-src": "data:",
		"base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
	} {
		if got := strings.Join(policy[directive], " "); got != want {
			t.Errorf("%s is %q, want %q", directive, got, want)
		}
	}
}

// What the policy would block, or what would need another request, is not in
// the page.
func TestNothingFromOutside(t *testing.T) {
	page := ask(http.MethodGet).Body.String()
	markup := regexp.MustCompile(`(?s)<(script|style)>.*?</(script|style)>`).ReplaceAllString(page, "")
	for what, pattern := range map[string]string{
		"an element that loads something":       `<(script|img|iframe|object|embed|audio|video|source|base)\b`,
		"a stylesheet of its own":               `rel="?stylesheet`,
		"a style attribute":                     `\sstyle\s*=`,
		"a script attribute":                    `\son[a-z]+\s*=`,
		"a reference to elsewhere":              `(href|src|action)\s*=\s*["']?(https?:)?//`,
		"a form that sends to another resource": `\saction\s*=`,
	} {
		if m := regexp.MustCompile(pattern).FindString(markup); m != "" {
			t.Errorf("the page has %s: %q", what, m)
		}
	}
	for what, pattern := range map[string]string{
		"a resource of the style":   `url\(|@import`,
		"a way to run text as code": `\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write`,
	} {
		if m := regexp.MustCompile(pattern).FindString(page); m != "" {
			t.Errorf("the page has %s: %q", what, m)
		}
	}
}

// Every element that the scripts and the labels look for is there, once.
func TestNamesInPage(t *testing.T) {
	page := ask(http.MethodGet).Body.String()
	ids := map[string]int{}
	for _, m := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		ids[m[1]]++
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("%d elements have the id %s", n, id)
		}
	}
	for _, pattern := range []string{`\$\('([^']+)'\)`, `aria-labelledby="([^"]+)"`, `data-copy="([^"]+)"`, `\sfor="([^"]+)"`, `href="#([^"]+)"`} {
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(page, -1)
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

func TestOtherPages(t *testing.T) {
	const link = `<a href="/demos/">demos</a>`
	if strings.Contains(ask(http.MethodGet).Body.String(), link) {
		t.Error("a page is named that is not there")
	}
	w := httptest.NewRecorder()
	startpage.Handler("demos").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if !strings.Contains(w.Body.String(), link) {
		t.Error("the other page is not named")
	}
}
