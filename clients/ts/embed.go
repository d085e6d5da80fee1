// Package ts serves the TypeScript client as one script, so that a page needs no
// build step: import { follow } from "https://server/twohop.js".
//
// Invariant: the script is what the sources beside it make, byte for byte; a
// test builds it anew and compares. It has no secrets and depends on nobody, so
// pages of all origins may load it; what they may read and write is another
// matter, which the server decides for each request.
//
// The handler is safe for concurrent use; it holds nothing that changes.
package ts

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"maps"
	"net/http"
	"strings"
	"time"
)

//go:embed twohop.js
var script []byte

// Handler serves the script, whatever the path. It answers GET and HEAD; its
// caller refuses other methods.
func Handler() http.Handler {
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // fails only for another level
	_, _ = z.Write(script)                                     // a buffer takes everything
	_ = z.Close()
	sum := sha256.Sum256(script)
	tag := hex.EncodeToString(sum[:12])
	headers := map[string][]string{
		"Content-Type":                 {"text/javascript; charset=utf-8"},
		"Cache-Control":                {"no-cache"}, // kept, but asked for again: a newer server has a newer script
		"Vary":                         {"Accept-Encoding"},
		"Access-Control-Allow-Origin":  {"*"},
		"Cross-Origin-Resource-Policy": {"cross-origin"},
		"X-Content-Type-Options":       {"nosniff"},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), headers)
		body, etag := script, `"`+tag+`"`
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			body, etag = packed.Bytes(), `"`+tag+`-gzip"`
			w.Header().Set("Content-Encoding", "gzip")
		}
		w.Header().Set("Etag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}
