package bench

import (
	"container/heap"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// conn is what the loop keeps with a reader. Only the loop touches it.
type conn struct {
	fd      int // 0 is none: the loop's own descriptors take it
	where   place
	unsent  []byte
	stalled bool
	waits   int // its place among those that wait, plus one
}

type place uint8

const (
	away    place = iota // not with the loop
	queued               // to be connected
	dialing              // being connected
	talking
)

// nap is how long the loop sleeps between reads while records flow. It takes
// what has come meanwhile in one go, so that the server does not pay for waking
// it up with every write. Latencies are late by up to as much.
const nap = 150 * time.Microsecond

// loop is the driver of Linux: one goroutine that serves all readers.
type loop struct {
	clock         clock
	address       netip.AddrPort
	epoll, wakeup int

	// owned by the goroutine
	conns  map[int]*reader
	queue  []*reader
	begun  int // connections that are being made
	wait   waiting
	buf    [256 << 10]byte
	out    []byte
	events [512]unix.EpollEvent

	mu      sync.Mutex // guards posted; held for a few words
	posted  []func()
	stopped bool // owned by the goroutine
	done    chan struct{}
}

// newLoop starts a loop whose readers read from an address.
func newLoop(c clock, address netip.AddrPort) (driver, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	ev, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		_ = unix.Close(ep)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	l := &loop{clock: c, address: address, epoll: ep, wakeup: ev, conns: map[int]*reader{}, done: make(chan struct{})}
	if err := l.ctl(unix.EPOLL_CTL_ADD, ev, unix.EPOLLIN); err != nil {
		_ = unix.Close(ep)
		_ = unix.Close(ev)
		return nil, err
	}
	go l.run()
	return l, nil
}

func (l *loop) ctl(op, fd int, events uint32) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})) //nolint:gosec // descriptors are small
}

// post gives the goroutine something to run.
func (l *loop) post(f func()) {
	l.mu.Lock()
	l.posted = append(l.posted, f)
	l.mu.Unlock()
	one := [8]byte{1}
	_, _ = unix.Write(l.wakeup, one[:]) // full means awake
}

func (l *loop) do(f func()) {
	done := make(chan struct{})
	l.post(func() {
		f()
		close(done)
	})
	<-done
}

func (l *loop) open(readers []*reader) {
	l.do(func() {
		for _, r := range readers {
			r.resumes()
			r.failed = nil
			r.where = queued
		}
		l.queue = append(l.queue, readers...)
	})
}

func (l *loop) drop(readers []*reader) {
	l.do(func() {
		for _, r := range readers {
			l.leave(r)
		}
	})
}

func (l *loop) stall(readers []*reader, stall bool) {
	l.do(func() {
		for _, r := range readers {
			r.stalled = stall
			if r.where == talking {
				l.watch(r)
			}
		}
	})
}

func (l *loop) close() {
	l.post(func() { l.stopped = true })
	<-l.done
}

func (l *loop) run() {
	defer close(l.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var last int64 // when something came
	for !l.stopped {
		l.connectSome()
		timeout := l.timeout()
		busy := l.clock.now()-last < int64(20*time.Millisecond)
		if busy {
			timeout = 0
		}
		n, err := unix.EpollWait(l.epoll, l.events[:], timeout)
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic(os.NewSyscallError("epoll_wait", err)) // only a closed descriptor does that
		}
		for _, e := range l.events[:max(n, 0)] {
			l.serve(&e)
		}
		if n > 0 {
			last = l.clock.now()
		}
		l.askDue()
		if busy && n < len(l.events)/2 {
			ts := unix.NsecToTimespec(int64(nap))
			_ = unix.Nanosleep(&ts, nil) // shorter does no harm
		}
	}
	for _, r := range l.conns {
		l.leave(r)
	}
	_ = unix.Close(l.epoll)
	_ = unix.Close(l.wakeup)
}

// timeout is how long epoll may sleep, in milliseconds.
func (l *loop) timeout() int {
	if len(l.wait) == 0 {
		return 1000
	}
	return int(min(max(0, (l.wait[0].askAt-l.clock.now()+999_999)/1_000_000), 1000))
}

func (l *loop) serve(e *unix.EpollEvent) {
	fd := int(e.Fd)
	if fd == l.wakeup {
		l.runPosted()
		return
	}
	r := l.conns[fd]
	if r == nil {
		return // it left in this round
	}
	if r.where == dialing {
		l.connected(r)
		return
	}
	if e.Events&unix.EPOLLOUT != 0 && !l.flush(r) {
		return
	}
	if e.Events&^unix.EPOLLOUT != 0 {
		l.read(r)
	}
}

func (l *loop) runPosted() {
	var b [8]byte
	_, _ = unix.Read(l.wakeup, b[:])
	l.mu.Lock()
	fs := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range fs {
		f()
	}
}

// connectSome begins connections, as many as may be under way.
func (l *loop) connectSome() {
	for len(l.queue) > 0 && l.begun < connecting {
		r := l.queue[0]
		l.queue = l.queue[1:]
		if r.where != queued {
			continue // dropped meanwhile
		}
		if err := l.connect(r); err != nil {
			l.broke(r, err)
		}
	}
}

// connected is at the end of a connection attempt.
func (l *loop) connected(r *reader) {
	l.begun--
	r.where = talking
	code, err := unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code) //nolint:gosec // an error number
	}
	if err != nil {
		l.broke(r, os.NewSyscallError("connect", err))
		return
	}
	l.ask(r)
	if r.where == talking && len(r.unsent) == 0 {
		l.watch(r) // for writing no more
	}
}

// ask sends what the reader has to say next.
func (l *loop) ask(r *reader) {
	l.out = r.request(l.out[:0])
	if len(r.unsent) > 0 { // what a WebSocket says takes its turn
		r.unsent = append(r.unsent, l.out...)
		return
	}
	n, err := unix.Write(r.fd, l.out)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		l.broke(r, os.NewSyscallError("write", err))
		return
	}
	r.sent(l.clock.now())
	if n = max(n, 0); n < len(l.out) {
		r.unsent = append(r.unsent, l.out[n:]...)
		l.watch(r)
	}
}

// flush sends what a socket did not take before. It is false if that broke.
func (l *loop) flush(r *reader) bool {
	n, err := unix.Write(r.fd, r.unsent)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		l.broke(r, os.NewSyscallError("write", err))
		return false
	}
	if r.unsent = r.unsent[max(n, 0):]; len(r.unsent) == 0 {
		r.unsent = nil
		l.watch(r)
	}
	return true
}

func (l *loop) watch(r *reader) {
	var events uint32 = unix.EPOLLIN
	if r.stalled {
		events = 0
	}
	if len(r.unsent) > 0 {
		events |= unix.EPOLLOUT
	}
	_ = l.ctl(unix.EPOLL_CTL_MOD, r.fd, events) // the descriptor is ours and open
}

func (l *loop) read(r *reader) {
	n, err := unix.Read(r.fd, l.buf[:])
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err != nil:
		l.broke(r, os.NewSyscallError("read", err))
		return
	case n == 0:
		l.broke(r, errEnded)
		return
	}
	switch r.feed(l.clock.now(), l.buf[:n]) {
	case readOn:
	case askNext:
		if r.askAt > r.now {
			heap.Push(&l.wait, r)
		} else {
			l.ask(r)
		}
	case reopen:
		l.leave(r)
		r.resumes()
		l.again(r)
	case giveUp:
		l.leave(r)
	}
}

// broke is at the end of a connection that nobody asked for.
func (l *loop) broke(r *reader, err error) {
	l.leave(r)
	if r.ended(l.clock.now(), err) == reopen {
		l.again(r)
	}
}

// again connects a reader when it is due.
func (l *loop) again(r *reader) {
	r.where = queued
	if r.askAt > l.clock.now() {
		heap.Push(&l.wait, r)
		return
	}
	l.queue = append(l.queue, r)
}

// askDue sends requests, and makes connections, whose time has come.
func (l *loop) askDue() {
	for len(l.wait) > 0 && l.wait[0].askAt <= l.clock.now() {
		r, _ := heap.Pop(&l.wait).(*reader)
		if r.where == queued {
			l.queue = append(l.queue, r)
		} else {
			l.ask(r)
		}
	}
}

// leave closes a reader's connection, if it has one. It resets it, so that the
// system keeps nothing of it.
func (l *loop) leave(r *reader) {
	if r.where == dialing {
		l.begun--
	}
	if r.waits > 0 {
		heap.Remove(&l.wait, r.waits-1)
	}
	if r.fd > 0 {
		delete(l.conns, r.fd)
		_ = unix.Close(r.fd)
	}
	r.conn = conn{}
}

// waiting are readers in the order of askAt, a heap.
type waiting []*reader

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].askAt < w[j].askAt }
func (w waiting) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].waits, w[j].waits = i+1, j+1
}

// Push is part of heap.Interface.
func (w *waiting) Push(x any) {
	r, _ := x.(*reader)
	*w = append(*w, r)
	r.waits = len(*w)
}

// Pop is part of heap.Interface.
func (w *waiting) Pop() any {
	last := len(*w) - 1
	r := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	r.waits = 0
	return r
}
