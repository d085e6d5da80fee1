package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"twohop"
)

// obstructed says that a transport does not get through, on a path where others
// may.
type obstructed struct{ err error }

func (e *obstructed) Error() string { return e.err.Error() }
func (e *obstructed) Unwrap() error { return e.err }

// errLeft ends a session so that another takes its place, at once.
var errLeft = errors.New("another transport takes over")

// maxFails is how many connections in a row may be of no use before Auto takes
// the next transport down the ladder.
const maxFails = 3

// run serves the Conn to its end.
func (c *Conn) run() {
	var err error
	for err == nil {
		var t Transport
		if t, err = c.await(); err == nil {
			err = c.after(t, c.serve(t))
		}
	}
	c.locked(func() {
		if c.ctx.Err() == nil {
			c.err = err
		} else {
			err = ErrConnClosed
		}
		c.enter(Closed, c.status.Transport)
		for _, f := range c.channels {
			f.end(err)
		}
	})
	c.cancel()
	close(c.done)
}

// await waits until there is something to carry, and picks the transport.
func (c *Conn) await() (t Transport, err error) {
	for {
		wanted := false
		c.locked(func() {
			if wanted = c.wanted(); wanted {
				t = c.pick()
				c.enter(Connecting, t)
			} else {
				c.served = false
				c.enter(Idle, c.status.Transport)
			}
		})
		if wanted {
			return t, c.ctx.Err()
		}
		select {
		case <-c.kick:
		case <-c.ctx.Done():
			return t, c.ctx.Err()
		}
	}
}

// idlePublisher is how long a connection is kept for publishing alone; the
// server keeps it somewhat longer.
const idlePublisher = 2 * time.Minute

// idleLook is how often a connection that stands is looked at, whether there is
// still something to carry.
const idleLook = 15 * time.Second

// errIdle ends a session that has nothing to carry.
var errIdle = errors.New("there is nothing to carry")

// endIdle ends a session, by cancel, when nothing is followed any more and what
// was published is long ago: before the server does, which would be a failure.
func (c *Conn) endIdle(ctx context.Context, cancel context.CancelCauseFunc) (look *time.Timer) {
	c.locked(func() {
		look = time.AfterFunc(idleLook, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			switch {
			case ctx.Err() != nil: // it ended just now
			case len(c.channels) == 0 && !c.publishedLately():
				c.session = nil // what is published now needs another
				cancel(errIdle)
			default:
				look.Reset(idleLook)
			}
		})
	})
	return look
}

func (c *Conn) publishedLately() bool { return c.publishes && time.Since(c.published) < idlePublisher }

// wanted reports whether a connection would carry anything. The lock is held.
func (c *Conn) wanted() bool {
	if c.publishedLately() && c.pick() == WebSocket { // nothing else carries what is published
		return true
	}
	for _, f := range c.channels {
		if f.wanted() {
			return true
		}
	}
	return false
}

// serve carries the channels over one transport until something ends that.
func (c *Conn) serve(t Transport) error {
	ctx, cancel := context.WithCancelCause(c.ctx)
	var climbing sync.WaitGroup
	defer climbing.Wait()
	defer cancel(nil)
	defer c.endIdle(ctx, cancel).Stop()
	var want Transport
	c.locked(func() {
		c.since = time.Time{}
		if want = t; c.transport == Auto {
			want = c.want().Transport
		}
	})
	if want > t {
		climbing.Go(func() {
			if c.c.path.climb(ctx, want, t, c.probe) {
				c.locked(c.advised)
			}
		})
	}
	var err error
	if t == WebSocket {
		err = c.overSocket(ctx, cancel)
	} else {
		err = c.overList(ctx, cancel, t)
	}
	c.locked(func() { c.session = nil })
	if cause := context.Cause(ctx); cause == errLeft || cause == errSilent || cause == errIdle { //nolint:errorlint // set bare
		err = cause
	}
	return err
}

// begin makes a session the one that serves. The lock is held.
func (c *Conn) begin(s session, t Transport) {
	c.session = s
	for name, f := range c.channels {
		f.lookNow() // another transport looks at its own pace
		c.changed(name)
	}
	if c.pick() != t {
		s.leave() // it changed while the connection was made
	}
}

// serves notes that a session answers as it should: its transport gets through.
// The lock is held.
func (c *Conn) serves() {
	if c.served = true; c.since.IsZero() {
		c.since = time.Now()
		c.c.path.clear(c.status.Transport)
	}
	c.enter(Open, c.status.Transport)
}

// useful notes that a session has brought something new, so that what failed
// before is forgotten. A greeting is not enough: a server in trouble may greet
// everyone and then let go. The lock is held.
func (c *Conn) useful() {
	c.fails = 0
	c.backoff.reset()
}

// steadyTime is how long a session must have served to count as useful though
// there was nothing new.
const steadyTime = 10 * time.Second

// after handles the end of a session: it returns an error if it is the Conn's,
// else nil after a wait.
func (c *Conn) after(t Transport, err error) error {
	if ended := c.ctx.Err(); ended != nil {
		return ended
	}
	if err == nil || err == errIdle { //nolint:errorlint // comes bare
		return nil
	}
	c.mu.Lock()
	c.status.Reconnects++
	auto := c.transport == Auto
	if !c.since.IsZero() && time.Since(c.since) >= steadyTime {
		c.useful()
	}
	c.mu.Unlock()
	if err == errLeft { //nolint:errorlint // comes bare
		return nil
	}
	if d, ok := errors.AsType[*drained](err); ok {
		if c.backoff.fails++; c.backoff.fails > 1 { // one drain after another
			d.delay += c.backoff.next(0)
		}
		return c.wait(leaving(), d.delay)
	}
	fail := asFailure(err)
	_, blocked := errors.AsType[*obstructed](err)
	if fail.unknown { // a refusal in so many words is no sign of a blocked path
		if c.fails++; c.fails >= maxFails {
			blocked = true
		}
	}
	if blocked && auto && t > LongPoll {
		c.fails = 0
		c.c.path.block(t)
		c.locked(func() { c.retrying("", fail, 0) })
		return nil
	}
	if !fail.retry {
		return fail.err
	}
	return c.wait(fail, c.backoff.next(fail.retryAfter))
}

func (c *Conn) wait(fail *failure, d time.Duration) error {
	c.locked(func() {
		c.enter(Waiting, c.status.Transport)
		c.retrying("", fail, d)
	})
	return sleep(c.ctx, d)
}

// leaving is why a connection ends when its server stops.
func leaving() *failure {
	return &failure{retry: true, err: &twohop.Error{
		Code: twohop.CodeUnavailable, Message: "the server leaves", Hint: "another connection goes on at the same offset",
	}}
}

// probe looks whether a transport gets through.
func (c *Conn) probe(ctx context.Context, t Transport) error {
	if t == WebSocket {
		s, err := c.c.dial(ctx, proofTime)
		if err == nil {
			s.close()
		}
		return err
	}
	return c.probeList(ctx)
}
