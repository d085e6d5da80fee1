package demos

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// policy lets a page use files and channels of its own server and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// types are the media types of the files that there may be.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
}

// pages are the files by address. It does not change once it serves.
type pages map[string]page

type page struct {
	name    string
	content []byte
	tag     string
}

func newPages() pages { return pages{} }

// add serves a file at an address. That it is there, and of a known type, was
// decided when this was compiled.
func (p pages) add(address string, from fs.FS, name string) {
	content, err := fs.ReadFile(from, name)
	if err != nil {
		panic("demos: " + err.Error())
	}
	if types[path.Ext(name)] == "" {
		panic("demos: no media type for " + name)
	}
	sum := sha256.Sum256(content)
	p[address] = page{name, content, `"` + hex.EncodeToString(sum[:12]) + `"`}
}

// addAll serves all files of a directory below an address, but for the page.
func (p pages) addAll(address string, from fs.FS, dir string) {
	entries, err := fs.ReadDir(from, dir)
	if err != nil {
		panic("demos: " + err.Error())
	}
	for _, e := range entries {
		if !e.IsDir() && e.Name() != "index.html" {
			p.add(address+e.Name(), from, path.Join(dir, e.Name()))
		}
	}
}

func (p pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	found, ok := p[r.URL.Path]
	if !ok {
		if _, slash := p[strings.TrimSuffix(r.URL.Path, "/")]; slash {
			http.Redirect(w, r, strings.TrimSuffix(r.URL.Path, "/"), http.StatusPermanentRedirect)
			return
		}
		http.Error(w, "there is no such demo; /demos/ lists them", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "this can only be read", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", types[path.Ext(found.name)])
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-cache") // kept, but asked for again: a newer server has newer pages
	h.Set("Etag", found.tag)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(found.content))
}
