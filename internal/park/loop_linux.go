package park

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Supported reports whether loops work on this system.
const Supported = true

// Loop serves connections on one goroutine.
type Loop struct {
	epoll    *epoll
	wakeup   int
	listener *Listener
	handler  Handler
	told     func(error) // that no more is accepted

	// owned by the loop's goroutine
	conns   []*Conn // by file descriptor
	n       int
	accepts accepting
	turns   []Task // work that is not done yet
	fans    fanOuts
	dirty   []queued
	copies  []byte  // of what is queued
	ring    *ring   // or nil
	drained []*Conn // that were blocked by what was queued, and are no more
	vector  [maxVector]unix.Iovec
	scratch [64 << 10]byte
	swept   int       // where the sweep for connections that are due stands
	time    time.Time // when the round began
	now     uint32    // ticks since the loop began, from 1
	ticked  time.Time
	began   time.Time
	circle  int    // ticks that one sweep over all connections takes
	soonest uint32 // tick before which no connection is due that the sweep has passed
	alarm   *time.Timer
	rings   time.Time // when the alarm does
	watches []watch
	favored []favored
	crowded time.Time // when a round last had all the events that it takes up

	// mu guards what others give the loop. It is held for a few words only.
	mu       sync.Mutex
	posted   []Task
	spare    []Task
	fanned   []FanOut
	sleeping atomic.Bool
	stopping atomic.Bool
	open     atomic.Int64
	unsent   atomic.Int64 // connections whose socket has not taken all yet
	behind   atomic.Int64 // nanoseconds
	done     chan struct{}
}

// NewLoop makes a loop that accepts from a listener, which it shares with other
// loops. The handler is set once, before Run.
func NewLoop(l *Listener, o Options) (*Loop, error) {
	ep, err := newEpoll()
	if err != nil {
		return nil, err
	}
	ev, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		_ = ep.close()
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	p := &Loop{epoll: ep, wakeup: ev, listener: l, done: make(chan struct{}),
		began: time.Now(), circle: max(1, int(o.Precision/TickEvery)), fans: fanOuts{lag: o.FanOutLag}, told: o.Full}
	p.time = p.began
	p.alarm = time.AfterFunc(longestSleep, p.wake)
	if !o.NoRing {
		p.ring, _ = newRing() // without it there is write(2)
	}
	err = errors.Join(p.epoll.ctl(unix.EPOLL_CTL_ADD, ev, unix.EPOLLIN), p.epoll.ctl(unix.EPOLL_CTL_ADD, l.fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE))
	if err != nil {
		p.free()
		return nil, err
	}
	return p, nil
}

// Handle sets the handler.
func (p *Loop) Handle(h Handler) { p.handler = h }

// Conns is the number of connections on the loop.
func (p *Loop) Conns() int { return int(p.open.Load()) }

// Quiet reports whether the loop sleeps, and the kernel has taken all that it was
// given to send. It may be called from anywhere.
func (p *Loop) Quiet() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.posted)+len(p.fanned) == 0 && p.sleeping.Load() && p.unsent.Load() == 0
}

// Time is when the loop's round began: the present, as exactly as most need it,
// without asking for it. It is for the loop's goroutine.
func (p *Loop) Time() time.Time { return p.time }

// Post gives the loop a task. It may be called from anywhere and never blocks.
// A task may be posted again only after its last Turn.
func (p *Loop) Post(t Task) {
	p.mu.Lock()
	p.posted = append(p.posted, t)
	p.mu.Unlock()
	p.rouse()
}

// PostFanOut is Post for a fan-out, which may have to wait for other work.
func (p *Loop) PostFanOut(f FanOut) {
	p.mu.Lock()
	p.fanned = append(p.fanned, f)
	p.mu.Unlock()
	p.rouse()
}

// Behind is how long the oldest fan-out that waits has waited, as of the end of
// the last round. It may be called from anywhere.
func (p *Loop) Behind() time.Duration { return time.Duration(p.behind.Load()) }

func (p *Loop) rouse() {
	if p.sleeping.CompareAndSwap(true, false) { // one wake is enough for all
		p.wake()
	}
}

func (p *Loop) wake() {
	one := [8]byte{1}
	_, _ = unix.Write(p.wakeup, one[:]) // full means awake
}

// Stop makes Run return after it closed all connections, and waits for it.
func (p *Loop) Stop() {
	p.stopping.Store(true)
	p.wake()
	<-p.done
}

// accepting is whether a loop takes connections.
type accepting uint8

const (
	yes  accepting = iota
	full           // not now: there are as many as there may be, or as the system can take
)

// accept changes whether the loop takes connections.
func (p *Loop) accept(a accepting) {
	switch a {
	case p.accepts:
	case yes:
		if p.epoll.ctl(unix.EPOLL_CTL_ADD, p.listener.fd, unix.EPOLLIN|unix.EPOLLEXCLUSIVE) != nil {
			return // for want of memory: the next tick tries again
		}
	case full:
		_ = p.epoll.ctl(unix.EPOLL_CTL_DEL, p.listener.fd, 0)
	}
	p.accepts = a
}

// acceptNoMore has the loop accept no more for now.
func (p *Loop) acceptNoMore(why error) {
	p.accept(full)
	if p.told != nil {
		p.told(why)
	}
}

// Run serves until Stop.
func (p *Loop) Run() {
	defer close(p.done)
	for !p.stopping.Load() {
		p.collect()
		events := p.wait()
		p.time = time.Now()
		if len(events) == len(p.epoll.events) {
			p.serveFavored()
		}
		for i := range events {
			p.serve(&events[i])
			p.flushMany()
		}
		for _, w := range p.watches {
			w.look()
		}
		p.tellDrained()
		p.collect()
		p.takeTurns()
		p.beginFanOuts(len(events) > 0)
		p.tick()
		p.flush()
	}
	for _, c := range p.conns {
		if c != nil {
			c.Close()
		}
	}
	p.free()
}

func (p *Loop) free() {
	p.alarm.Stop()
	_ = p.epoll.close()
	_ = unix.Close(p.wakeup)
	if p.ring != nil {
		p.ring.Close()
	}
}

// wait returns what happens. If the loop has nothing to do until then it sleeps,
// and what is posted wakes it.
func (p *Loop) wait() []unix.EpollEvent {
	if len(p.turns)+p.fans.len()+len(p.drained) > 0 {
		return p.epoll.poll()
	}
	p.sleeping.Store(true)
	defer p.sleeping.Store(false)
	p.mu.Lock()
	work := len(p.posted)+len(p.fanned) > 0
	p.mu.Unlock()
	if work || p.stopping.Load() {
		return p.epoll.poll()
	}
	if p.n > 0 || p.accepts == full {
		p.setAlarm()
	}
	return p.epoll.wait()
}

const longestSleep = 10 * time.Second

// setAlarm has the loop woken when somebody may be due. Until then nothing needs
// a look at the clock: whoever only waits costs nothing, not even that.
func (p *Loop) setAlarm() {
	now := time.Now()
	at := now.Add(TickEvery)
	if tick := p.ticksAt(now); p.accepts != full && p.swept == 0 && p.soonest > tick {
		at = now.Add(min(longestSleep, time.Duration(p.soonest-tick)*TickEvery))
	}
	if p.rings.Before(now) || at.Before(p.rings) {
		p.rings = at
		p.alarm.Reset(at.Sub(now))
	}
}

// watch is a descriptor of another's.
type watch struct {
	fd   int
	look func()
}

// Watch has look called in every round, and a round begin when there is
// something to read at a descriptor. It is called before Run.
func (p *Loop) Watch(fd int, look func()) {
	_ = p.epoll.ctl(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN) // without it, it is looked at less often
	p.watches = append(p.watches, watch{fd, look})
}

// Unwatch ends what Watch began. It is called on the loop.
func (p *Loop) Unwatch(fd int) {
	_ = p.epoll.ctl(unix.EPOLL_CTL_DEL, fd, 0)
	p.watches = slices.DeleteFunc(slices.Clone(p.watches), func(w watch) bool { return w.fd == fd }) // they may be looked at just now
}

// collect takes what was posted. It goes before what is under way: an answer is
// short, and a fan-out is long.
func (p *Loop) collect() {
	p.mu.Lock()
	got := p.posted
	p.posted = p.spare[:0]
	for _, f := range p.fanned {
		p.fans.add(f, p.time)
	}
	clear(p.fanned)
	p.fanned = p.fanned[:0]
	p.mu.Unlock()
	p.turns = append(p.turns, got...)
	copy(p.turns[len(got):], p.turns)
	copy(p.turns, got)
	clear(got)
	p.spare = got
}

// takeTurns gives each task a turn.
func (p *Loop) takeTurns() {
	turns := p.turns
	keep := 0
	for _, t := range turns {
		if t.Turn() {
			turns[keep] = t
			keep++
		}
		p.flushMany()
	}
	clear(turns[keep:])
	p.turns = turns[:keep]
}

// beginFanOuts gives fan-outs their first turn; their others are as those of all
// tasks.
func (p *Loop) beginFanOuts(happened bool) {
	for sent := 0; ; {
		f := p.fans.next(p.time, happened, sent)
		if f == nil {
			break
		}
		before := len(p.dirty)
		if f.Turn() {
			p.turns = append(p.turns, f)
		}
		sent += max(1, len(p.dirty)-before)
		p.flushMany()
	}
	if behind := int64(p.fans.behind(p.time)); behind != p.behind.Load() {
		p.behind.Store(behind)
	}
}

func (p *Loop) tick() {
	if p.n == 0 && p.accepts != full {
		return
	}
	now := p.time
	if now.Sub(p.ticked) < TickEvery {
		return
	}
	if p.accepts == full && p.listener.room() {
		p.accept(yes)
	}
	p.ticked = now
	p.now = p.ticksAt(now)
	if p.swept == 0 {
		if p.now < p.soonest {
			return
		}
		p.soonest = math.MaxUint32 // until the sweep finds who is next
	}
	step := (len(p.conns) + p.circle - 1) / p.circle
	for range step {
		switch c := p.conns[p.swept]; {
		case c == nil || c.due == 0:
		case c.due > p.now:
			p.soonest = min(p.soonest, c.due)
		default:
			c.due = 0
			p.handler.Due(c)
			p.flushMany()
		}
		if p.swept++; p.swept >= len(p.conns) {
			p.swept = 0
			return
		}
	}
}

func (p *Loop) ticksAt(t time.Time) uint32 { return uint32(t.Sub(p.began)/TickEvery) + 1 } //nolint:gosec // thirty years

func (p *Loop) serve(e *unix.EpollEvent) {
	fd := int(e.Fd)
	switch fd {
	case p.wakeup:
		var b [8]byte
		_, _ = unix.Read(fd, b[:])
		return
	case p.listener.fd:
		p.take()
		return
	}
	if fd >= len(p.conns) || p.conns[fd] == nil {
		return // closed earlier in this round
	}
	c := p.conns[fd]
	if e.Events&unix.EPOLLOUT != 0 && !c.resume() {
		return
	}
	events := e.Events & (unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR)
	if c.paused { // since the kernel was asked, perhaps
		events &= unix.EPOLLHUP | unix.EPOLLERR
	}
	if p.conns[fd] == c && events != 0 {
		p.handler.Readable(c)
	}
}

// take accepts the connections that are waiting, but not so many that those who
// are served already notice.
func (p *Loop) take() {
	for range 64 {
		if !p.listener.take() {
			p.acceptNoMore(nil)
			return
		}
		fd, _, e := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(p.listener.fd), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if e != 0 {
			p.listener.leave()
			if exhausted(e) {
				p.acceptNoMore(os.NewSyscallError("accept", e)) // else the listener's event comes again at once, for as long as that lasts
			}
			return // EAGAIN, or gone already: level-triggered, so it comes again
		}
		p.add(int(fd)) //nolint:gosec // descriptors are small
		p.flushMany()
	}
}

// exhausted reports whether the system has no means for one more connection. The
// one that waits stays in the kernel's queue.
func exhausted(e syscall.Errno) bool {
	return e == unix.EMFILE || e == unix.ENFILE || e == unix.ENOMEM || e == unix.ENOBUFS
}

func (p *Loop) add(fd int) {
	c := &Conn{loop: p, fd: int32(fd)} //nolint:gosec // descriptors are small
	for fd >= len(p.conns) {
		p.conns = append(p.conns, make([]*Conn, max(64, len(p.conns)/4))...)
	}
	p.conns[fd] = c
	p.n++
	p.open.Add(1)
	p.handler.Opened(c)
	p.handler.Readable(c) // accepted because something came
	if c.fd >= 0 && !c.watch() {
		c.Close()
	}
}

// Listener is a listening socket for loops.
type Listener struct {
	fd    int
	addr  net.Addr
	limit int64        // connections open at a time; 0 is any number
	open  atomic.Int64 // on loops, and detached ones until they are closed
}

// Listen takes over a TCP listener, which must not be used any more. At most
// limit connections are open at a time, further ones wait in the kernel's
// queue; 0 is any number. The listener is to be one of plain TCP: what Multipath
// TCP accepts inherits no limit of the kernel's backlog.
func Listen(l *net.TCPListener, limit int) (*Listener, error) {
	f, err := l.File()
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	addr := l.Addr()
	if err := l.Close(); err != nil {
		return nil, err
	}
	// A connection is accepted when its first bytes are there, or after a second.
	// Accepted sockets inherit the others. The kernel's backlog is kept small, so
	// that what waits for a slow reader waits in the log, where it is fresh.
	err = errors.Join(unix.SetNonblock(fd, true),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 30),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 10),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 64<<10))
	return &Listener{fd: fd, addr: addr, limit: int64(limit)}, err
}

// take counts a connection in, if there is a place for it.
func (l *Listener) take() bool {
	if n := l.open.Add(1); l.limit > 0 && n > l.limit {
		l.open.Add(-1)
		return false
	}
	return true
}

// room reports whether there is a place for a connection.
func (l *Listener) room() bool { return l.limit == 0 || l.open.Load() < l.limit }

func (l *Listener) leave() { l.open.Add(-1) }

// Addr is the listener's address.
func (l *Listener) Addr() net.Addr { return l.addr }

// Close closes the listening socket; loops must have stopped accepting.
func (l *Listener) Close() error { return unix.Close(l.fd) }
