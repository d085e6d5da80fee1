package park

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a connection on a loop. It is used on the loop's goroutine only.
type Conn struct {
	loop   *Loop
	State  any     // the handler's
	rest   *unsent // what could not be sent yet; shared bytes, never written to
	fd     int32
	due    uint32 // tick; 0 is never
	queued int32  // 1 + its place among the loop's dirty ones; 0 if nothing is queued
	armed  bool   // waits for EPOLLOUT
	paused bool   // doesn't wait for EPOLLIN
	known  bool   // to the loop's epoll
	ended  bool   // the peer sends no more
}

// SetDue makes Due be called for the connection once d has gone by; 0 is never.
func (c *Conn) SetDue(d time.Duration) {
	c.due = 0
	if d > 0 {
		c.due = c.loop.ticksAt(c.loop.time.Add(d))
		c.loop.soonest = min(c.loop.soonest, c.due)
	}
}

// Loop is the connection's loop.
func (c *Conn) Loop() *Loop { return c.loop }

// Open reports whether the connection is on its loop still.
func (c *Conn) Open() bool { return c.fd >= 0 }

// ErrBlocked says that a connection has to wait for its socket to have room.
var ErrBlocked = errors.New("park: the connection is blocked")

// Read returns bytes that arrived, valid until the next Read on the loop; nil
// when there are none now; and false when the peer is gone.
func (c *Conn) Read() ([]byte, bool) {
	b := c.loop.scratch[:]
	n, _, e := syscall.RawSyscall(unix.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	switch {
	case e == unix.EAGAIN || e == unix.EINTR:
		return nil, true
	case e != 0 || n == 0:
		c.ended = e == 0
		return nil, false
	}
	return b[:n], true
}

// HalfClosed tells, after Read returned false, that the peer ended its side in
// good order: it may still take what is sent.
func (c *Conn) HalfClosed() bool { return c.ended }

func (c *Conn) arm(out bool) {
	if c.armed == out {
		return
	}
	c.armed = out
	c.interest()
}

// Pause leaves what arrives, and the peer's end, with the kernel, or goes on
// with it. While it is paused, Readable tells that the connection broke.
func (c *Conn) Pause(on bool) {
	if c.paused == on || c.fd < 0 {
		return
	}
	c.paused = on
	c.interest()
}

// Paused reports whether what arrives is left with the kernel.
func (c *Conn) Paused() bool { return c.paused }

// interest tells the kernel what the connection waits for now, if it is watched.
func (c *Conn) interest() {
	if c.known {
		_ = c.loop.epoll.ctl(unix.EPOLL_CTL_MOD, int(c.fd), c.events())
	}
}

// watch has the kernel tell what happens on the connection.
func (c *Conn) watch() bool {
	c.known = c.loop.epoll.ctl(unix.EPOLL_CTL_ADD, int(c.fd), c.events()) == nil
	return c.known
}

// events are what the connection waits for.
func (c *Conn) events() (e uint32) {
	if !c.paused {
		e = unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if c.armed {
		e |= unix.EPOLLOUT
	}
	return e
}

// Unsent is how many bytes the socket has not taken yet.
func (c *Conn) Unsent() (n int) {
	if c.rest != nil {
		for _, b := range c.rest.pieces {
			n += len(b)
		}
	}
	return n
}

// resume sends what is left. It returns false if the connection was closed.
func (c *Conn) resume() bool {
	if c.rest != nil {
		left, ok := c.push(c.rest.pieces)
		if !ok {
			c.Close()
			return false
		}
		if c.rest.pieces = left; len(left) > 0 {
			return true
		}
		c.sent()
	}
	c.arm(false)
	c.loop.handler.Writable(c)
	return c.fd >= 0
}

// CloseWrite sends what is queued, and tells the peer that nothing more comes. A
// connection that is blocked is left as it is.
func (c *Conn) CloseWrite() {
	if c.Flush() && c.rest == nil {
		_ = unix.Shutdown(int(c.fd), unix.SHUT_WR) // fails with the connection
	}
}

// Close closes the connection, after what is queued, as far as the socket takes
// it at once.
func (c *Conn) Close() {
	if c.queued > 0 {
		q := &c.loop.dirty[c.queued-1]
		_, _ = c.push(q.pieces)
	}
	if fd := c.remove(); fd >= 0 {
		_ = unix.Close(fd)
		c.loop.listener.leave()
		c.loop.handler.Closed(c)
	}
}

func (c *Conn) remove() int {
	if c.fd < 0 {
		return -1
	}
	fd := int(c.fd)
	c.fd = -1
	c.sent()
	p := c.loop
	if c.queued > 0 {
		q := &p.dirty[c.queued-1]
		clear(q.pieces)
		q.c, c.queued = nil, 0
	}
	p.conns[fd] = nil
	if len(p.favored) > 0 {
		p.favored = slices.DeleteFunc(p.favored, func(f favored) bool { return f.c == c })
	}
	p.n--
	p.open.Add(-1)
	return fd
}

// Detach takes the connection off the loop and makes a net.Conn of it, whose
// first bytes are those given: what was read already. If the socket does not
// take all that is queued before, the connection stays, and the error is
// ErrBlocked: it is to be tried again when Writable is called.
func (c *Conn) Detach(read []byte) (net.Conn, error) {
	if !c.Flush() {
		return nil, net.ErrClosed
	}
	if c.rest != nil {
		return nil, ErrBlocked
	}
	fd := c.remove()
	if fd < 0 {
		return nil, net.ErrClosed
	}
	if c.known {
		_ = c.loop.epoll.ctl(unix.EPOLL_CTL_DEL, fd, 0)
	}
	f := os.NewFile(uintptr(fd), "")
	defer func() { _ = f.Close() }() // FileConn has its own copy
	nc, err := net.FileConn(f)
	if err != nil {
		c.loop.listener.leave()
		return nil, err
	}
	return &prefixed{Conn: nc, first: append([]byte(nil), read...), leave: sync.OnceFunc(c.loop.listener.leave)}, nil
}
