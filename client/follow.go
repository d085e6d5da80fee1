package client

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"time"

	"twohop"
)

// FollowOptions of a Follow. The zero value reads all of a channel and goes on
// with what comes.
type FollowOptions struct {
	From      From
	Transport Transport

	// PollInterval is the time between polls that brought nothing new. 2 s.
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
			yield(Event{}, err)
			return
		}
		if o.PollInterval <= 0 {
			o.PollInterval = 2 * time.Second
		}
		f := &follower{
			c: c, ctx: ctx, channel: channel, target: target, opts: o, yield: yield,
			from: o.From, contentType: o.ContentType, transport: o.Transport, backoff: c.backoff(),
		}
		if o.Transport == Auto {
			f.transport = SSE
		}
		if err := f.run(); err != nil {
			yield(Event{}, err)
		}
	}
}

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

	transport Transport // in use; never Auto
	silentSSE int       // SSE responses in a row that brought no event
	backoff   backoff
	told      bool // the caller knows that the channel is gone
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
		if err != nil && err != errClosed && err != errStopped { //nolint:errorlint // both come bare
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
	switch {
	case f.ctx.Err() != nil:
		return f.ctx.Err()
	case f.contentType == "": // whether records are JSON, only a page says
		return f.page(Poll)
	case f.transport == SSE:
		return f.stream()
	case f.transport == Poll && f.upToDate:
		d := f.opts.PollInterval
		if err := sleep(f.ctx, d*9/10+rand.N(d/5+1)); err != nil { //nolint:gosec // jitter, not a secret
			return err
		}
	}
	return f.page(f.transport)
}

// take gives the caller what one whole answer brought. next is the offset after
// it.
func (f *follower) take(records [][]byte, next string, upToDate, closed bool) error {
	news := len(records) > 0 || next != f.next || upToDate && !f.upToDate || closed
	f.next, f.from, f.upToDate = next, At(next), upToDate
	f.told = false
	if news && !f.yield(Event{
		Records: records, JSON: twohop.IsJSON(f.contentType), Next: next, UpToDate: upToDate, Closed: closed,
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
	if !f.yield(Event{JSON: twohop.IsJSON(f.contentType), Next: f.next, Reset: r}, nil) {
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
