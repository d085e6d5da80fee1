package client

import (
	"container/list"
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"twohop"
	"twohop/internal/wire"
)

// ConnOptions of a Conn. The zero value takes the best transport there is.
type ConnOptions struct {
	Transport Transport

	// PollInterval is the time between polls that brought nothing new, where no
	// advice of the server's says another. 2 s.
	PollInterval time.Duration

	// BufferBytes is how much of a channel may be there before it is ranged
	// over. 1 MiB, and at least one event.
	BufferBytes int

	// OnStatus, if not nil, is told when the state or the transport changes.
	OnStatus func(Status)

	// OnRetry, if not nil, is told of each failure before the wait that follows;
	// channel is "" where it is the connection's.
	OnRetry func(channel string, err error, wait time.Duration)
}

// Conn follows many channels, and publishes, over one connection to the server:
// a WebSocket, or /v1/subscribe as SSE, long poll or poll. It changes the
// transport when the network, the server or the caller wants another; offsets
// are the same on all of them, so nothing is lost, doubled or out of order.
//
// It connects while there is something to follow, and Close ends it.
type Conn struct {
	// Set by Connect.
	c      *Client
	opts   ConnOptions
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when run has ended
	wake   chan struct{} // to who ranges over Events: look; holds at most one
	kick   chan struct{} // to run, or what it started: look at dirty; holds at most one

	mu        sync.Mutex // never held across a wait or a call out
	channels  map[string]*Following
	follows   uint64              // that there were
	dirty     map[string]struct{} // channels to look at
	ready     list.List           // *Following with something to hand out
	transport Transport           // that is asked for
	advice    Advice              // the server's for the connection, with the channels that it has
	publishes bool                // it was published here
	published time.Time           // when for the last time
	session   session             // under way, or nil
	since     time.Time           // when it first served; zero is not yet
	served    bool                // some session has, since the Conn was idle
	fails     int                 // sessions in a row on this transport that were of no use
	status    Status
	err       error    // why it ended, if not by Close; set before done
	notes     []func() // callbacks to call when the lock is free

	// run's alone:
	backoff backoff
}

// session is one connection. Its methods are called with the lock held.
type session interface {
	// leave ends it as soon as that harms nobody.
	leave()

	// publish sends the item, or says that it can't.
	publish(*publishItem) (*publishing, bool)
}

// Connect makes a Conn. It lives until Close, or until ctx is done.
func (c *Client) Connect(ctx context.Context, o ConnOptions) *Conn {
	if o.PollInterval <= 0 {
		o.PollInterval = defaultPollInterval
	}
	if o.BufferBytes <= 0 {
		o.BufferBytes = 1 << 20
	}
	n := &Conn{
		c: c, opts: o, done: make(chan struct{}), wake: make(chan struct{}, 1), kick: make(chan struct{}, 1),
		channels: map[string]*Following{}, dirty: map[string]struct{}{}, transport: o.Transport, backoff: c.backoff(),
	}
	n.ctx, n.cancel = context.WithCancel(ctx)
	go n.run()
	return n
}

// Follow follows a channel. It fails if the name is none, if the channel is
// followed here already, or if the Conn has ended.
func (c *Conn) Follow(channel string, o ChannelOptions) (*Following, error) {
	if err := twohop.CheckName(channel, maxName); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status.State == Closed {
		return nil, c.end()
	}
	if c.channels[channel] != nil {
		return nil, &twohop.Error{Code: wire.CodeAlreadySubscribed, Channel: channel,
			Message: "the channel is followed here already", Hint: "close that Following first, or use another Conn"}
	}
	f := &Following{
		c: c, channel: channel, opts: o, age: c.follows, wake: make(chan struct{}, 1),
		from: o.From, advice: budgetAdvice(o.Budget), backoff: c.c.backoff(),
	}
	c.follows++
	c.channels[channel] = f
	c.advice = Advice{} // it was for the others
	c.changed(channel)
	c.advised()
	return f, nil
}

// Events ranges over what comes in all channels, each event with its Channel,
// taking turns where several have news. A channel that fails has its error as
// last event, and the others go on; it ends when the Conn does, or with the
// context's error.
func (c *Conn) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for ended := false; ; {
			if err := ctx.Err(); err != nil {
				yield(Event{}, err)
				return
			}
			q, ok := c.next()
			switch {
			case ok:
				if !yield(q.event, q.err) {
					return
				}
				continue
			case ended: // and nothing came with the end
				if c.err != nil {
					yield(Event{}, c.err)
				}
				return
			}
			select {
			case <-c.wake:
			case <-ctx.Done():
			case <-c.done:
				ended = true
			}
		}
	}
}

// next takes what any channel has.
func (c *Conn) next() (q queued, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.ready.Front()
	if first == nil {
		return queued{}, false
	}
	c.ready.MoveToBack(first)               // the next one's turn
	q, ok = first.Value.(*Following).next() //nolint:forcetypeassert // the list holds nothing else
	if c.ready.Len() > 0 {
		notify(c.wake) // someone else may wait for it
	}
	return q, ok
}

// SetTransport changes the transport, at any time.
func (c *Conn) SetTransport(t Transport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.transport = t
	c.advised()
}

// Close ends the Conn and what is followed here, and waits for it.
func (c *Conn) Close() {
	c.cancel()
	<-c.done
}

// end is the error of a Conn that has ended.
func (c *Conn) end() error {
	if c.err != nil {
		return c.err
	}
	return ErrConnClosed
}

// ErrConnClosed is returned by a Conn that was closed.
var ErrConnClosed = errors.New("the connection was closed")

// changed makes who serves look at a channel. The lock is held, as for all that
// follows.
func (c *Conn) changed(channel string) {
	c.dirty[channel] = struct{}{}
	notify(c.kick)
}

// advised looks whether another transport is due than the one that serves.
func (c *Conn) advised() {
	if c.session != nil && c.pick() != c.status.Transport {
		c.session.leave()
	}
}

// pick is the transport to use now.
func (c *Conn) pick() Transport {
	if c.transport != Auto {
		return c.transport
	}
	return c.c.path.best(c.want().Transport, c.served)
}

// want is what Auto would use if everything got through: what the server
// advises for all of the channels together.
func (c *Conn) want() Advice {
	want := Advice{Transport: WebSocket}
	switch {
	case c.advice.Transport != Auto:
		want = c.advice
	case !c.publishes && len(c.channels) > 0:
		want = together(c.channels)
	}
	c.status.Advice = want
	return want
}

// together is the advice that suits all channels: to poll only where it is
// enough for each, at the pace of the fastest.
func together(channels map[string]*Following) Advice {
	all := Advice{}
	for _, f := range channels {
		switch a := f.advice; {
		case a.Transport == Poll && (all.Transport == Auto || all.Transport == Poll && a.Interval < all.Interval):
			all = a
		case a.Transport == Poll:
		case a.Transport == SSE && len(channels) == 1, a.Transport == LongPoll && len(channels) == 1:
			return a
		default:
			return Advice{Transport: WebSocket}
		}
	}
	return all
}

// interval is the time between polls.
func (c *Conn) interval() time.Duration {
	if a := c.want(); a.Transport == Poll {
		return a.Interval
	}
	return c.opts.PollInterval
}

// counted counts what was delivered.
func (c *Conn) counted(records int) {
	c.status.Batches++
	c.status.Records += uint64(records) //nolint:gosec // a length
}

// retrying notes a failure for OnRetry.
func (c *Conn) retrying(channel string, fail *failure, wait time.Duration) {
	c.status.LastError = fail.err
	c.c.opts.Logger.DebugContext(c.ctx, "trying again", "channel", channel, "wait", wait, "error", fail.err)
	if c.opts.OnRetry != nil {
		c.notes = append(c.notes, func() { c.opts.OnRetry(channel, fail.err, wait) })
	}
}

// locked runs f with the lock held, and the callbacks that it noted without it.
func (c *Conn) locked(f func()) {
	c.mu.Lock()
	f()
	notes := c.notes
	c.notes = nil
	c.mu.Unlock()
	for _, call := range notes {
		call()
	}
}
