package multi

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/wire"
)

// Options of the handler. Zero values are the defaults.
type Options struct {
	Rules        twohop.Rules
	Channels     int           // that a connection may follow; 10,000
	MessageBytes int           // of a message of a client; 1 MiB
	MessageTime  time.Duration // for a message to arrive; 60 s
	PageBytes    int           // of records in a long poll's or poll's answer; 256 KiB
	NameBytes    int           // of a channel's name; 255
	Heartbeat    time.Duration // after which silence is broken; 15 s, on plain connections that show no proxy 45 s
	LongPoll     time.Duration // how long a long poll waits; 20 s
	MaxAge       time.Duration // after which an SSE response ends, give or take a fifth; 5 min
	Retry        time.Duration // that SSE readers wait before they reconnect; 1 s
	Logger       *slog.Logger

	// Fail answers a request's error, and Body reads its body, as for all other
	// requests under /v1/.
	Fail func(w http.ResponseWriter, r *http.Request, err error)
	Body func(w http.ResponseWriter, r *http.Request) ([]byte, error)
	// Answered is told of each request that was answered on a loop. It must
	// return at once.
	Answered func(publish bool, status int, took time.Duration)

	direct time.Duration // Heartbeat of plain connections that show no proxy
}

// heartbeat is the pace on a connection, which may be a plain one that shows no
// proxy.
func (o *Options) heartbeat(direct bool) time.Duration {
	if direct {
		return o.direct
	}
	return o.Heartbeat
}

func (o *Options) setDefaults() {
	o.direct = cmp.Or(o.Heartbeat, wire.DirectHeartbeat)
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&o.MessageTime, time.Minute}, {&o.Heartbeat, wire.Heartbeat}, {&o.LongPoll, 20 * time.Second},
		{&o.MaxAge, 5 * time.Minute}, {&o.Retry, time.Second},
	} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	for _, d := range []struct {
		v *int
		d int
	}{
		{&o.Channels, 10_000}, {&o.MessageBytes, 1 << 20}, {&o.PageBytes, 256 << 10}, {&o.NameBytes, 255},
	} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if o.Answered == nil {
		o.Answered = func(bool, int, time.Duration) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Handler serves /v1/ws and /v1/subscribe.
type Handler struct {
	hub   *hub.Hub
	opts  Options
	stats Stats
	loops loops

	mu       sync.Mutex // guards nodes and what follows; never held across a call out
	nodes    map[*node]struct{}
	draining bool
	closed   bool
	solos    sync.WaitGroup // nodes that have a goroutine
}

// Stats counts what the handler did. All fields are read with Load.
type Stats struct {
	WebSockets, SSE, LongPolls, Polls atomic.Int64 // connections and requests now
	Subscriptions                     atomic.Int64 // channels that they follow or await
	Records, Bytes                    atomic.Int64 // delivered since the start
	Published                         atomic.Int64 // records acknowledged, without duplicates
	Publishing                        atomic.Int64 // publishes under way
	Resets                            atomic.Int64
}

// New makes the handler for a hub's channels.
func New(h *hub.Hub, o Options) *Handler {
	o.setDefaults()
	return &Handler{hub: h, opts: o, nodes: map[*node]struct{}{}}
}

// Stats returns the counters.
func (h *Handler) Stats() *Stats { return &h.stats }

// ServeHTTP implements http.Handler. CORS has been answered.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == socketPath {
		h.serveSocket(w, r)
		return
	}
	h.serveSubscribe(w, r)
}

// The addresses that this package serves.
const (
	socketPath    = "/v1/ws"
	subscribePath = "/v1/subscribe"
)

// Serves reports whether a path is one of this package's.
func Serves(path string) bool { return path == socketPath || path == subscribePath }

// Drain ends all connections in good order, and those to come at once: clients
// go on elsewhere, where they stand.
func (h *Handler) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return
	}
	h.draining = true
	for n := range h.nodes {
		n.run.Post(leaving{n})
	}
}

// Close cuts the connections that have a goroutine, and waits for their ends.
func (h *Handler) Close() {
	h.mu.Lock()
	h.closed = true
	for n := range h.nodes {
		if s, ok := n.run.(*solo); ok {
			s.cut()
		}
	}
	h.mu.Unlock()
	h.solos.Wait()
}

// leaving ends all connections of a node.
type leaving struct{ n *node }

// Turn implements task.
func (l leaving) Turn() bool {
	l.n.leaves = true
	for _, c := range slices.Clone(l.n.conns) { // ending one takes it out
		c.end.drain()
	}
	return false
}

// register makes a node known to Drain. It returns false if it is too late.
func (h *Handler) register(n *node) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	n.leaves = h.draining
	h.nodes[n] = struct{}{}
	if _, ok := n.run.(*solo); ok {
		h.solos.Add(1)
	}
	return true
}

func (h *Handler) unregister(n *node) {
	h.mu.Lock()
	delete(h.nodes, n)
	h.mu.Unlock()
	h.solos.Done()
}

// retire lets go of the node of a connection that is over, when nothing is under
// way for it any more.
func (h *Handler) retire(p *solo, n *node) {
	if n.away == 0 {
		h.unregister(n)
		return
	}
	go func() {
		defer h.unregister(n)
		p.settle(n)
	}()
}

func (h *Handler) delivered(v *hub.View) {
	h.stats.Records.Add(int64(v.Len()))
	h.stats.Bytes.Add(int64(len(v.Data)))
}

// asError makes the error that a client is told about a channel.
func (h *Handler) asError(channel string, err error) *twohop.Error {
	if e, ok := errors.AsType[*twohop.Error](err); ok {
		if e.Code == twohop.CodeInternal || e.Code == twohop.CodeStorageFailed {
			h.opts.Logger.Error("a connection's request failed", "channel", channel, "error", err)
		}
		if e.Channel == "" && channel != "" {
			named := *e
			named.Channel = channel
			return &named
		}
		return e
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return unavailable(channel)
	}
	h.opts.Logger.Error("a connection's request failed", "channel", channel, "error", err)
	return &twohop.Error{Code: twohop.CodeInternal, Channel: channel, Message: "the server failed to do this", Hint: "the server's log says why"}
}

func unavailable(channel string) *twohop.Error {
	return &twohop.Error{Code: twohop.CodeUnavailable, Channel: channel, Message: "the server cannot do this just now", Hint: "try again"}
}

// goneWhile turns "not found" into the reset of a channel that was followed.
func goneWhile(channel string, err error) error {
	if e, ok := errors.AsType[*twohop.Error](err); ok && (e.Code == twohop.CodeNotFound || e.Code == twohop.CodeGone) {
		r := &twohop.Reset{Reason: twohop.ResetDeleted}
		return r.Error(channel, twohop.Offset{})
	}
	return err
}

var began = time.Now()

// ticks is a moment, in hundredths of a second; differences are right even
// across its overflow.
type ticks uint32

func now() ticks { return ticksAt(time.Now()) }

func ticksAt(t time.Time) ticks { return ticks(t.Sub(began) / tick) } //nolint:gosec // overflows after 497 days

const tick = 10 * time.Millisecond

// since is how long ago a moment was.
func (t ticks) since(then ticks) time.Duration { return time.Duration(t-then) * tick }
