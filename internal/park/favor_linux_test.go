package park

import (
	"io"
	"net"
	"slices"
	"testing"
)

// attentive is an echo that notes what it hears, in order, favors who says
// please, and listens no more to who says enough.
type attentive struct {
	*echo
	heard []string
	broke int // that were paused
}

func (a *attentive) Readable(c *Conn) {
	if c.Paused() {
		a.broke++
		return
	}
	b, ok := c.Read()
	if !ok {
		c.Close()
	}
	if len(b) == 0 {
		return
	}
	a.heard = append(a.heard, string(b))
	switch string(b) {
	case "please":
		c.Favor()
	case "enough":
		c.Pause(true)
	}
	c.QueueCopy(b)
}

// Where more happens than a round takes up, who was favored is heard before the
// others, though it spoke last; elsewhere in its turn.
func TestFavoredAreHeardFirst(t *testing.T) {
	const many = 600 // more than a round takes up
	a := &attentive{}
	e, p, dial := startWith(t, 0, false, func(p *Loop) { p.Handle(a) })
	do(p, func() { a.echo = e })
	crowd := make([]net.Conn, many)
	for i := range crowd {
		crowd[i] = dial()
		say(t, crowd[i], "hello", "hello")
	}
	urgent := dial()
	say(t, urgent, "hello", "hello")

	// place is how many are heard before the urgent one, if some of the crowd and
	// the urgent one speak, in this order, while the loop is busy.
	place := func(others int, what string) (n int) {
		return placeOf(t, p, a, append(slices.Clone(crowd[:others]), urgent), others, what)
	}
	if n := place(many, "please"); n != many {
		t.Errorf("it was heard after %d of %d before anybody asked to favor it", n, many)
	}
	if n := place(many, "now"); n != 0 {
		t.Errorf("it was heard after %d of %d", n, many)
	}
	if n := place(10, "again"); n != 10 {
		t.Errorf("it was heard after %d of 10, which one round takes up", n)
	}
	do(p, func() {
		if len(p.favored) != 1 {
			t.Errorf("%d are favored", len(p.favored))
		}
		p.favored[0].since = p.time.Add(-favorFor - 1)
	})
	if n := place(many, "later"); n != many {
		t.Errorf("it was heard after %d of %d, long after it was favored", n, many)
	}

	place(many, "please")
	if n := placeOf(t, p, a, append([]net.Conn{urgent}, crowd...), 0, "enough"); n != 0 {
		t.Errorf("it was heard after %d of %d", n, many)
	}
	do(p, func() {
		if a.broke > 0 {
			t.Error("one that was paused was taken for broken, by an event from before")
		}
		for _, f := range p.favored {
			f.c.Pause(false)
		}
	})
	_ = urgent.Close()
	for gone := false; !gone; {
		do(p, func() { gone = len(p.favored) == 0 })
	}
}

// placeOf is the place in which the loop hears the connection with a number say
// what it says, if all speak while the loop is busy.
func placeOf(t *testing.T, p *Loop, a *attentive, all []net.Conn, number int, what string) (n int) {
	t.Helper()
	busy, free := make(chan struct{}), make(chan struct{})
	p.Post(&job{func() {
		a.heard = nil
		close(busy)
		<-free
	}, make(chan struct{})})
	<-busy
	for i, c := range all {
		said := "x"
		if i == number {
			said = what
		}
		if _, err := c.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
	}
	close(free)
	for i, c := range all {
		b := make([]byte, 1)
		if i == number {
			b = make([]byte, len(what))
		}
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}
	do(p, func() { n = slices.Index(a.heard, what) })
	return n
}
