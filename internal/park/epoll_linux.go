package park

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epoll is what a loop sleeps in. There are two ways to sleep.
//
// A system call that the runtime does not know of is the cheaper one for a short
// sleep, and the goroutine keeps its processor meanwhile. After 10 ms, or when
// all are to stop for the collector, the runtime interrupts it by a signal.
//
// A long sleep is left to the runtime, as of any goroutine that waits for a file.
// But when something happens after all processors were idle, the runtime's
// monitor looks around every 20 us for some milliseconds, which costs more than
// what happens where little does. So one loop keeps its processor as long as
// something happens some dozen times a second, though it is interrupted again
// and again, and more loops do where much happens. The last processor is given to
// the runtime's other goroutines every few milliseconds at least.
type epoll struct {
	fd     int
	events [512]unix.EpollEvent
	n      int           // of events, when last asked
	began  time.Time     // when the sleep did, over interruptions
	slept  time.Duration // the last time
	left   time.Time     // when a sleep was left to the runtime
	procs  int32         // processors; 1 if none may be kept

	// gate is an epoll of its own that the runtime waits for. There are events at
	// it when there are at fd, once after it was opened. If the runtime waited
	// for fd, short sleeps would wake it, too.
	gate     *os.File
	gateFD   int
	raw      syscall.RawConn // of the gate
	opened   bool
	passable func(uintptr) bool
}

// The next sleep is thought to be as long as the last one.
const (
	short    = 2 * time.Millisecond
	moderate = 35 * time.Millisecond
	leave    = 5 * time.Millisecond // after which the last processor is left to the runtime
)

// kept is how many loops sleep and keep their processor.
var kept atomic.Int32

func newEpoll() (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create", err)
	}
	e := &epoll{fd: fd}
	e.passable = e.pass
	if e.gateFD, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("epoll_create", err)
	}
	_ = unix.SetNonblock(e.gateFD, true) // or the runtime does not wait for it
	e.gate = os.NewFile(uintptr(e.gateFD), "gate")
	e.raw, err = e.gate.SyscallConn()
	if err = errors.Join(err, unix.EpollCtl(e.gateFD, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLONESHOT})); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *epoll) close() error { return errors.Join(e.gate.Close(), unix.Close(e.fd)) }

func (e *epoll) ctl(op, fd int, events uint32) error {
	event := unix.EpollEvent{Events: events, Fd: int32(fd)} //nolint:gosec // descriptors are small
	if _, _, no := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(e.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&event)), 0, 0); no != 0 {
		return os.NewSyscallError("epoll_ctl", no)
	}
	return nil
}

// poll returns the events that are there.
func (e *epoll) poll() []unix.EpollEvent {
	e.ask(0)
	e.began = time.Time{} // a sleep that was interrupted is over
	return e.events[:e.n]
}

// wait sleeps until there are events. It may return none.
func (e *epoll) wait() []unix.EpollEvent {
	now := time.Now()
	if e.began.IsZero() {
		e.began = now
	}
	if e.keeps(kept.Add(1), now) {
		e.ask(-1)
		kept.Add(-1)
	} else {
		kept.Add(-1)
		e.leave(now)
	}
	if e.n > 0 {
		e.slept, e.began = time.Since(e.began), time.Time{}
	}
	return e.events[:e.n]
}

// keeps reports whether the loop keeps its processor, as one of so many.
func (e *epoll) keeps(loops int32, now time.Time) bool {
	if e.procs < 2 {
		return false
	}
	if e.slept < short {
		return loops < e.procs || now.Sub(e.left) < leave
	}
	return loops == 1 && e.slept < moderate && now.Sub(e.began) < moderate
}

// leave leaves a sleep to the runtime.
func (e *epoll) leave(now time.Time) {
	e.left, e.opened = now, false
	if e.procs = int32(runtime.GOMAXPROCS(0)); strings.Contains(os.Getenv("GODEBUG"), "asyncpreemptoff") { //nolint:gosec // a few
		e.procs = 1 // it would not be interrupted
	}
	if e.raw.Read(e.passable) != nil {
		e.ask(-1)
	}
}

// pass tells whether there are events, and if not it opens the gate for them.
func (e *epoll) pass(uintptr) bool {
	if e.opened {
		var passed [1]unix.EpollEvent
		if n, err := unix.EpollWait(e.gateFD, passed[:], 0); n == 0 || err != nil {
			return false
		}
		if e.ask(0) {
			return true
		}
	}
	e.opened = true
	if unix.EpollCtl(e.gateFD, unix.EPOLL_CTL_MOD, e.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}) != nil {
		return e.ask(-1)
	}
	return false
}

// ask asks for events, for some milliseconds; -1 is until there are some.
func (e *epoll) ask(ms int) (some bool) {
	n, _, no := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events)), uintptr(len(e.events)), uintptr(ms), 0, 0) //nolint:gosec // -1 is meant to be large
	if e.n = int(n); no != 0 {                                                                                                                          //nolint:gosec // at most len(e.events)
		e.n = 0 // EINTR
	}
	return e.n > 0
}
