package client

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"twohop"
)

// FollowOptions of a Follow. The zero value reads all of a channel and goes on
// with what comes.
type FollowOptions struct {
	From      From
	Transport Transport

	// Budget is how late an update may be: the server collects within it, and
	// advises what is cheapest, which Auto does. 0 is as soon as possible.
	Budget time.Duration

	// PollInterval is the time between polls that brought nothing new. What the
	// server advises, else 2 s.
	PollInterval time.Duration

	// ContentType is the channel's media type, if the caller knows it: it saves
	// the first request.
	ContentType string

	// Wait waits for a channel that does not exist (any more) to be created,
	// instead of ending with not_found.
	Wait bool

	// OnRetry, if not nil, is told of each failure before the wait that follows.
	OnRetry func(err error, wait time.Duration)
}

// Follow reads a channel and goes on as it grows. Ranging over it ends when the
// channel is closed and all of it was read; otherwise with an error, which comes
// last and alone: the context's when that is done, or a *twohop.Error that
// trying again does not mend. Connections that break, servers that restart or
// ask for patience are no errors: Follow goes on at its offset.
func (c *Client) Follow(ctx context.Context, channel string, o FollowOptions) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		target, err := c.URL(channel)
		if err != nil {
			yield(Event{Channel: channel}, err)
			return
		}
		if o.Transport == WebSocket {
			c.followOverSocket(ctx, channel, o, yield)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // also if the caller's loop panics
		f := &follower{
			c: c, ctx: ctx, channel: channel, target: target, opts: o, yield: yield,
			from: o.From, contentType: o.ContentType, backoff: c.backoff(),
		}
		err = f.run()
		cancel()
		f.climbing.Wait()
		if err != nil {
			yield(Event{Channel: channel}, err)
		}
	}
}

// followOverSocket is a Follow on a connection of its own that carries many.
func (c *Client) followOverSocket(ctx context.Context, channel string, o FollowOptions, yield func(Event, error) bool) {
	n := c.Connect(ctx, ConnOptions{Transport: WebSocket, OnRetry: func(_ string, err error, wait time.Duration) {
		if o.OnRetry != nil {
			o.OnRetry(err, wait)
		}
	}})
	defer n.Close()
	f, err := n.Follow(channel, ChannelOptions{From: o.From, Budget: o.Budget, Wait: o.Wait})
	if err != nil {
		yield(Event{Channel: channel}, err)
		return
	}
	for e, err := range f.Events(ctx) {
		if !yield(e, err) {
			return
		}
	}
}

// defaultPollInterval is the time between polls where nobody says another.
const defaultPollInterval = 2 * time.Second

// follower is one Follow under way. It belongs to one goroutine.
type follower struct {
	c       *Client
	ctx     context.Context
	channel string
	target  string
	opts    FollowOptions
	yield   func(Event, error) bool

	from        From // where the next read begins
	next        string
	contentType string // "" until it is known
	cacheToken  string // Stream-Cursor
	etag        string // of the last page, if it was empty
	upToDate    bool

	advice    Advice // the server's
	served    bool   // a live read has been of use
	silentSSE int    // SSE responses in a row that brought no event
	backoff   backoff
	told      bool // the caller knows that the channel is gone

	climbing sync.WaitGroup // a look whether SSE gets through
	looking  atomic.Bool    // that runs
}

// Both end the follower without an error.
var (
	errClosed  = errors.New("the channel is closed and was read")
	errStopped = errors.New("the caller wants no more")
)

// run follows until the end. A nil error ends it without telling the caller.
func (f *follower) run() error {
	for {
		err := f.step()
		switch d, ok := errors.AsType[*drained](err); {
		case ok:
			err = f.pause(leaving(), d.delay)
		case err == errLeft: //nolint:errorlint // comes bare
			err = nil
		case err != nil && err != errClosed && err != errStopped: //nolint:errorlint // both come bare
			err = f.recover(asFailure(err))
		}
		switch {
		case err == errClosed || err == errStopped: //nolint:errorlint // both come bare
			return nil
		case err != nil:
			return err
		}
	}
}

// step makes one request and takes what it brings.
func (f *follower) step() error {
	if err := f.ctx.Err(); err != nil {
		return err
	}
	if f.contentType == "" { // whether records are JSON, only a page says
		return f.page(Poll)
	}
	t := f.pick()
	switch {
	case t == SSE:
		return f.stream()
	case t == Poll && f.upToDate:
		if err := sleep(f.ctx, jittered(f.interval())); err != nil {
			return err
		}
	}
	return f.page(t)
}

// pick is the transport to use now.
func (f *follower) pick() Transport {
	if f.opts.Transport != Auto {
		return f.opts.Transport
	}
	want := f.want()
	t := f.c.path.best(want, f.served)
	if f.served = true; t < want && !f.looking.Swap(true) {
		f.climbing.Go(func() {
			f.c.path.climb(f.ctx, want, t, f.probe)
			f.looking.Store(false)
		})
	}
	return t
}

// want is what Auto would use if everything got through. A channel that is only
// read gains nothing from a WebSocket.
func (f *follower) want() Transport {
	if t := f.advice.Transport; t != Auto {
		return min(t, SSE)
	}
	return SSE
}

// interval is the time between polls.
func (f *follower) interval() time.Duration {
	switch {
	case f.opts.PollInterval > 0:
		return f.opts.PollInterval
	case f.advice.Transport == Poll:
		return f.advice.Interval
	}
	return defaultPollInterval
}

// jittered is a time give or take a tenth.
func jittered(d time.Duration) time.Duration {
	return d*9/10 + rand.N(d/5+1) //nolint:gosec // jitter, not a secret
}

// advised takes the server's advice, and reports whether another transport is
// due than SSE, which is the one that goes on.
func (f *follower) advised(a Advice) bool {
	if a.Transport != Auto {
		f.advice = a
	}
	return f.opts.Transport == Auto && f.want() < SSE
}

// probe looks whether SSE gets through.
func (f *follower) probe(ctx context.Context, _ Transport) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.target+"?live=sse&offset=now", http.NoBody)
	if err != nil {
		return err
	}
	return f.c.probe(r)
}

// take gives the caller what one whole answer brought. next is the offset after
// it.
func (f *follower) take(records [][]byte, next string, upToDate, closed bool) error {
	news := len(records) > 0 || next != f.next || upToDate && !f.upToDate || closed
	f.next, f.from, f.upToDate = next, At(next), upToDate
	f.told = false
	if news && !f.yield(Event{
		Channel: f.channel, Records: records, JSON: twohop.IsJSON(f.contentType), Offset: next, UpToDate: upToDate, Closed: closed,
	}, nil) {
		return errStopped
	}
	if closed {
		return errClosed
	}
	return nil
}

// reset tells the caller that the follower's place is lost, and moves on.
func (f *follower) reset(r *Reset) error {
	if to := r.next(); to != "" {
		f.next, f.from = to, At(to)
	}
	if r.Reason == twohop.ResetEpoch || r.Reason == twohop.ResetDeleted {
		f.contentType = "" // of a successor it may be another
	}
	f.etag, f.upToDate = "", false
	f.told = r.Reason == twohop.ResetDeleted
	if !f.yield(Event{Channel: f.channel, JSON: twohop.IsJSON(f.contentType), Offset: f.next, Reset: r}, nil) {
		return errStopped
	}
	return nil
}

// recover handles a failure: it returns an error if that is the end, else nil
// after a wait.
func (f *follower) recover(fail *failure) error {
	if err := f.ctx.Err(); err != nil {
		return err
	}
	f.etag, f.upToDate = "", false
	switch code := fail.err.Code; {
	case fail.reset != nil:
		if err := f.reset(fail.reset); err != nil {
			return err
		}
		if f.backoff.fails++; f.backoff.fails == 1 {
			return nil // at once, unless resets follow each other
		}
		return sleep(f.ctx, f.backoff.next(0))
	case code == twohop.CodeNotFound || code == twohop.CodeGone:
		return f.absent(fail)
	case !fail.retry:
		return fail.err
	}
	return f.pause(fail, f.backoff.next(fail.retryAfter))
}

// absent waits for a channel that is not there. The offset stays as it is:
// should the very same log be back, nothing is read twice, and of another one
// the server says so.
func (f *follower) absent(fail *failure) error {
	if !f.opts.Wait {
		return fail.err
	}
	if f.next != "" && !f.told {
		if err := f.reset(&Reset{Reason: twohop.ResetDeleted}); err != nil {
			return err
		}
	}
	f.from = f.from.onceAbsent(f.next, fail)
	f.backoff.reset()
	return f.pause(fail, max(fail.retryAfter, absentWait/2)+rand.N(absentWait)) //nolint:gosec // jitter, not a secret
}

// absentWait is the mean time between looks for a channel that does not exist.
const absentWait = time.Second

func (f *follower) pause(fail *failure, wait time.Duration) error {
	f.c.opts.Logger.DebugContext(f.ctx, "read failed, trying again", "channel", f.channel, "offset", f.next, "wait", wait, "error", fail.err)
	if f.opts.OnRetry != nil {
		f.opts.OnRetry(fail.err, wait)
	}
	return sleep(f.ctx, wait)
}
