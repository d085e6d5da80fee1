package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"twohop"
)

// request makes the request for what follows the follower's offset.
func (f *follower) request(ctx context.Context, t Transport) (*http.Request, error) {
	q := url.Values{}
	f.from.set(q)
	if f.opts.Budget > 0 {
		q.Set("budget", budgetText(f.opts.Budget))
	}
	if t != Poll {
		q.Set("live", t.String())
		if f.cacheToken != "" && t == LongPoll {
			q.Set("cursor", f.cacheToken)
		}
	}
	if t == SSE && !twohop.IsJSON(f.contentType) {
		q.Set("encoding", "base64") // as text, SSE cannot tell line breaks apart
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.target+"?"+q.Encode(), http.NoBody)
	if err != nil {
		return nil, &failure{err: &twohop.Error{Code: twohop.CodeInvalidRequest, Channel: f.channel,
			Message: "the request cannot be made", Hint: "check the server's address", Err: err}}
	}
	switch t {
	case SSE:
		r.Header.Set("Accept", "text/event-stream")
	case Poll:
		if f.etag != "" {
			r.Header.Set("If-None-Match", f.etag)
		}
	case LongPoll, Auto, WebSocket:
	}
	return r, nil
}

// page reads one answer of a poll or long poll.
func (f *follower) page(t Transport) error {
	dog := f.c.watch(f.ctx, f.c.opts.Silence)
	defer dog.stop()
	req, err := f.request(dog.ctx, t)
	if err != nil {
		return err
	}
	headers := callTime
	if t == LongPoll {
		headers = 2 * f.c.opts.Silence
	}
	begun := time.Now()
	resp, err := dog.do(f.c, req, headers)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	f.advised(headerAdvice(resp.Header))
	var body []byte
	switch resp.StatusCode {
	case http.StatusOK:
		if body, err = dog.readAll(resp, f.c.opts.MaxEventBytes); err != nil {
			return err
		}
	case http.StatusNoContent:
	case http.StatusNotModified:
		f.backoff.reset()
		return f.take(nil, f.next, true, false)
	default:
		return f.c.refused(resp, f.channel)
	}
	if err := f.pageBrought(resp.Header, body); err != nil {
		return err
	}
	if len(body) == 0 && t == LongPoll && time.Since(begun) < shortAnswer {
		return endedEarly() // a server that is about to stop does not wait
	}
	f.backoff.reset()
	return nil
}

// pageBrought takes an answer that was read whole.
func (f *follower) pageBrought(h http.Header, body []byte) error {
	next := h.Get("Stream-Next-Offset")
	if next == "" {
		return malformed("a page without Stream-Next-Offset")
	}
	if ct := h.Get("Content-Type"); ct != "" {
		f.contentType = ct
	} else if len(body) > 0 && f.contentType == "" {
		return malformed("a page without Content-Type")
	}
	records, err := splitPage(body, twohop.IsJSON(f.contentType))
	if err != nil {
		return err
	}
	f.cacheToken = h.Get("Stream-Cursor")
	f.etag = ""
	if next == f.next && len(records) == 0 {
		f.etag = h.Get("ETag")
	}
	return f.take(records, next, isTrue(h.Get("Stream-Up-To-Date")), isTrue(h.Get("Stream-Closed")))
}

// shortAnswer is how fast an answer that waits for nothing must come to be a
// sign that something is wrong.
const shortAnswer = time.Second

// endedEarly is the failure of a live read that ended at once with nothing new.
func endedEarly() *failure {
	return &failure{retry: true, err: &twohop.Error{
		Code: twohop.CodeUnavailable, Message: "the server ends live reads at once", Hint: "it may be about to stop; a retry goes on",
	}}
}

// watchdog ends a request whose answer stalls.
type watchdog struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	silence time.Duration // that a byte of the body may take
	timer   *time.Timer
	body    io.Reader

	// proof is how long the body's first byte may take from when there is a
	// connection, 0 for no longer than any other. While that time runs, running
	// is true.
	proof   time.Duration
	running atomic.Bool
}

var errSilent = errors.New("nothing came for too long")

func (c *Client) watch(ctx context.Context, silence time.Duration) *watchdog {
	w := &watchdog{silence: silence}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	return w
}

// heartbeat lets the body be silent for as long as a server may be that breaks
// its silence at this pace.
func (w *watchdog) heartbeat(h http.Header) {
	if pace, err := time.ParseDuration(h.Get("Stream-Heartbeat")); err == nil {
		w.silence = max(w.silence, 3*pace)
	}
}

// do sends a request whose answer must begin within the time given.
func (w *watchdog) do(c *Client, r *http.Request, headers time.Duration) (*http.Response, error) {
	w.timer = time.AfterFunc(headers, func() { w.cancel(errSilent) })
	if w.proof > 0 {
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
			w.running.Store(true)
			w.timer.Reset(w.proof)
		}}))
	}
	resp, err := c.do(c.opts.HTTPClient, r)
	if err != nil {
		w.timer.Stop()
		return nil, w.failure(err)
	}
	if !w.running.Load() {
		w.timer.Stop()
	}
	w.body = resp.Body
	return resp, nil
}

// Read reads the answer's body. The time that the caller takes between reads
// does not count as silence.
func (w *watchdog) Read(p []byte) (int, error) {
	if !w.running.Load() {
		w.timer.Reset(w.silence)
	}
	n, err := w.body.Read(p)
	if n > 0 || err != nil && context.Cause(w.ctx) == nil {
		w.running.Store(false)
	}
	w.timer.Stop()
	return n, err
}

// obstruction marks the failure of an answer that did not begin in time.
func (w *watchdog) obstruction(err error) error {
	if err != nil && w.running.Load() && context.Cause(w.ctx) == errSilent { //nolint:errorlint // set bare
		return &obstructed{err}
	}
	return err
}

// readAll reads a whole body, and only a whole one.
func (w *watchdog) readAll(resp *http.Response, limit int) ([]byte, error) {
	if resp.ProtoMajor == 1 && resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 && !resp.Uncompressed {
		return nil, malformed("a body without a length: whether it is whole cannot be known")
	}
	var b bytes.Buffer
	b.Grow(int(min(max(resp.ContentLength, 0), mostBuffer)) + bytes.MinRead) // a length is a promise: larger ones have to be kept first
	_, err := b.ReadFrom(io.LimitReader(w, int64(limit)+1))
	switch {
	case err != nil:
		return nil, w.failure(err)
	case b.Len() > limit:
		return nil, tooLarge(errTooLarge)
	}
	return b.Bytes(), nil
}

func tooLarge(err error) *failure {
	return &failure{err: &twohop.Error{Code: twohop.CodeTooLarge, Message: err.Error(), Hint: "raise MaxEventBytes"}}
}

// failure is why sending or reading broke off.
func (w *watchdog) failure(err error) *failure {
	if fail, ok := errors.AsType[*failure](err); ok {
		return fail
	}
	if context.Cause(w.ctx) == errSilent { //nolint:errorlint // set bare above
		err = errSilent
	}
	return disconnected(err)
}

// stop ends the request, if it still runs.
func (w *watchdog) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.cancel(nil)
}
