package park

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// echo answers what it reads: "?" hands the connection over, "!" a large answer,
// "@" waits for Due, anything else itself.
type echo struct {
	over   *Handover
	large  []byte
	mu     sync.Mutex
	opened int
	closed int
	wrote  int // times that Writable was called

	onClosed func(c *Conn)
}

func (e *echo) Opened(*Conn) { e.count(&e.opened) }
func (e *echo) Closed(c *Conn) {
	e.count(&e.closed)
	if e.onClosed != nil {
		e.onClosed(c)
	}
}
func (e *echo) Writable(*Conn) {
	e.count(&e.wrote)
}
func (e *echo) Due(c *Conn) { c.QueueCopy([]byte("due")) }

func (e *echo) count(n *int) {
	e.mu.Lock()
	*n++
	e.mu.Unlock()
}

func (e *echo) get(n *int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return *n
}

func (e *echo) Readable(c *Conn) {
	b, ok := c.Read()
	switch {
	case !ok:
		c.Close()
	case len(b) == 0:
	case b[0] == '?':
		if nc, err := c.Detach(b); err == nil {
			e.over.Give(nc)
		}
	case b[0] == '!':
		c.Write(e.large)
	case b[0] == '@':
		c.SetDue(TickEvery)
	default:
		c.QueueCopy(b)
	}
}

// start serves an echo and returns what dials it.
func start(t testing.TB, limit int, noRing bool) (*echo, *Loop, func() net.Conn) {
	t.Helper()
	return startWith(t, limit, noRing, func(*Loop) {})
}

func startWith(t testing.TB, limit int, noRing bool, before func(*Loop)) (*echo, *Loop, func() net.Conn) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := tcp.Addr()
	ln, err := Listen(tcp.(*net.TCPListener), limit)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewLoop(ln, Options{Precision: TickEvery, NoRing: noRing})
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{over: NewHandover(addr), large: bytes.Repeat([]byte("0123456789abcdef"), 1<<20)}
	p.Handle(e)
	before(p)
	go p.Run()
	t.Cleanup(func() {
		p.Stop()
		if e.get(&e.opened) < e.get(&e.closed) || p.Conns() != 0 {
			t.Errorf("%d opened, %d closed, %d left", e.opened, e.closed, p.Conns())
		}
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, p, func() net.Conn {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		return c
	}
}

func say(t *testing.T, c net.Conn, what, want string) {
	t.Helper()
	if _, err := c.Write([]byte(what)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

func TestEchoAndDue(t *testing.T) {
	_, _, dial := start(t, 0, false)
	a, b := dial(), dial()
	say(t, a, "hello", "hello")
	say(t, b, "you", "you")
	say(t, a, "@", "due")
}

func TestBlockedWriteGoesOn(t *testing.T) {
	e, _, dial := start(t, 0, false)
	c, other := dial(), dial()
	if _, err := c.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	say(t, other, "meanwhile", "meanwhile") // the loop does not wait for the slow one
	got := make([]byte, len(e.large))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, e.large) {
		t.Fatalf("the large answer came back wrong: %v", err)
	}
	say(t, c, "after", "after")
	if e.get(&e.wrote) == 0 {
		t.Error("16 MiB went out at once: Writable was not tested")
	}
}

func TestHandover(t *testing.T) {
	e, p, dial := start(t, 0, false)
	c := dial()
	go func() { _, _ = c.Write([]byte("?first")) }()
	nc, err := e.over.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	got := make([]byte, 6)
	if _, err := io.ReadFull(nc, got); err != nil || string(got) != "?first" {
		t.Fatalf("the full server reads %q, %v", got, err)
	}
	if _, err := nc.Write([]byte("here")); err != nil {
		t.Fatal(err)
	}
	say(t, c, "", "here")
	if p.Conns() != 0 {
		t.Error("the loop still has the connection")
	}
	if half, ok := nc.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		t.Fatal("net/http cannot end its side alone, so what it answers last may be lost")
	}
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("after the end of the one side came %q, %v", rest, err)
	}
	if _, err := c.Write([]byte("there")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(nc, got[:5]); err != nil || string(got[:5]) != "there" {
		t.Errorf("the other side gave %q, %v", got[:5], err)
	}
}

// A connection over the limit is served as soon as another has gone, be it on
// the loop or handed over.
func TestLimit(t *testing.T) {
	told := make(chan error, 100)
	e, _, dial := startWith(t, 2, false, func(p *Loop) {
		p.told = func(err error) {
			select {
			case told <- err:
			default:
			}
		}
	})
	a, b, c := dial(), dial(), dial()
	say(t, a, "a", "a")
	if _, err := b.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
	nc, err := e.over.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("c")); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(3 * TickEvery))
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatalf("a third connection of two was served %d bytes", n)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	_ = nc.Close()
	_ = nc.Close() // a second time gives back no second place
	say(t, c, "", "c")
	d := dial()
	if _, err := d.Write([]byte("d")); err != nil {
		t.Fatal(err)
	}
	_ = d.SetReadDeadline(time.Now().Add(3 * TickEvery))
	if _, err := d.Read(make([]byte, 1)); err == nil {
		t.Fatal("a place was given twice")
	}
	_ = a.Close()
	_ = d.SetReadDeadline(time.Now().Add(20 * time.Second))
	say(t, d, "", "d")
	if err := <-told; err != nil {
		t.Errorf("it told of %v, which is no limit", err)
	}
}

// turns counts down, one a turn.
type turns struct {
	n    int
	done chan struct{}
}

func (u *turns) Turn() bool {
	if u.n--; u.n > 0 {
		return true
	}
	close(u.done)
	return false
}

func TestTurnsAndSocketsTakeTurns(t *testing.T) {
	_, p, dial := start(t, 0, false)
	c := dial()
	u := &turns{n: 1 << 16, done: make(chan struct{})}
	p.Post(u)
	say(t, c, "between", "between")
	<-u.done
	for range 1000 { // from elsewhere, and to a loop that may be asleep
		u := &turns{n: 1, done: make(chan struct{})}
		p.Post(u)
		<-u.done
	}
}

// A connection is read as soon as it is accepted, and accepted though it says
// nothing, so that one that the server is to speak to first, or never, counts.
func TestAcceptedWithAndWithoutBytes(t *testing.T) {
	e, p, dial := start(t, 0, false)
	silent := dial()
	eager := dial()
	say(t, eager, "at once", "at once")
	for end := time.Now().Add(10 * time.Second); e.get(&e.opened) < 2; {
		if time.Now().After(end) {
			t.Fatal("the silent one was not accepted")
		}
		do(p, func() {})
	}
	say(t, silent, "late", "late")
	say(t, eager, "again", "again")
}

// What another watches on a loop is looked at when there is something to read,
// until it is unwatched.
func TestWatch(t *testing.T) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	seen := make(chan uint64, 8)
	look := func() {
		var b [8]byte
		if n, _ := unix.Read(fd, b[:]); n == len(b) {
			seen <- binary.NativeEndian.Uint64(b[:])
		}
	}
	once, err := unix.Eventfd(1, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(once) }()
	_, p, _ := startWith(t, 0, false, func(p *Loop) {
		p.Watch(once, func() { p.Unwatch(once) }) // while the others are looked at
		p.Watch(fd, look)
	})
	say := func(n uint64) {
		if _, err := unix.Write(fd, binary.NativeEndian.AppendUint64(nil, n)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(3) {
		say(i + 1)
		if n := <-seen; n != i+1 {
			t.Errorf("it saw %d of %d", n, i+1)
		}
	}
	do(p, func() { p.Unwatch(fd) })
	say(7)
	do(p, func() {})
	do(p, func() {})
	if len(seen) > 0 {
		t.Error("it was looked at still")
	}
}

// note is a fan-out to one connection.
type note struct {
	c     *Conn
	turns int
	at    func(turns int)
}

func (n *note) Began() time.Time { return time.Now() }

func (n *note) Turn() bool {
	n.turns++
	n.at(n.turns)
	n.c.QueueCopy([]byte("note"))
	return n.turns < 3
}

// While something happens in each round a few fan-outs begin in it; all go on
// once they have begun, and all get what they are for.
func TestBusyLoopBeginsAFewFanOutsARound(t *testing.T) {
	const many = 100
	busy, err := unix.Eventfd(1, unix.EFD_CLOEXEC) // never read, so there is an event at all times
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(busy) }()
	round, most, began := 0, 0, map[int]int{}
	_, p, dial := startWith(t, 0, false, func(p *Loop) {
		p.fans.lag = time.Hour
		p.Watch(busy, func() { round++ })
	})
	conns := make([]net.Conn, many)
	for i := range conns {
		conns[i] = dial()
		say(t, conns[i], "hello", "hello")
	}
	do(p, func() {
		for _, c := range p.conns {
			if c == nil {
				continue
			}
			p.PostFanOut(&note{c: c, at: func(turns int) {
				if turns == 1 {
					began[round]++
					most = max(most, began[round])
				}
			}})
		}
	})
	for _, c := range conns {
		say(t, c, "", "notenotenote")
	}
	do(p, func() { p.Unwatch(busy) })
	do(p, func() {})
	if most != fewSends || len(began) < many/fewSends {
		t.Errorf("up to %d began in a round, in %d rounds; want %d in each", most, len(began), fewSends)
	}
	if p.Behind() != 0 {
		t.Errorf("behind by %v at the end", p.Behind())
	}
}
