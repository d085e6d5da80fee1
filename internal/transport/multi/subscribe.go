package multi

import (
	"fmt"
	"net/http"
	"time"

	"twohop"
	"twohop/internal/wire"
)

// parse reads a request to /v1/subscribe. lastID is its Last-Event-ID, which is
// stronger than a token in the request.
func (h *Handler) parse(post bool, query string, body []byte, lastID string) (q *wire.Subscribe, err error) {
	if post {
		q, err = wire.ParseSubscribeBody(body, h.opts.Channels)
	} else {
		q, err = wire.ParseSubscribeQuery(query, h.opts.Channels)
	}
	if err != nil {
		return nil, err
	}
	budgetsInForce(q.Subs)
	if lastID != "" {
		q.Resume = lastID
	}
	names := make([]string, len(q.Subs))
	seen := make(map[string]struct{}, len(q.Subs))
	for i := range q.Subs {
		name := q.Subs[i].Channel
		if _, twice := seen[name]; twice {
			return nil, &twohop.Error{Code: twohop.CodeInvalidRequest, Channel: name, Message: fmt.Sprintf("the channel %q is named twice", name),
				Hint: "name each channel once"}
		}
		seen[name] = struct{}{}
		names[i] = name
	}
	if q.Resume == "" {
		return q, nil
	}
	at, err := wire.ParseResume(nil, []byte(q.Resume), names)
	if err != nil {
		return nil, err
	}
	for i := range q.Subs {
		f := &q.Subs[i]
		f.From, f.TailRecords, f.Since = twohop.From{Kind: twohop.FromOffset, Offset: at[i]}, nil, nil
	}
	return q, nil
}

// serveSubscribe answers a request through net/http.
func (h *Handler) serveSubscribe(w http.ResponseWriter, r *http.Request) {
	var body []byte
	var err error
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		if !twohop.IsJSON(r.Header.Get("Content-Type")) {
			err = &twohop.Error{Code: twohop.CodeInvalidContentType, Message: "the body has to be JSON", Hint: "send Content-Type: application/json"}
		} else {
			body, err = h.opts.Body(w, r)
		}
	default:
		w.Header().Set("Allow", "GET, POST, OPTIONS")
		err = &twohop.Error{Code: twohop.CodeMethod, Message: r.Method + " is not possible here", Hint: "use GET or POST"}
	}
	var q *wire.Subscribe
	if err == nil {
		q, err = h.parse(r.Method == http.MethodPost, r.URL.RawQuery, body, r.Header.Get("Last-Event-ID"))
	}
	if err != nil {
		h.opts.Fail(w, r, err)
		return
	}
	p := newSolo()
	n := newNode(h, p)
	if !h.register(n) {
		h.opts.Fail(w, r, unavailable(""))
		return
	}
	defer h.retire(p, n)
	c := &response{w: w, p: p, h: h, terms: termsOf(q.Subs)}
	p.write = c.write
	s := n.newStream(p, c, q, false)
	s.start(q)
	over := r.Context().Done()
	if s.live == poll {
		over = nil // it does not wait: who sends no more may still want the answer
	}
	p.serve(s, over)
	s.gone()
}

// response is a stream over net/http.
type response struct {
	w     http.ResponseWriter
	p     *solo
	h     *Handler
	terms terms
}

func (c *response) write(pieces [][]byte) error {
	for _, b := range pieces {
		if _, err := c.w.Write(b); err != nil {
			return err
		}
	}
	return http.NewResponseController(c.w).Flush()
}

// limit bounds the time in which the peer has to take the rest of the response:
// one that never reads would keep its goroutine and channels for as long as its
// connection. net/http lifts the limit with the end of the response.
func (c *response) limit(d time.Duration) {
	// Connections without deadlines (tests' recorders) do without; one that is closed fails the next write.
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(d))
}

// begin implements carrier.
func (c *response) begin(heartbeat time.Duration) {
	// Its age, and about as long for a slow reader to take what was written.
	c.limit(2 * c.h.opts.MaxAge)
	hd := c.w.Header()
	hd.Set("Content-Type", "text/event-stream")
	hd.Set("Cache-Control", "no-cache, no-transform")
	hd.Set("X-Accel-Buffering", "no")
	hd.Set("Stream-Heartbeat", heartbeat.String())
	c.terms.set(hd)
	c.w.WriteHeader(http.StatusOK)
	c.p.Queue(wire.SSEOpen(nil, c.h.opts.Retry))
}

// event implements carrier.
func (c *response) event(_ int, pieces [][]byte) {
	for _, b := range pieces {
		c.p.Queue(b)
	}
}

// finish implements carrier.
func (c *response) finish() { c.p.Close() }

// answer implements carrier.
func (c *response) answer(status int, token []byte, size int, pieces [][]byte) {
	hd := c.w.Header()
	hd.Set("Cache-Control", "no-store")
	if token != nil {
		hd.Set("Stream-Resume", string(token))
	}
	c.terms.set(hd)
	if status == http.StatusOK {
		hd.Set("Content-Type", "application/json")
		hd.Set("Content-Length", fmt.Sprint(size))
	}
	c.limit(wire.AnswerTime)
	c.w.WriteHeader(status)
	c.event(size, pieces)
	c.p.Close()
}
