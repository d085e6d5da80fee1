package park

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

const fewDescriptors = "TWOHOP_TEST_FEW_DESCRIPTORS"

// A loop that can accept no more, as the process has no descriptors left, sleeps
// as ever, and serves who waits when there are some again. The limit is that of
// a process of its own.
func TestOutOfDescriptors(t *testing.T) {
	if os.Getenv(fewDescriptors) != "" {
		outOfDescriptors(t)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self, "-test.run=^TestOutOfDescriptors$")
	child.Env = append(os.Environ(), fewDescriptors+"=1")
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func outOfDescriptors(t *testing.T) {
	t.Helper()
	const left, waiting = 4, 16
	var rounds atomic.Int64
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	var told atomic.Value
	e, p, dial := startWith(t, 0, false, func(p *Loop) {
		p.told = func(err error) { told.Store(err) }
		p.Watch(fd, func() { rounds.Add(1) })
	})
	clock := dial()
	say(t, clock, "here", "here")

	held, release := make(chan struct{}), make(chan struct{})
	p.Post(&job{func() { close(held); <-release }, make(chan struct{})})
	<-held // it accepts none of these before the limit holds
	var conns [waiting]net.Conn
	for i := range conns {
		conns[i] = dial()
		if _, err := conns[i].Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	restore := leaveDescriptors(t, left)
	close(release)
	say(t, clock, "@", "due") // after a tick
	rounds.Store(0)
	for range 3 {
		say(t, clock, "@", "due")
	}
	if n := rounds.Load(); n > 1000 {
		t.Errorf("%d rounds in a few ticks", n)
	}
	if n := e.get(&e.opened); n > 1+left {
		t.Fatalf("%d connections were accepted: there was no want of descriptors", n)
	}
	if err, _ := told.Load().(error); !errors.Is(err, unix.EMFILE) {
		t.Errorf("it told of %v", err)
	}
	restore()
	for _, c := range conns {
		say(t, c, "", "hello")
	}
}

// leaveDescriptors lowers the process's limit so that at most n more descriptors
// can be opened.
func leaveDescriptors(t *testing.T, n uint64) (restore func()) {
	t.Helper()
	next, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	set := func(l unix.Rlimit) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			t.Fatal(err)
		}
	}
	_ = unix.Close(next)
	set(unix.Rlimit{Cur: uint64(next) + n, Max: before.Max}) //nolint:gosec // descriptors are small
	return func() { set(before) }
}
