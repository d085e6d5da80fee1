package httpstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/wire"
)

// stream is one SSE response.
type stream struct {
	h     *Handler
	w     http.ResponseWriter
	flush func() error
	r     *http.Request
	ch    *hub.Channel
	q     *query
	enc   wire.Encoding
	json  bool
	at    twohop.Offset

	behind bool // the last page was not the last of the channel
	last   bool // the next page is the last of the response

	woken  chan struct{}
	waiter hub.Waiter
}

func (h *Handler) serveSSE(w http.ResponseWriter, r *http.Request, ch *hub.Channel, at twohop.Offset, q *query) error {
	h.stats.SSE.Add(1)
	defer h.stats.SSE.Add(-1)
	s := &stream{h: h, w: w, r: r, ch: ch, q: q, at: at, woken: make(chan struct{}, 1)}
	s.flush = http.NewResponseController(w).Flush
	s.waiter.Wake = func() { notify(s.woken) }
	info := ch.Info()
	s.enc, s.json = q.encoding(info.ContentType), info.JSON()

	// The first read tells whether there is something to stream at all.
	v, err := ch.Read(r.Context(), at)
	reset := asReset(err)
	if err != nil && (reset == nil || reset.Reason == twohop.ResetDeleted || !wantsResetEvent(r)) {
		return err
	}
	hd := w.Header()
	hd.Set("Content-Type", "text/event-stream")
	hd.Set("Cache-Control", "no-cache, no-transform")
	hd.Set("X-Accel-Buffering", "no")
	hd.Set("Stream-Heartbeat", s.h.opts.Heartbeat.String())
	if s.enc == wire.EncodeBase64 {
		hd.Set("Stream-SSE-Data-Encoding", "base64")
	}
	w.WriteHeader(http.StatusOK)
	ch.AddReader(1)
	defer ch.AddReader(-1)
	s.run(v, reset)
	return nil
}

func asReset(err error) *twohop.Reset {
	var e *twohop.Error
	if errors.As(err, &e) && e.Code == twohop.CodeReset {
		return e.Reset
	}
	return nil
}

// run writes the response until it has to end. The first page, or the reset
// that stands for it, is at hand.
func (s *stream) run(v *hub.View, reset *twohop.Reset) {
	ctx := s.r.Context()
	// Its age, and about as long for a slow reader to take what was written.
	limit(s.w, 2*s.h.opts.MaxAge)
	if s.write(s.q.budget.appendEvent(wire.SSEOpen(nil, s.h.opts.Retry)), true) != nil { // the first page or the reset follows
		return
	}
	heartbeat := time.NewTimer(s.h.opts.Heartbeat)
	defer heartbeat.Stop()
	age := time.NewTimer(s.h.opts.MaxAge*4/5 + rand.N(s.h.opts.MaxAge*2/5)) //nolint:gosec // jitter, not a secret
	defer age.Stop()
	var err error
	for tell := true; ; { // tell is whether the client has to hear where it stands
		switch {
		case reset != nil:
			if !s.reset(reset) {
				return
			}
			tell = true
		case len(v.Data) > 0 || tell || v.Closed:
			if s.page(v) != nil || v.Closed {
				return
			}
			tell = false
			heartbeat.Reset(s.h.opts.Heartbeat)
			fallthrough
		default:
			if !s.wait(ctx, heartbeat, age) {
				return
			}
		}
		v, err = s.ch.Read(ctx, s.at)
		reset = asReset(err)
		if err != nil && reset == nil {
			return // the client asks again, and is told why
		}
	}
}

// page writes a page; at is after it.
func (s *stream) page(v *hub.View) error {
	token := wire.NextCacheToken(time.Now(), s.q.token, s.q.hasToken)
	encode := func(dst []byte) []byte {
		data := v.Data
		if s.json && s.enc == wire.EncodeBase64 && len(data) > 0 {
			data = wire.JSONArray(make([]byte, 0, len(data)+2), data)
		}
		return wire.SSEData(dst, s.enc, data, wire.Control{Next: v.Next, CacheToken: token, UpToDate: v.UpToDate, Closed: v.Closed})
	}
	var b []byte
	if s.q.hasToken {
		b = encode(nil) // a token of its own: the frame cannot be shared
	} else {
		b = v.Frame(plainSSE+int(s.enc), hub.FrameKey{Token: token}, aroundSSE, encode)
	}
	s.at, s.behind = v.Next, !v.UpToDate
	s.h.delivered(v)
	return s.write(b, false)
}

// reset tells the client that its offset cannot be served, and reports whether
// the response goes on.
func (s *stream) reset(r *twohop.Reset) bool {
	s.h.stats.Resets.Add(1)
	s.at = r.Next()
	return s.write(wire.SSEReset(nil, r), false) == nil && r.Reason != twohop.ResetDeleted && wantsResetEvent(s.r)
}

// wait sleeps until there may be something to read, saying heartbeats. It
// returns false when the response has to end.
func (s *stream) wait(ctx context.Context, heartbeat, age *time.Timer) bool {
	for {
		if s.last || s.ch.Stale() {
			return false
		}
		select {
		case <-s.h.draining:
			s.last = true
			return true
		case <-age.C:
			s.last = true
			return true
		default:
		}
		if !s.ch.Wait(&s.waiter, s.at) {
			return ctx.Err() == nil && (s.behind || s.coalesce(ctx, heartbeat, age))
		}
		select {
		case <-s.woken:
			return s.coalesce(ctx, heartbeat, age)
		case <-heartbeat.C:
			s.ch.Cancel(&s.waiter)
			if s.beat(heartbeat) != nil {
				return false
			}
			continue
		case <-age.C:
			s.last = true
		case <-s.h.draining:
			s.last = true
		case <-ctx.Done():
		}
		s.ch.Cancel(&s.waiter) // or a wake is under way: one more look is taken
		return s.last
	}
}

// coalesce waits until the budget is spent, so that what comes in the meantime
// goes out with what is there, which is the last page of a response that has to
// end before. It returns false when there is nobody left to send it to.
func (s *stream) coalesce(ctx context.Context, heartbeat, age *time.Timer) bool {
	budget := s.q.budget.time()
	if budget == 0 {
		return true
	}
	t := time.NewTimer(budget)
	defer t.Stop()
	for !s.last {
		select {
		case <-t.C:
			return true
		case <-heartbeat.C:
			if s.beat(heartbeat) != nil {
				return false
			}
		case <-age.C:
			s.last = true
		case <-s.h.draining:
			s.last = true
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// beat says a heartbeat.
func (s *stream) beat(next *time.Timer) error {
	next.Reset(s.h.opts.Heartbeat)
	return s.write([]byte(wire.SSEHeartbeat), false)
}

// write sends bytes now, or with the next ones if more follow at once.
func (s *stream) write(b []byte, more bool) error {
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	if more {
		return nil
	}
	return s.flush()
}
