package park

import (
	"bytes"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxQueued is how much may be queued on a connection before it counts as
	// blocked: who catches up gets on with the others in turns.
	maxQueued = 64 << 10
	// maxDirty is how many connections may have something queued before it is
	// sent in the middle of a round, so that the list stays short.
	maxDirty = 512
	// copyBytes are for what is queued as a copy, in pieces of at most MaxCopy.
	copyBytes = 64 << 10
	// maxVector is how many pieces go to the kernel at a time.
	maxVector = 256
)

// MaxCopy is how much QueueCopy copies at no cost; more is copied to the heap.
const MaxCopy = 1 << 10

// queued is what a connection sends at the end of the round.
type queued struct {
	c      *Conn // nil if it was sent before, or closed
	pieces [][]byte
	size   int
	tried  bool  // by the ring
	result int32 // then: bytes that were sent, or the negative errno
}

// unsent is what a socket did not take.
type unsent struct{ pieces [][]byte }

// Queue sends b when the round is over, together with all else that was queued
// for the connection since: several pieces cost one system call. b must not
// change afterwards. If sending fails then, the connection is closed.
//
// Who has much to send asks Blocked before. Queue on a connection that is
// blocked keeps b until the socket has taken what came before.
func (c *Conn) Queue(b []byte) {
	p := c.loop
	switch {
	case c.fd < 0 || len(b) == 0:
	case c.rest != nil:
		c.rest.pieces = append(c.rest.pieces, b)
	case c.queued > 0:
		q := &p.dirty[c.queued-1]
		q.pieces = append(q.pieces, b)
		q.size += len(b)
	default:
		n := len(p.dirty)
		if n < cap(p.dirty) {
			p.dirty = p.dirty[:n+1] // with the pieces' old memory
		} else {
			p.dirty = append(p.dirty, queued{})
		}
		q := &p.dirty[n]
		*q = queued{c: c, size: len(b), pieces: append(q.pieces[:0], b)}
		c.queued = int32(n + 1) //nolint:gosec // connections are bounded by descriptors
	}
}

// QueueCopy is Queue for bytes that will be overwritten.
func (c *Conn) QueueCopy(b []byte) {
	p := c.loop
	if len(b) > min(MaxCopy, copyBytes-len(p.copies)) || c.rest != nil {
		c.Queue(bytes.Clone(b))
		return
	}
	if p.copies == nil {
		p.copies = make([]byte, 0, copyBytes)
	}
	from := len(p.copies)
	p.copies = append(p.copies, b...)
	c.Queue(p.copies[from:])
}

// Blocked reports whether the connection is to be left alone until Writable is
// called: its peer, or the path to it, is slower than what was written, or much
// is queued.
func (c *Conn) Blocked() bool {
	return c.rest != nil || c.queued > 0 && c.loop.dirty[c.queued-1].size >= maxQueued
}

// flush sends all that is queued. What is queued meanwhile, by handlers of
// connections that turn out to be closed, is sent too.
func (p *Loop) flush() {
	for from := 0; from < len(p.dirty); {
		to := min(len(p.dirty), from+ringEntries)
		if p.ring != nil && to-from >= ringWorth && p.ring.send(p.dirty[from:to]) != nil {
			p.ring.Close()
			p.ring = nil
		}
		var failed []*Conn
		for ; from < to; from++ { // without calling out, so that all of the batch is settled before anything changes
			if c := p.dirty[from].c; c != nil && !c.sendQueued() {
				failed = append(failed, c)
			}
		}
		for _, c := range failed {
			c.Close()
		}
	}
	p.copies = p.copies[:0]
	if p.dirty = p.dirty[:0]; cap(p.dirty) > 4*maxDirty {
		p.dirty = nil
	}
}

// flushMany sends what is queued if it is much, or if the next copy might have
// to go to the heap. It is called between two calls of handlers and tasks, never
// within one.
func (p *Loop) flushMany() {
	if len(p.dirty) >= maxDirty || len(p.copies) > copyBytes-MaxCopy {
		p.flush()
	}
}

// tellDrained tells connections that were blocked by their queue alone. That is
// done in the next round, so that one that catches up takes turns with others.
func (p *Loop) tellDrained() {
	drained := p.drained
	p.drained = nil // handlers send, which may add to it
	for _, c := range drained {
		if c.fd >= 0 && !c.Blocked() {
			p.handler.Writable(c)
		}
	}
}

// sendQueued sends what is queued for a connection, as far as the ring did not.
// It returns false if the connection is to be closed.
func (c *Conn) sendQueued() bool {
	q := &c.loop.dirty[c.queued-1]
	q.c, c.queued = nil, 0
	left, full, ok := q.pieces, false, true
	if q.tried {
		left, full, ok = q.outcome()
	}
	if ok && !full {
		left, ok = c.push(left)
	}
	switch {
	case !ok:
	case len(left) > 0:
		c.block(left)
	case q.size >= maxQueued:
		c.loop.drained = append(c.loop.drained, c)
	}
	if clear(q.pieces); cap(q.pieces) > maxVector {
		q.pieces = nil
	}
	return ok
}

// Flush sends what is queued for the connection at once, as far as the socket
// takes it; Blocked tells whether there is more. On failure it closes the
// connection and returns false.
func (c *Conn) Flush() bool {
	if c.queued > 0 && !c.sendQueued() {
		c.Close()
	}
	return c.fd >= 0
}

// Write is Queue and Flush.
func (c *Conn) Write(b []byte) bool {
	c.Queue(b)
	return c.Flush()
}

// outcome is what the ring left unsent, and why.
func (q *queued) outcome() (left [][]byte, full, ok bool) {
	switch e := unix.Errno(-q.result); {
	case q.result >= 0:
		left = after(q.pieces, int(q.result))
		return left, len(left) > 0, true
	case e == unix.EAGAIN || e == unix.EINTR:
		return q.pieces, true, true
	default:
		return nil, false, false
	}
}

// after is what is left of pieces of which some bytes were sent. It changes them.
func after(pieces [][]byte, sent int) [][]byte {
	for len(pieces) > 0 {
		if sent < len(pieces[0]) {
			pieces[0] = pieces[0][sent:]
			break
		}
		sent -= len(pieces[0])
		pieces[0] = nil // it may be gone before the others are
		pieces = pieces[1:]
	}
	return pieces
}

// block keeps what the socket did not take, until it has room.
func (c *Conn) block(left [][]byte) {
	left = slices.Clone(left)
	for i, b := range left {
		if len(b) <= MaxCopy {
			left[i] = bytes.Clone(b) // may be of the loop's copies
		}
	}
	c.rest = &unsent{left}
	c.loop.unsent.Add(1)
	c.arm(true)
}

// sent forgets what the socket had not taken.
func (c *Conn) sent() {
	if c.rest != nil {
		c.rest = nil
		c.loop.unsent.Add(-1)
	}
}

// push gives pieces to the socket, and returns what it did not take, which
// changes the pieces, and whether the connection is well.
func (c *Conn) push(pieces [][]byte) (left [][]byte, ok bool) {
	for len(pieces) > 0 {
		var n uintptr
		var e syscall.Errno
		some := pieces[:min(len(pieces), maxVector)]
		if len(some) == 1 {
			b := some[0]
			n, _, e = syscall.RawSyscall(unix.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		} else {
			n, e = c.loop.writev(c.fd, some)
		}
		switch {
		case e == unix.EAGAIN || e == unix.EINTR:
			return pieces, true
		case e != 0:
			return nil, false
		}
		before := len(pieces)
		pieces = after(pieces, int(n)) //nolint:gosec // at most what was given
		if before-len(pieces) < len(some) {
			return pieces, true // the socket is full
		}
	}
	return nil, true
}

func (p *Loop) writev(fd int32, pieces [][]byte) (uintptr, syscall.Errno) {
	v := p.vector[:len(pieces)]
	for i, b := range pieces {
		v[i].Base = unsafe.SliceData(b)
		v[i].SetLen(len(b))
	}
	n, _, e := syscall.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&v[0])), uintptr(len(v)))
	clear(v)
	return n, e
}
