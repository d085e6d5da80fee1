package park

import (
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
	// maxVector is how many pieces go to the kernel at a time.
	maxVector = 256
)

// queued is what a connection sends at the end of the round.
type queued struct {
	c      *Conn // nil if it was sent before, or closed
	pieces [][]byte
	size   int
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
		q.c, q.size, q.pieces = c, len(b), append(q.pieces[:0], b)
		c.queued = int32(n + 1) //nolint:gosec // connections are bounded by descriptors
	}
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
	for i := 0; i < len(p.dirty); i++ {
		if c := p.dirty[i].c; c != nil && c.sendQueued() && c.rest == nil && p.dirty[i].size >= maxQueued {
			p.drained = append(p.drained, c)
		}
	}
	if p.dirty = p.dirty[:0]; cap(p.dirty) > 4*maxDirty {
		p.dirty = nil
	}
}

// flushMany sends what is queued if it is much. It is called between two calls
// of handlers and tasks, never within one.
func (p *Loop) flushMany() {
	if len(p.dirty) >= maxDirty {
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

// sendQueued sends what is queued for a connection. On failure it closes the
// connection and returns false.
func (c *Conn) sendQueued() bool {
	q := &c.loop.dirty[c.queued-1]
	q.c, c.queued = nil, 0
	left, ok := c.push(q.pieces)
	if ok && len(left) > 0 {
		c.block(left)
	}
	clear(q.pieces)
	if !ok {
		c.Close()
	}
	return ok
}

// block keeps what the socket did not take, until it has room.
func (c *Conn) block(left [][]byte) {
	c.rest = &unsent{append([][]byte(nil), left...)}
	c.arm(true)
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
		sent := int(n) //nolint:gosec // at most what was given
		for _, b := range some {
			if sent < len(b) {
				pieces[0] = b[sent:]
				return pieces, true
			}
			sent -= len(b)
			pieces[0] = nil // it may be gone before the others are
			pieces = pieces[1:]
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
