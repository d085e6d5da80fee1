// Package startpage is the page at the server's own address: what twohop is,
// the commands of the first minute, and a live channel to try it on.
//
// Invariant: the page is one response that needs no other. Its style and its
// scripts are files of their own here, so that they can be read and the page
// opened from disk; they are put inside it once, and the Content-Security-Policy
// lets exactly those bytes run and nothing else. The page uses the public wire
// only, as any other client would.
//
// The handler is safe for concurrent use; it holds nothing that changes.
package startpage

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"strings"
	"time"
)

//go:embed index.html *.css *.js
var files embed.FS

// The parts that the page names, in the order in which they stand in it.
var (
	styles  = []string{"start.css"}
	scripts = []string{"journal.js", "strip.js", "follow.js", "publish.js", "records.js", "start.js"}
)

// Handler serves the page, whatever the path: the server mounts it at "/" only.
// The page names the server's other pages, by the first segment of their paths.
func Handler(pages ...string) http.Handler {
	page, policy := assemble()
	var links strings.Builder
	for _, p := range pages {
		links.WriteString(`<a href="/` + p + `/">` + p + "</a>\n    ")
	}
	page = bytes.Replace(page, []byte("<!-- pages -->"), []byte(links.String()), 1)
	sum := sha256.Sum256(page)
	headers := map[string][]string{
		"Content-Type":               {"text/html; charset=utf-8"},
		"Content-Security-Policy":    {policy},
		"Cache-Control":              {"no-cache"}, // kept, but asked for again: a newer server has a newer page
		"Etag":                       {`"` + hex.EncodeToString(sum[:12]) + `"`},
		"X-Content-Type-Options":     {"nosniff"},
		"Referrer-Policy":            {"no-referrer"},
		"Cross-Origin-Opener-Policy": {"same-origin"},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the start page can only be read", http.StatusMethodNotAllowed)
			return
		}
		maps.Copy(w.Header(), headers)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page))
	})
}

// assemble puts the style and the scripts into the page, each where the page
// names its file, and returns the policy that allows them by their hashes.
func assemble() (page []byte, policy string) {
	page = read("index.html")
	var styleHashes, scriptHashes []string
	for _, name := range styles {
		styleHashes = append(styleHashes, inline(&page, `<link rel="stylesheet" href="`+name+`">`, "style", read(name)))
	}
	for _, name := range scripts {
		scriptHashes = append(scriptHashes, inline(&page, `<script src="`+name+`"></script>`, "script", read(name)))
	}
	return page, strings.Join([]string{
		"default-src 'none'",
		"script-src " + strings.Join(scriptHashes, " "),
		"style-src " + strings.Join(styleHashes, " "),
		"img-src data:",
		"connect-src 'self'",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
	}, "; ")
}

// inline replaces a reference by the element that holds its content, and
// returns the content's hash as a policy writes it.
func inline(page *[]byte, reference, element string, content []byte) string {
	content = append([]byte("\n"), content...)
	before, after, found := bytes.Cut(*page, []byte(reference))
	if !found {
		panic("startpage: index.html does not have " + reference)
	}
	*page = bytes.Join([][]byte{before, []byte("<" + element + ">"), content, []byte("</" + element + ">"), after}, nil)
	sum := sha256.Sum256(content)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// read returns an embedded file; that it is there was checked by the compiler
// or, for the lists above, by every call of Handler.
func read(name string) []byte {
	b, err := files.ReadFile(name)
	if err != nil {
		panic("startpage: " + err.Error())
	}
	return b
}
