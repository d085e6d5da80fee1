package park

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epoll is what a loop sleeps in. There are two ways to sleep.
//
// A system call that the runtime does not know of is the cheaper one for a short
// sleep. Of one that it knows of it tells its monitor, which then looks around
// every 20 us for a while, and that costs more than what happens where little
// does. But the goroutine keeps its processor meanwhile. After 10 ms, or when
// all are to stop for the collector, the runtime interrupts it by a signal.
//
// So a long sleep is left to the runtime, as of any goroutine that waits for a
// file, and one now and then in any case.
type epoll struct {
	fd      int
	events  [512]unix.EpollEvent
	n       int       // of events, when last asked
	short   bool      // the last sleep was
	left    time.Time // when a sleep was left to the runtime
	mayKeep bool      // there is another processor, and signals are sent

	// gate is an epoll of its own that the runtime waits for. There are events at
	// it when there are at fd, once after it was opened. If the runtime waited
	// for fd, short sleeps would wake it, too.
	gate     *os.File
	gateFD   int
	raw      syscall.RawConn // of the gate
	opened   bool
	passable func(uintptr) bool
}

const (
	short = 2 * time.Millisecond // of a sleep; the next one is thought to be as short
	leave = 5 * time.Millisecond // after which a sleep is left to the runtime in any case
)

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
	return e.events[:e.n]
}

// wait sleeps until there are events. It may return none.
func (e *epoll) wait() []unix.EpollEvent {
	began := time.Now()
	e.opened = false
	if e.short && e.mayKeep && began.Sub(e.left) < leave {
		e.ask(-1)
	} else {
		e.left, e.mayKeep = began, runtime.GOMAXPROCS(0) > 1 && !strings.Contains(os.Getenv("GODEBUG"), "asyncpreemptoff")
		if e.raw.Read(e.passable) != nil {
			e.ask(-1)
		}
	}
	e.short = time.Since(began) < short
	return e.events[:e.n]
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
