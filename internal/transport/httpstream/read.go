package httpstream

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/wire"
)

// The framings of views.
const (
	plainSSE     = 0 // and an encoding
	chunkedSSE   = 3 // and an encoding
	longPollPage = 6
	pollPage     = 7
	notModified  = 8
)

// What the framings take around the records, roughly.
const (
	aroundSSE  = 224
	aroundPage = 640
)

// head answers what is known of a channel.
func (h *Handler) head(w http.ResponseWriter, r *http.Request, name string) error {
	info, err := h.hub.Info(r.Context(), name)
	if err != nil {
		return err
	}
	hd := w.Header()
	hd.Set("Content-Type", info.ContentType)
	hd.Set("Cache-Control", "no-store")
	hd.Set("Stream-Next-Offset", info.Tail.String())
	hd.Set("Stream-Start-Offset", info.Start.String())
	hd.Set("Stream-Durability", info.Level.String())
	if info.TTL > 0 {
		hd.Set("Stream-TTL", strconv.FormatInt(int64(info.TTL/time.Second), 10))
	}
	if !info.ExpiresAt.IsZero() {
		hd.Set("Stream-Expires-At", info.ExpiresAt.UTC().Format(time.RFC3339Nano))
	}
	if info.Closed {
		hd.Set("Stream-Closed", "true")
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// read answers a GET.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, name string) error {
	q, err := parseQuery(r.URL.RawQuery, r.Header.Get("Last-Event-ID"))
	if err != nil {
		return err
	}
	ch, err := h.hub.Open(r.Context(), name)
	if err != nil {
		return err
	}
	defer func() { ch.Close() }()
	at, err := h.locate(r.Context(), ch, &q)
	if err != nil {
		return err
	}
	q.budget.set(w.Header())
	switch q.live {
	case longPoll:
		return h.longPoll(w, r, ch, at, &q)
	case sse:
		return h.serveSSE(w, r, ch, at, &q)
	case poll:
	}
	h.stats.Polls.Add(1)
	defer h.stats.Polls.Add(-1)
	v, err := ch.Read(r.Context(), at)
	if q.atTail() {
		v, err = ch.ReadTail() // empty, even if the tail has moved since
	}
	if err != nil {
		return err
	}
	h.page(w, r, ch, v, &q)
	return nil
}

// locate finds the offset that a read begins at.
func (h *Handler) locate(ctx context.Context, ch *hub.Channel, q *query) (twohop.Offset, error) {
	switch {
	case q.atTail():
		return ch.Locate(twohop.From{Kind: twohop.FromTail}), nil
	case q.last != nil:
		return ch.Last(ctx, *q.last)
	case q.since != nil:
		return ch.Since(ctx, *q.since)
	}
	return ch.Locate(q.from), nil
}

// place sets the headers that say where a page ends.
func place(hd http.Header, ch *hub.Channel, v *hub.View) twohop.Info {
	info := ch.Info()
	hd.Set("Content-Type", info.ContentType)
	hd.Set("Stream-Next-Offset", v.Next.String())
	hd.Set("Stream-Start-Offset", info.Start.String())
	if v.UpToDate {
		hd.Set("Stream-Up-To-Date", "true")
	}
	if v.Closed {
		hd.Set("Stream-Closed", "true")
	}
	return info
}

// page answers a poll, or a long poll that has something to tell.
func (h *Handler) page(w http.ResponseWriter, r *http.Request, ch *hub.Channel, v *hub.View, q *query) {
	hd := w.Header()
	info := place(hd, ch, v)
	hd.Set("Stream-Cursor", strconv.FormatUint(wire.NextCacheToken(time.Now(), q.token, q.hasToken), 10))
	switch {
	case !q.cacheable():
		hd.Set("Cache-Control", "no-store")
	case v.UpToDate && q.live == poll:
		hd.Set("Cache-Control", "public, max-age=1")
	default:
		hd.Set("Cache-Control", "public, max-age=60, stale-while-revalidate=300")
	}
	if q.cacheable() {
		tag := wire.ETag(v.From, v.Next, v.UpToDate, v.Closed)
		hd.Set("ETag", tag)
		if matches(r.Header.Get("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	body := v.Data
	if info.JSON() {
		body = wire.JSONArray(make([]byte, 0, len(v.Data)+2), v.Data)
	}
	hd.Set("Content-Length", strconv.Itoa(len(body)))
	limit(w, wire.AnswerTime)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
	h.delivered(v)
}

// limit bounds the time in which the peer has to take the rest of an answer: one
// that never reads would keep its goroutine and channel for as long as its
// connection. net/http lifts the limit with the end of the answer.
func limit(w http.ResponseWriter, d time.Duration) {
	// Connections without deadlines (tests' recorders) do without; one that is closed fails the next write.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}

func (h *Handler) delivered(v *hub.View) {
	h.stats.Records.Add(int64(v.Len()))
	h.stats.Bytes.Add(int64(len(v.Data)))
}

// matches compares an If-None-Match list with a tag, weakly (RFC 9110 13.1.2).
func matches(list, tag string) bool {
	for t := range strings.SplitSeq(list, ",") {
		t = strings.TrimPrefix(strings.TrimSpace(t), "W/")
		if t == tag || t == "*" {
			return true
		}
	}
	return false
}

// longPoll answers as a poll does, but waits for something to tell.
func (h *Handler) longPoll(w http.ResponseWriter, r *http.Request, ch *hub.Channel, at twohop.Offset, q *query) error {
	h.stats.LongPolls.Add(1)
	defer h.stats.LongPolls.Add(-1)
	ch.AddReader(1)
	defer ch.AddReader(-1)
	timeout := time.NewTimer(h.opts.LongPoll)
	defer timeout.Stop()
	woken := make(chan struct{}, 1)
	waiter := hub.Waiter{Wake: func() { notify(woken) }}
	for over := false; ; {
		v, err := ch.Read(r.Context(), at)
		if err != nil {
			return err
		}
		if len(v.Data) > 0 {
			h.page(w, r, ch, v, q)
			return nil
		}
		if v.Closed || over {
			h.nothing(w, ch, v, q)
			return nil
		}
		if !ch.Wait(&waiter, at) {
			if ch.Stale() {
				h.nothing(w, ch, v, q) // the client asks again, and a fresh channel answers
				return nil
			}
			over = h.ended(r.Context(), timeout.C) // else looking again and again could go on for ever
			continue
		}
		select {
		case <-woken:
			over = !h.coalesce(r.Context(), q.budget.time(), timeout.C)
			continue
		case <-timeout.C:
			over = true
		case <-h.draining:
			over = true
		case <-r.Context().Done():
			ch.Cancel(&waiter)
			return nil
		}
		ch.Cancel(&waiter) // or a wake is under way: in both cases there is one more look
	}
}

// ended reports whether a long poll has to end now.
func (h *Handler) ended(ctx context.Context, timeout <-chan time.Time) bool {
	select {
	case <-timeout:
	case <-h.draining:
	case <-ctx.Done():
	default:
		return false
	}
	return true
}

// coalesce waits until the budget is spent, so that what comes in the meantime
// goes out with what is there. It returns false when the response has to end
// before.
func (h *Handler) coalesce(ctx context.Context, budget time.Duration, timeout <-chan time.Time) bool {
	if budget <= 0 {
		return true
	}
	t := time.NewTimer(budget)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-timeout:
	case <-h.draining:
	case <-ctx.Done():
	}
	return false
}

func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// nothing is the 204 of a long poll.
func (h *Handler) nothing(w http.ResponseWriter, ch *hub.Channel, v *hub.View, q *query) {
	hd := w.Header()
	place(hd, ch, v)
	hd.Del("Content-Type")
	hd.Set("Stream-Cursor", strconv.FormatUint(wire.NextCacheToken(time.Now(), q.token, q.hasToken), 10))
	hd.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}
