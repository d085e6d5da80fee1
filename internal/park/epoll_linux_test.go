package park

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// watched is an epoll that waits for an eventfd.
func watched(t *testing.T) (e *epoll, fd int) {
	t.Helper()
	e, err := newEpoll()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.close() })
	if fd, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := e.ctl(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
		t.Fatal(err)
	}
	return e, fd
}

// Whichever way an epoll sleeps, and however the ways take turns, what happens
// at any moment wakes it.
func TestEpollMissesNothing(t *testing.T) {
	e, fd := watched(t)
	const n = 20_000
	next := make(chan struct{})
	go func() {
		one := [8]byte{1}
		for range next {
			if _, err := unix.Write(fd, one[:]); err != nil {
				t.Error(err)
			}
		}
	}()
	defer close(next)
	ways := [2]int{}
	for range n {
		if e.procs, e.slept = 2, 0; rand.IntN(2) == 0 { //nolint:gosec // a test's dice
			e.slept = time.Hour
		}
		before := e.left
		next <- struct{}{}
		for {
			events := e.wait()
			if len(events) == 1 && int(events[0].Fd) == fd {
				break
			}
			if len(events) != 0 {
				t.Fatalf("%+v", events)
			}
		}
		if e.left.Equal(before) {
			ways[0]++
		} else {
			ways[1]++
		}
		var b [8]byte
		if _, err := unix.Read(fd, b[:]); err != nil {
			t.Fatal(err)
		}
	}
	if min(ways[0], ways[1]) < n/4 {
		t.Errorf("of the ways to sleep, one was gone %d times and one %d times", ways[0], ways[1])
	}
}

// A sleep that the runtime does not know of holds nobody up who stops all.
func TestEpollLetsTheCollectorWork(t *testing.T) {
	e, err := newEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.close() }()
	var sleeps atomic.Int64
	var end atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !end.Load() {
			e.procs, e.slept, e.began = 2, 0, time.Time{}
			sleeps.Add(1)
			e.wait()
		}
	}()
	for sleeps.Load() == 0 {
		runtime.Gosched()
	}
	end.Store(true)
	for ended := false; !ended; {
		runtime.GC() // hangs if it is held up
		select {
		case <-done:
			ended = true
		default:
		}
	}
}

// Events that were there and are gone again do not end a sleep for ever.
func TestEpollSleepsOn(t *testing.T) {
	e, fd := watched(t)
	write := func() {
		if _, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
			t.Error(err)
		}
	}
	var b [8]byte
	calls := 0
	pass := e.passable
	e.passable = func(gate uintptr) bool {
		switch calls++; calls {
		case 1: // it opens the gate, and something happens
			defer write()
		case 2: // but somebody else sees to it
			_, _ = unix.Read(fd, b[:])
			defer func() { go write() }()
		}
		return pass(gate)
	}
	for len(e.wait()) == 0 {
	}
	if calls != 3 {
		t.Errorf("it looked %d times", calls)
	}
}
