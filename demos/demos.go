// Package demos is what "twohop demo" adds to a server: pages under /demos/ that
// show what the server is for, and the simulated people that make them live.
//
// Invariant: the pages use the public wire only, and load nothing from outside.
// A demo's simulation runs only while one of its pages is open, its channels are
// below "demos/" and bounded by the rules that Rules returns, and only pages of
// the server's own origin can steer it. Nothing here is reachable in a server
// that was not asked for demos.
package demos

import (
	"embed"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"twohop/demos/livecomments"
	"twohop/internal/config"
)

//go:embed index.html shared/*.css shared/*.js
var files embed.FS

// Rules are the rules of the demos' channels: made by the first publish, and
// kept for long enough to come back to, not longer.
func Rules() []config.Rule {
	return []config.Rule{{
		Match: livecomments.Prefix + "**", Create: "on-publish", ContentType: "application/json",
		Retention: config.Retention{Age: time.Hour, Records: 1_000_000, Bytes: 256 << 20},
	}}
}

// Demos are all demos. Serve it at /demos and below.
type Demos struct {
	mux  *http.ServeMux
	live *livecomments.Demo
	url  atomic.Pointer[string]
}

// New makes the demos; nothing runs until a page is open, and none can be before
// Serve.
func New(log *slog.Logger) *Demos {
	d := &Demos{mux: http.NewServeMux()}
	d.live = livecomments.New(log, func() string { return *d.url.Load() })
	pages := newPages()
	pages.add("/demos/", files, "index.html")
	pages.addAll("/demos/shared/", files, "shared")
	pages.add("/demos/live-comments", livecomments.Files, "index.html")
	pages.addAll("/demos/live-comments/", livecomments.Files, ".")
	d.mux.Handle("/demos/", pages)
	d.mux.Handle("/demos", http.RedirectHandler("/demos/", http.StatusPermanentRedirect))
	d.mux.Handle("POST /demos/live-comments/{do}", http.NewCrossOriginProtection().Handler(d.live))
	return d
}

// Serve tells at which address this process reaches its server.
func (d *Demos) Serve(url string) { d.url.Store(&url) }

func (d *Demos) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.url.Load() == nil {
		http.Error(w, "the demos are not up yet", http.StatusServiceUnavailable)
		return
	}
	d.mux.ServeHTTP(w, r)
}

// Close ends all simulations and waits for them.
func (d *Demos) Close() { d.live.Close() }
