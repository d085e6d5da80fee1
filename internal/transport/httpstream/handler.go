// Package httpstream is the Durable Streams protocol and its extensions over
// HTTP: everything under /v1/. Poll, long poll and SSE are one read of a cursor
// with three endings: answer now, wait once, go on for ever.
//
// Invariant: between two offsets that a client was given there is no record
// that it was not given, unless it was told so by a reset. A reader that cannot
// take more is not queued for; it reads more at once later.
package httpstream

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/wire"
)

// Options of the handler. Zero values are the defaults.
type Options struct {
	Rules         twohop.Rules
	LongPoll      time.Duration // how long a long poll waits; 20 s
	Heartbeat     time.Duration // between comments of an idle SSE response; 15 s, on plain connections that show no proxy 45 s
	MaxAge        time.Duration // after which an SSE response ends, give or take a fifth; 5 min
	Retry         time.Duration // that SSE readers wait before they reconnect; 1 s
	NameBytes     int           // of a channel's name; 255
	BodyBytes     int64         // of a request; 16 MiB
	BodyTime      time.Duration // for a request's body to arrive; 60 s
	HeaderTime    time.Duration // for a request's header to arrive, on loops; 10 s
	HeaderBytes   int           // of a request, on loops; 32 KiB
	PublishItems  int           // of a POST /v1/publish; 1,000
	Origins       []string      // browsers' origins that may come from elsewhere: "https://app.example", "*"; loopback always may
	Hosts         wire.Hosts    // under which loops may be asked; others they hand over, to be refused
	Subscriptions http.Handler  // takes /v1/stream/__ds/
	Many          http.Handler  // takes /v1/ws and /v1/subscribe
	Logger        *slog.Logger
	// Answered is told of each request that was answered on a loop; those that
	// came through ServeHTTP are its caller's to count. It must return at once.
	Answered func(publish bool, status int, took time.Duration)

	direct time.Duration // Heartbeat of plain connections that show no proxy
}

// heartbeat is the pace on a loop's connection.
func (o *Options) heartbeat(r *wire.Request) time.Duration {
	if r.Proxied() {
		return o.Heartbeat
	}
	return o.direct
}

func (o *Options) setDefaults() {
	o.direct = cmp.Or(o.Heartbeat, wire.DirectHeartbeat)
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&o.Heartbeat, wire.Heartbeat}, {&o.LongPoll, 20 * time.Second}, {&o.MaxAge, 5 * time.Minute},
		{&o.Retry, time.Second}, {&o.BodyTime, time.Minute}, {&o.HeaderTime, 10 * time.Second},
	} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if o.NameBytes == 0 {
		o.NameBytes = 255
	}
	if o.BodyBytes == 0 {
		o.BodyBytes = 16 << 20
	}
	if o.HeaderBytes == 0 {
		o.HeaderBytes = 32 << 10
	}
	if o.PublishItems == 0 {
		o.PublishItems = 1000
	}
	if o.Answered == nil {
		o.Answered = func(bool, int, time.Duration) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Handler serves /v1/.
type Handler struct {
	hub   *hub.Hub
	opts  Options
	stats Stats

	draining  chan struct{} // closed by Drain
	drainOnce sync.Once
}

// Stats counts what the handler did. All fields are read with Load.
type Stats struct {
	Polls, LongPolls, SSE atomic.Int64 // readers now
	Records, Bytes        atomic.Int64 // delivered since the start, by all reads
	Published             atomic.Int64 // records acknowledged, without duplicates
	Resets                atomic.Int64
	Publishing            atomic.Int64 // publishes under way on loops
}

// New makes the handler for a hub's channels.
func New(h *hub.Hub, o Options) *Handler {
	o.setDefaults()
	return &Handler{hub: h, opts: o, draining: make(chan struct{})}
}

// Stats returns the counters.
func (h *Handler) Stats() *Stats { return &h.stats }

// Drain ends all live responses cleanly, and those to come at once: readers go
// on elsewhere, at their offset.
func (h *Handler) Drain() { h.drainOnce.Do(func() { close(h.draining) }) }

const extensions = "sse-id, sse-encoding, tail-records, since, records-lines, idempotency-key, if-match, reset, budget, advice, publish, readers, durability, ws, subscribe"

const exposed = "Stream-Next-Offset, Stream-Start-Offset, Stream-Up-To-Date, Stream-Closed, Stream-Cursor, Stream-TTL, Stream-Expires-At, " +
	"Stream-SSE-Data-Encoding, Stream-Budget, Stream-Advice, Stream-Heartbeat, Stream-Extensions, Stream-Durability, Stream-Readers, Stream-Duplicate, Stream-Reset, " +
	"Producer-Epoch, Producer-Seq, Producer-Expected-Seq, Producer-Received-Seq, Stream-Resume, ETag, Location, Retry-After"

const allowedHeaders = "Content-Type, Authorization, If-None-Match, If-Match, Idempotency-Key, Last-Event-ID, " +
	"Stream-Seq, Stream-TTL, Stream-Expires-At, Stream-Closed, Stream-Records, Stream-Forked-From, Stream-Fork-Offset, " +
	"Stream-Fork-Sub-Offset, Producer-Id, Producer-Epoch, Producer-Seq"

const streamPrefix = "/v1/stream/"

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hd := w.Header()
	hd["X-Content-Type-Options"] = nosniff
	hd["Cross-Origin-Resource-Policy"] = crossOrigin
	hd["Stream-Extensions"] = extensionList
	if err := h.origin(hd, r); err != nil {
		h.fail(w, r, err)
		return
	}
	path := r.URL.EscapedPath()
	switch {
	case r.Method == http.MethodOptions && strings.HasPrefix(path, "/v1/"):
		hd.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS")
		hd.Set("Access-Control-Allow-Headers", allowedHeaders)
		hd.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	case strings.HasPrefix(path, streamPrefix+"__ds/") && h.opts.Subscriptions != nil:
		h.opts.Subscriptions.ServeHTTP(w, r)
	case strings.HasPrefix(path, streamPrefix):
		h.stream(w, r, path[len(streamPrefix):])
	case manyPath(path) && h.opts.Many != nil:
		h.opts.Many.ServeHTTP(w, r)
	case path == "/v1/publish":
		h.run(w, r, h.publishMany, http.MethodPost)
	default:
		h.fail(w, r, &twohop.Error{Code: twohop.CodeNotFound, Message: "there is nothing at " + path,
			Hint: "channels are at /v1/stream/{channel}"})
	}
}

var (
	nosniff       = []string{"nosniff"}
	crossOrigin   = []string{"cross-origin"}
	extensionList = []string{extensions}
	anyOrigin     = []string{"*"}
	varyOrigin    = []string{"Origin"}
	exposedList   = []string{exposed}
)

// origin answers CORS, and refuses pages of other origins that are not allowed:
// a browser sends some requests without asking first.
func (h *Handler) origin(hd http.Header, r *http.Request) error {
	o := r.Header.Get("Origin")
	hd["Vary"] = varyOrigin // also without one: a cache may give the answer to others
	if o == "" {
		return nil
	}
	hd["Access-Control-Expose-Headers"] = exposedList
	if slices.Contains(h.opts.Origins, "*") {
		hd["Access-Control-Allow-Origin"] = anyOrigin
		return nil
	}
	u, err := url.Parse(o)
	if err == nil && (u.Host == r.Host || isLoopback(u.Hostname()) || slices.Contains(h.opts.Origins, o)) {
		hd.Set("Access-Control-Allow-Origin", o)
		return nil
	}
	if r.Method == http.MethodOptions {
		return nil // the browser refuses by itself
	}
	return &twohop.Error{Code: twohop.CodeOrigin, Message: "pages of " + o + " may not use this server",
		Hint: "add the origin to cors.origins in the configuration"}
}

func isLoopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1" || strings.HasSuffix(host, ".localhost")
}

// manyPath reports whether a path is one that Options.Many serves.
func manyPath(path string) bool { return path == "/v1/ws" || path == "/v1/subscribe" }

type handlerFunc func(w http.ResponseWriter, r *http.Request) error

// run calls f for one of the methods and answers its error.
func (h *Handler) run(w http.ResponseWriter, r *http.Request, f handlerFunc, methods ...string) {
	if !slices.Contains(methods, r.Method) {
		w.Header().Set("Allow", strings.Join(append(methods, http.MethodOptions), ", "))
		h.fail(w, r, &twohop.Error{Code: twohop.CodeMethod, Message: r.Method + " is not possible here",
			Hint: "use " + strings.Join(methods, ", ")})
		return
	}
	if err := f(w, r); err != nil {
		h.fail(w, r, err)
	}
}

// stream serves one channel; escaped is its name as it stands in the URL.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, escaped string) {
	name, err := h.name(escaped)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if twohop.Reserved(name) && (!reads || strings.HasPrefix(name, "$sys/")) {
		h.fail(w, r, &twohop.Error{Code: twohop.CodeReserved, Channel: name, Message: "the channel belongs to the server",
			Hint: "use a name that begins neither with $ nor with __ds/"})
		return
	}
	h.run(w, r, func(w http.ResponseWriter, r *http.Request) error {
		switch r.Method {
		case http.MethodHead:
			return h.head(w, r, name)
		case http.MethodPut:
			return h.create(w, r, name)
		case http.MethodPost:
			return h.append(w, r, name)
		case http.MethodDelete:
			return h.remove(w, r, name)
		}
		return h.read(w, r, name)
	}, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete)
}

func (h *Handler) name(escaped string) (string, error) {
	name, err := url.PathUnescape(escaped)
	if err != nil {
		return "", &twohop.Error{Code: twohop.CodeInvalidName, Message: "the channel's name has a malformed percent escape",
			Hint: "write a literal % as %25"}
	}
	return name, twohop.CheckName(name, h.opts.NameBytes)
}

func (h *Handler) remove(w http.ResponseWriter, r *http.Request, name string) error {
	if err := h.hub.Delete(r.Context(), name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// detached is a request's context without its cancellation: what was begun for
// a request is finished though it ends.
func detached(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }
