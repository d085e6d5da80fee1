package park

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// job is a function as a task of one turn.
type job struct {
	f    func()
	done chan struct{}
}

func (j *job) Turn() bool {
	j.f()
	close(j.done)
	return false
}

// do runs f on the loop, within one round.
func do(p *Loop, f func()) {
	j := &job{f, make(chan struct{})}
	p.Post(j)
	<-j.done
}

// parked dials and returns both ends; the loop has the one.
func parked(t *testing.T, p *Loop, dial func() net.Conn) (net.Conn, *Conn) {
	t.Helper()
	nc := dial()
	say(t, nc, "hello", "hello")
	var c *Conn
	do(p, func() {
		for _, o := range p.conns {
			if o == nil {
				continue
			}
			if sa, err := unix.Getpeername(int(o.fd)); err == nil && sa.(*unix.SockaddrInet4).Port == nc.LocalAddr().(*net.TCPAddr).Port {
				c = o
			}
		}
	})
	return nc, c
}

func segments(t *testing.T, c *Conn) uint32 {
	t.Helper()
	info, err := unix.GetsockoptTCPInfo(int(c.fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		t.Fatal(err)
	}
	return info.Data_segs_out
}

// Sending is tested with io_uring, where the kernel has it, and without.
func TestQueue(t *testing.T) {
	for way, noRing := range map[string]bool{"ring": false, "write": true} {
		t.Run(way, func(t *testing.T) {
			t.Run("whatIsQueuedInARoundLeavesAsOne", func(t *testing.T) { testWhatIsQueuedInARoundLeavesAsOne(t, noRing) })
			t.Run("manyPiecesToASlowReader", func(t *testing.T) { testManyPiecesToASlowReader(t, noRing) })
			t.Run("fullSocketsAmongTheQueued", func(t *testing.T) { testFullSocketsAmongTheQueued(t, noRing) })
			t.Run("writableAfterMuchWasQueued", func(t *testing.T) { testWritableAfterMuchWasQueued(t, noRing) })
			t.Run("resetAmongTheQueued", func(t *testing.T) { testResetAmongTheQueued(t, noRing) })
			t.Run("descriptorUsedAgainBeforeTheFlush", func(t *testing.T) { testDescriptorUsedAgainBeforeTheFlush(t, noRing) })
			t.Run("detachSendsWhatIsQueued", func(t *testing.T) { testDetachSendsWhatIsQueued(t, noRing) })
		})
	}
}

func testWhatIsQueuedInARoundLeavesAsOne(t *testing.T, noRing bool) {
	_, p, dial := start(t, 0, noRing)
	a, ac := parked(t, p, dial)
	b, bc := parked(t, p, dial)
	var before [2]uint32
	do(p, func() {
		before = [2]uint32{segments(t, ac), segments(t, bc)}
		for i := range 3 {
			ac.Queue(fmt.Appendf(nil, "a%d", i))
			bc.Queue(fmt.Appendf(nil, "b%d", i))
		}
		if segments(t, ac) != before[0] {
			t.Error("sent before the round was over")
		}
	})
	say(t, a, "", "a0a1a2")
	say(t, b, "", "b0b1b2")
	do(p, func() {
		if now := [2]uint32{segments(t, ac), segments(t, bc)}; now != [2]uint32{before[0] + 1, before[1] + 1} {
			t.Errorf("%v segments were sent, and %v before", now, before)
		}
		ac.Queue([]byte("x"))
		ac.Write([]byte("y")) // at once, and all that came before it
		if segments(t, ac) != before[0]+2 {
			t.Error("Write did not send")
		}
		ac.Queue([]byte("z"))
	})
	say(t, a, "", "xyz")
}

// More pieces than the kernel takes at a time, and more bytes than the socket.
func testManyPiecesToASlowReader(t *testing.T, noRing bool) {
	e, p, dial := start(t, 0, noRing)
	nc, c := parked(t, p, dial)
	other, _ := parked(t, p, dial)
	var want []byte
	do(p, func() {
		for i := range 5000 {
			b := fmt.Appendf(nil, "%d,", i)
			want = append(want, b...)
			c.Queue(b)
		}
		if c.Blocked() {
			t.Error("blocked by little")
		}
		for range 3 * maxVector { // so that the socket is full in the midst of a vector
			b := bytes.Repeat([]byte{'0' + byte(len(want)%10)}, 32<<10)
			want = append(want, b...)
			c.Queue(b)
		}
		if !c.Blocked() {
			t.Error("not blocked by much")
		}
	})
	say(t, other, "meanwhile", "meanwhile")
	do(p, func() {
		if c.rest == nil {
			t.Error("24 MiB went out at once")
		}
		b := []byte("behind") // what comes while it is blocked keeps its place
		want = append(want, "behindcopied"...)
		c.Write(b)
		copied := []byte("copied")
		c.QueueCopy(copied)
		clear(copied)
	})
	got := make([]byte, len(want))
	if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("what came is not what was queued: %v", err)
	}
	say(t, nc, "after", "after")
	if e.get(&e.wrote) == 0 {
		t.Error("Writable was not called")
	}
}

// A piece that a socket takes in part, and one of which it takes nothing, next
// to others.
func testFullSocketsAmongTheQueued(t *testing.T, noRing bool) {
	_, p, dial := start(t, 0, noRing)
	a, ac := parked(t, p, dial)
	b, bc := parked(t, p, dial)
	c, cc := parked(t, p, dial)
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	full := 0
	do(p, func() {
		for {
			n, err := unix.Write(int(bc.fd), large)
			if err != nil {
				break
			}
			full += n
		}
		ac.Queue(large)
		bc.QueueCopy([]byte("none of it"))
		cc.QueueCopy([]byte("all of it"))
	})
	do(p, func() {
		if !ac.Blocked() || !bc.Blocked() || cc.Blocked() {
			t.Errorf("blocked: %v %v %v", ac.Blocked(), bc.Blocked(), cc.Blocked())
		}
		cc.QueueCopy([]byte(", over what was copied"))
		cc.QueueCopy([]byte(" before"))
	})
	say(t, c, "", "all of it, over what was copied before")
	if got, err := io.ReadAll(io.LimitReader(a, int64(len(large)))); err != nil || !bytes.Equal(got, large) {
		t.Errorf("a got %d bytes, %v", len(got), err)
	}
	if _, err := io.CopyN(io.Discard, b, int64(full)); err != nil {
		t.Fatal(err)
	}
	say(t, b, "", "none of it")
}

// A ring that fails is done without.
func TestRingFails(t *testing.T) {
	_, p, dial := start(t, 0, false)
	a, ac := parked(t, p, dial)
	b, bc := parked(t, p, dial)
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(null) }()
	for _, round := range []string{"first", "second"} {
		do(p, func() {
			if p.ring != nil && round == "first" {
				if err := unix.Dup3(null, p.ring.FD(), unix.O_CLOEXEC); err != nil {
					t.Error(err)
				}
			} else if p.ring != nil {
				t.Error("the ring is still used")
			}
			ac.Queue([]byte(round))
			bc.Queue([]byte(round))
		})
		say(t, a, "", round)
		say(t, b, "", round)
	}
}

// A connection that is blocked by its queue alone is told when that is sent.
func testWritableAfterMuchWasQueued(t *testing.T, noRing bool) {
	t.Run("at the end of the round", func(t *testing.T) { writableAfter(t, noRing, func(*Conn) {}) })
	t.Run("at once", func(t *testing.T) { writableAfter(t, noRing, func(c *Conn) { c.Flush() }) })
}

func writableAfter(t *testing.T, noRing bool, then func(*Conn)) {
	e, p, dial := start(t, 0, noRing)
	nc, c := parked(t, p, dial)
	b := bytes.Repeat([]byte("x"), maxQueued)
	do(p, func() {
		c.Queue(b)
		if !c.Blocked() {
			t.Error("not blocked")
		}
		then(c)
	})
	if _, err := io.ReadFull(nc, make([]byte, len(b))); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); e.get(&e.wrote) == 0; {
		if time.Now().After(end) {
			t.Fatal("Writable was not called")
		}
		do(p, func() {})
	}
	do(p, func() {
		if c.Blocked() {
			t.Error("still blocked")
		}
	})
}

// A connection that fails when the queue is sent is closed, and the others get
// theirs.
func testResetAmongTheQueued(t *testing.T, noRing bool) {
	e, p, dial := start(t, 0, noRing)
	a, ac := parked(t, p, dial)
	b, bc := parked(t, p, dial)
	c, cc := parked(t, p, dial)
	e.onClosed = func(gone *Conn) {
		if gone == bc {
			cc.Queue([]byte(" and farewell")) // in the midst of sending
		}
	}
	do(p, func() {
		for _, x := range []*Conn{ac, bc, cc} {
			x.Queue([]byte("all"))
		}
		_ = b.(*net.TCPConn).SetLinger(0)
		_ = b.Close()
	})
	say(t, a, "", "all")
	say(t, c, "", "all and farewell")
	do(p, func() {
		if bc.Open() || !ac.Open() || !cc.Open() {
			t.Errorf("open: %v %v %v", ac.Open(), bc.Open(), cc.Open())
		}
	})
	if n := e.get(&e.closed); n != 1 {
		t.Errorf("%d were closed", n)
	}
}

// A descriptor that is used again in the round gets nothing of what was queued
// for the connection that had it before.
func testDescriptorUsedAgainBeforeTheFlush(t *testing.T, noRing bool) {
	_, p, dial := start(t, 0, noRing)
	a, ac := parked(t, p, dial)
	var b net.Conn
	do(p, func() {
		var waiting [8]net.Conn // so many, as lower numbers may be free too
		for i := range waiting {
			waiting[i] = dial()
			_, _ = waiting[i].Write([]byte("hello ")) // it is not accepted before
		}
		fd := ac.fd
		ac.Queue([]byte("for a"))
		ac.Close()
		ac.Queue([]byte("too late"))
		p.take()
		c := p.conns[fd]
		if c == nil {
			t.Error("the descriptor was not used again")
			return
		}
		c.Queue([]byte("for b"))
		sa, err := unix.Getpeername(int(fd))
		if err != nil {
			t.Error(err)
			return
		}
		for _, nc := range waiting {
			if nc.LocalAddr().(*net.TCPAddr).Port == sa.(*unix.SockaddrInet4).Port {
				b = nc
			}
		}
	})
	if b == nil {
		t.FailNow()
	}
	say(t, b, "", "hello for b")
	if got, err := io.ReadAll(a); err != nil || string(got) != "for a" {
		t.Errorf("a got %q, %v", got, err)
	}
}

func testDetachSendsWhatIsQueued(t *testing.T, noRing bool) {
	e, p, dial := start(t, 0, noRing)
	nc, c := parked(t, p, dial)
	do(p, func() {
		c.Queue([]byte("first "))
		d, err := c.Detach(nil)
		if err != nil {
			t.Error(err)
			return
		}
		e.over.Give(d)
	})
	d, err := e.over.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Write([]byte("then")); err != nil {
		t.Fatal(err)
	}
	say(t, nc, "", "first then")

	nc, c = parked(t, p, dial)
	do(p, func() {
		c.Queue(e.large)
		if _, err := c.Detach(nil); !errors.Is(err, ErrBlocked) || !c.Open() {
			t.Errorf("a blocked connection was detached: %v", err)
		}
	})
	say(t, nc, "", string(e.large))
	say(t, nc, "more", "more") // on the loop
}

// What it costs to send to many: one piece for each, or four.
func BenchmarkFlush(b *testing.B) {
	for i := range 8 {
		conns, pieces, noRing := 64<<(i&2), 1<<(i&1*2), i&4 > 0
		b.Run(fmt.Sprintf("conns=%d/pieces=%d/ring=%v", conns, pieces, !noRing), func(b *testing.B) {
			_, p, dial := start(b, 0, noRing)
			for range conns {
				nc := dial()
				_, _ = nc.Write([]byte("hello"))
				_ = nc.SetDeadline(time.Time{})
				go func() { _, _ = io.Copy(io.Discard, nc) }()
			}
			for n := 0; n < conns; {
				do(p, func() { n = p.n })
			}
			frame := bytes.Repeat([]byte("x"), 256/pieces)
			for b.Loop() {
				do(p, func() {
					for _, c := range p.conns {
						if c != nil && !c.Blocked() {
							for range pieces {
								c.Queue(frame)
							}
						}
					}
					p.flush()
				})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*conns), "ns/conn")
		})
	}
}
