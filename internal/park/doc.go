// Package park keeps connections that wait, without a goroutine or a buffer
// for any of them: their sockets stand in an epoll loop. It knows sockets,
// turns and time, and nothing of HTTP.
//
// Invariant: everything about a connection happens on its loop, so what a
// handler keeps about one needs no lock. Nothing on a loop blocks: what could
// is done elsewhere and posted back. Long work is done in turns, between which
// the loop looks at its sockets, and fan-outs that nobody gave a time for begin
// after all else, so that none delays a publish.
//
// What is queued on connections leaves when a round is over, in the order in
// which they came to have something: all that is due on one leaves as one send,
// and the sends of all as few system calls, by io_uring. Where the kernel has
// none, or forbids it (seccomp, kernel.io_uring_disabled), each is a write(2).
//
// Loops need epoll. Elsewhere, and for TLS, connections are served with a
// goroutine each by net/http; Supported tells.
package park

import "time"

// Handler is what a loop calls. All calls come from the loop's goroutine.
type Handler interface {
	// Opened tells of a new connection.
	Opened(c *Conn)
	// Readable tells that Read will give bytes, or the end.
	Readable(c *Conn)
	// Writable tells that a connection that was blocked no longer is: all that
	// it was given before has been sent.
	Writable(c *Conn)
	// Closed tells that the connection is gone. It is called once for each
	// connection that was opened, unless it was taken by Detach.
	Closed(c *Conn)
	// Due is called when the time set by SetDue has come.
	Due(c *Conn)
}

// Host is a handler that lets another have a connection for a while.
type Host interface {
	// Back gives the connection back, and what came on it and is not served.
	Back(rest []byte)
}

// Task is work for a loop.
type Task = interface {
	// Turn does some of the work, for at most a fraction of a millisecond, and
	// reports whether there is more.
	Turn() (more bool)
}

// TickEvery is how often a loop that has connections looks at the clock.
const TickEvery = 250 * time.Millisecond

// Options of a loop.
type Options struct {
	// Precision is the time within which it is noticed that a connection is due,
	// but no sooner than a tick.
	Precision time.Duration
	// FanOutLag is how long fan-outs may wait while the loop is busy without a
	// pause.
	FanOutLag time.Duration
	// Full is told when the loop accepts no more connections for now: because as
	// many are open as may be, or because of what the system said. It may be nil.
	Full func(err error)
	// NoRing keeps the loop from using io_uring where the kernel would let it.
	NoRing bool
}
