package park

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a connection on a loop. It is used on the loop's goroutine only.
type Conn struct {
	loop  *Loop
	State any    // the handler's
	rest  []byte // what Write could not send yet; shared bytes, never written to
	fd    int32
	due   uint32 // tick; 0 is never
	armed bool   // waits for EPOLLOUT
}

// SetDue makes Due be called for the connection once d has gone by; 0 is never.
func (c *Conn) SetDue(d time.Duration) {
	c.due = 0
	if d > 0 {
		c.due = c.loop.ticksAt(time.Now().Add(d))
	}
}

// Loop is the connection's loop.
func (c *Conn) Loop() *Loop { return c.loop }

// Blocked reports whether something is waiting to be sent: the peer, or the
// path to it, is slower than what was written.
func (c *Conn) Blocked() bool { return len(c.rest) > 0 }

// Open reports whether the connection is on its loop still.
func (c *Conn) Open() bool { return c.fd >= 0 }

func eventsPointer(e *[512]unix.EpollEvent) uintptr { return uintptr(unsafe.Pointer(e)) }

// Read returns bytes that arrived, valid until the next Read on the loop; nil
// when there are none now; and false when the peer is gone.
func (c *Conn) Read() ([]byte, bool) {
	b := c.loop.scratch[:]
	n, _, e := syscall.RawSyscall(unix.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	switch {
	case e == unix.EAGAIN || e == unix.EINTR:
		return nil, true
	case e != 0 || n == 0:
		return nil, false
	}
	return b[:n], true
}

// Write sends b as far as the socket takes it, and the rest when it takes more;
// then Writable is called. b must not change afterwards. While the connection
// is blocked, Write must not be called. On failure it closes the connection and
// returns false.
func (c *Conn) Write(b []byte) bool {
	n, _, e := syscall.RawSyscall(unix.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	switch {
	case e == unix.EAGAIN || e == unix.EINTR:
		n = 0
	case e != 0:
		c.Close()
		return false
	}
	if int(n) < len(b) { //nolint:gosec // at most len(b)
		c.rest = b[n:]
		c.arm(true)
	}
	return true
}

// WriteCopy is Write for bytes that will be overwritten.
func (c *Conn) WriteCopy(b []byte) bool {
	if !c.Write(b) {
		return false
	}
	if len(c.rest) > 0 {
		c.rest = append([]byte(nil), c.rest...)
	}
	return true
}

func (c *Conn) arm(out bool) {
	if c.armed == out {
		return
	}
	c.armed = out
	events := uint32(unix.EPOLLIN | unix.EPOLLRDHUP)
	if out {
		events |= unix.EPOLLOUT
	}
	_ = c.loop.ctl(unix.EPOLL_CTL_MOD, int(c.fd), events)
}

// resume sends what is left. It returns false if the connection was closed.
func (c *Conn) resume() bool {
	b := c.rest
	c.rest = nil
	if len(b) > 0 && !c.Write(b) {
		return false
	}
	if len(c.rest) == 0 {
		c.arm(false)
		c.loop.handler.Writable(c)
	}
	return c.fd >= 0
}

// Close closes the connection.
func (c *Conn) Close() {
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
	c.rest = nil
	p := c.loop
	p.conns[fd] = nil
	p.n--
	p.open.Add(-1)
	return fd
}

// Detach takes the connection off the loop and makes a net.Conn of it, whose
// first bytes are those given: what was read already.
func (c *Conn) Detach(read []byte) (net.Conn, error) {
	fd := c.remove()
	if fd < 0 {
		return nil, net.ErrClosed
	}
	_ = c.loop.ctl(unix.EPOLL_CTL_DEL, fd, 0)
	f := os.NewFile(uintptr(fd), "")
	defer func() { _ = f.Close() }() // FileConn has its own copy
	nc, err := net.FileConn(f)
	if err != nil {
		c.loop.listener.leave()
		return nil, err
	}
	return &prefixed{Conn: nc, first: append([]byte(nil), read...), leave: sync.OnceFunc(c.loop.listener.leave)}, nil
}
