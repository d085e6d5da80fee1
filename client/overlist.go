package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"twohop"
)

// listSession carries the channels of a Conn over /v1/subscribe, one request
// after another. A request's list of channels is fixed: when another is needed,
// the request ends, and the next one goes on at each channel's offset.
type listSession struct {
	c         *Conn
	transport Transport // SSE, LongPoll or Poll
	ctx       context.Context
	cancel    context.CancelCauseFunc

	// Guarded by c.mu.
	links links

	within atomic.Bool // an event or answer is being read
	over   atomic.Bool // the request is to end when that was read

	// The goroutine's that runs it:
	names  []string // of the last request
	resume string   // where that stood; "" if it cannot be gone on from
	silent int      // SSE responses in a row that brought nothing
}

func (s *listSession) leave() { s.cancel(errLeft) }

func (s *listSession) publish(*publishItem) (*publishing, bool) { return nil, false }

// errRelist ends a request whose list is no longer what is wanted.
var errRelist = errors.New("the list of channels changed")

// relistTime is how long changes of the list are collected.
const relistTime = 10 * time.Millisecond

// listBody is the body of a request.
type listBody struct {
	Live     string           `json:"live,omitempty"`
	Channels []channelRequest `json:"channels"`
	Resume   string           `json:"resume,omitempty"`
}

// overList carries the channels over requests until one fails, or nothing is
// wanted any more.
func (c *Conn) overList(ctx context.Context, cancel context.CancelCauseFunc, t Transport) error {
	s := &listSession{c: c, transport: t, ctx: ctx, cancel: cancel, links: links{}}
	c.locked(func() { c.begin(s, t) })
	for ctx.Err() == nil {
		body, ok := s.list()
		if !ok {
			return nil // idle, until await finds something
		}
		if err := s.request(body); err != nil && !s.refused(err) {
			return err
		}
	}
	return ctx.Err()
}

// refused handles the refusal of a request for one of its channels, which is
// that channel's alone: the next request asks for the others.
func (s *listSession) refused(err error) (handled bool) {
	fail, ok := errors.AsType[*failure](err)
	if !ok || !fail.told || fail.retry {
		return false
	}
	s.c.locked(func() {
		l := s.links[fail.err.Channel]
		if handled = l != nil && l.state != linkOff; !handled {
			return
		}
		l.off()
		if l.f.wanted() {
			l.f.refused(fail)
		}
	})
	return handled
}

// list makes the body of the next request; ok is false if there is nothing to
// ask for.
func (s *listSession) list() (body listBody, ok bool) {
	if s.transport != Poll {
		body.Live = s.transport.String()
	}
	s.c.locked(func() {
		clear(s.c.dirty)
		var all []*Following
		for _, f := range s.c.channels {
			if f.wanted() {
				all = append(all, f)
			}
		}
		sortByAge(all)
		var names []string
		for _, f := range all {
			names = append(names, f.channel)
			body.Channels = append(body.Channels, f.request())
		}
		if s.resume != "" && slices.Equal(names, s.names) && s.unbroken() {
			body.Resume = s.resume
			return
		}
		s.names, s.resume = names, ""
		s.links = links{}
		for _, name := range names {
			s.links.ask(s.c.channels[name])
		}
	})
	return body, len(body.Channels) > 0
}

// unbroken reports whether all frames of the last request were taken. The lock
// is held.
func (s *listSession) unbroken() bool {
	for _, name := range s.names {
		if l := s.links[name]; !l.takes() || l.f != s.c.channels[name] {
			return false
		}
	}
	return true
}

// request makes one request and takes what it brings. It ends without an error
// where the next one may follow at once.
func (s *listSession) request(body listBody) error {
	ctx, cancel := context.WithCancelCause(s.ctx)
	s.within.Store(false)
	s.over.Store(false)
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ctx, cancel) })
	defer watching.Wait()
	defer cancel(nil)
	var err error
	if s.transport == SSE {
		err = s.stream(ctx, body)
	} else {
		err = s.page(ctx, body)
	}
	if context.Cause(ctx) == errRelist { //nolint:errorlint // set bare
		return nil
	}
	return err
}

// watch ends the request when its list is no longer what is wanted. What is being
// read just then is read to its end: it may be long, and the list change again.
func (s *listSession) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	for {
		select {
		case <-s.c.kick:
		case <-ctx.Done():
			return
		}
		whole := true
		s.c.locked(func() {
			if whole = s.links.whole(s.c.channels, s.c.dirty); whole {
				clear(s.c.dirty)
			}
		})
		if whole {
			continue
		}
		s.over.Store(true)
		for more := true; more; more = s.within.Load() {
			if sleep(ctx, relistTime) != nil {
				return // it ended meanwhile
			}
		}
		cancel(errRelist)
		return
	}
}

// postList makes the request.
func (c *Client) postList(ctx context.Context, body listBody) (*http.Request, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/subscribe", bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if body.Live == SSE.String() {
		r.Header.Set("Accept", "text/event-stream")
	}
	return r, nil
}

// stream reads one SSE response to its end.
func (s *listSession) stream(ctx context.Context, body listBody) error {
	dog := s.c.c.watch(ctx, s.c.c.opts.Silence)
	defer dog.stop()
	if s.auto() {
		dog.proof = proofTime
	}
	req, err := s.c.c.postList(dog.ctx, body)
	if err != nil {
		return err
	}
	resp, err := dog.do(s.c.c, req, callTime)
	if err != nil {
		return dog.obstruction(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := s.c.c.noStream(resp, ""); err != nil {
		return err
	}
	dog.heartbeat(resp.Header)
	begun := time.Now()
	parser := newSSEParser(dog, s.c.c.opts.MaxEventBytes)
	parser.within = &s.within
	events, progress := 0, false
	for {
		var e sseEvent
		if e, err = parser.next(); err != nil {
			break
		}
		events, s.silent = events+1, 0
		brought := false
		if brought, err = s.frames(e.data); err != nil {
			return err
		}
		progress = progress || brought
		if s.over.Load() {
			break
		}
	}
	if pace := parser.retry; pace > s.c.backoff.min {
		s.c.backoff.min = min(pace, s.c.backoff.max)
	}
	s.resume = "" // tokens of long polls only: a stream begins with its frames again
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooLarge):
		return tooLarge(err)
	case err != io.EOF: //nolint:errorlint // the parser returns it bare
		err = dog.failure(err)
	case progress || time.Since(begun) >= shortAnswer:
		err = nil // a clean end: on at once
	default:
		err = endedEarly()
	}
	if events == 0 {
		if s.silent++; err != nil && s.silent >= maxSilentSSE {
			return &obstructed{err}
		}
	}
	return dog.obstruction(err)
}

// auto reports whether other transports may be tried.
func (s *listSession) auto() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.c.transport == Auto
}

// page reads one answer of a poll or long poll.
func (s *listSession) page(ctx context.Context, body listBody) error {
	dog := s.c.c.watch(ctx, s.c.c.opts.Silence)
	defer dog.stop()
	headers := callTime
	if s.transport == LongPoll {
		headers = 2 * s.c.c.opts.Silence
	}
	begun := time.Now()
	req, err := s.c.c.postList(dog.ctx, body)
	if err != nil {
		return err
	}
	resp, err := dog.do(s.c.c, req, headers)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	progress := false
	if resp.StatusCode < http.StatusMultipleChoices {
		s.c.locked(s.links.answered)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		s.within.Store(true)
		b, err := dog.readAll(resp, s.c.c.opts.MaxEventBytes)
		s.within.Store(false)
		if err != nil {
			return err
		}
		s.resume = "" // if not all of it is taken
		if progress, err = s.frames(b); err != nil {
			return err
		}
	case http.StatusNoContent:
	default:
		fail := s.c.c.refused(resp, "")
		if body.Resume != "" && fail.err.Code == twohop.CodeInvalidOffset {
			s.resume = "" // the offsets are as good
			return nil
		}
		return fail
	}
	s.resume = resp.Header.Get("Stream-Resume")
	s.c.locked(s.c.serves)
	if progress {
		return nil
	}
	if s.transport == Poll {
		var d time.Duration
		s.c.locked(func() {
			s.c.useful() // there is no more to an answer that has nothing new
			d = s.c.interval()
		})
		return sleep(ctx, jittered(d))
	}
	if time.Since(begun) < shortAnswer {
		return endedEarly()
	}
	return nil
}

// frames takes an array of frames. progress is true if another request would
// not bring the same.
func (s *listSession) frames(b []byte) (progress bool, err error) {
	all, err := parseFrames(b)
	if err != nil {
		return false, err
	}
	s.c.locked(func() {
		s.c.status.BytesIn += uint64(len(b))
		for i := range all {
			var brought bool
			if brought, err = s.take(&all[i]); err != nil {
				return
			}
			progress = progress || brought
		}
	})
	return progress, err
}

// take handles a frame. The lock is held.
func (s *listSession) take(f *frame) (progress bool, err error) {
	switch {
	case f.Type == frameDrain:
		return false, f.drain()
	case f.Channel != "":
		if f.serves() {
			s.c.serves()
		}
		news, err := s.links.take(f)
		known := s.transport == Poll && f.Type == frameSubscribed && f.UpToDate // there is nothing to poll for yet
		return news && !known, err
	case f.Type == frameAdvice:
		s.c.advice = f.advice()
		s.c.advised()
	case f.Type == frameError:
		return false, f.failure()
	}
	return false, nil
}

// probeList looks whether SSE gets through.
func (c *Conn) probeList(ctx context.Context) error {
	body := listBody{Live: SSE.String()}
	c.locked(func() {
		for name := range c.channels {
			body.Channels = append(body.Channels, channelRequest{Channel: name, Offset: "now"})
			return
		}
	})
	if len(body.Channels) == 0 {
		return nil // nobody is there to mind
	}
	r, err := c.c.postList(ctx, body)
	if err != nil {
		return err
	}
	return c.c.probe(r)
}
