package crash

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"

	"twohop"
)

// owner creates, forks, closes and deletes channels, and nobody else does. What
// it begins it repeats until it is answered, after a crash too, so that it knows
// what exists.
type owner struct {
	o       *oracle
	random  *rand.Rand
	pending *deed
}

type deed struct {
	c     *channel
	kind  deedKind
	first string // record that a channel is created with
	tries int
}

type deedKind int

const (
	create deedKind = iota
	remove
	shut
)

// do notes what is to be done, before anything of it is, and does it.
func (w *owner) do(s *site, d *deed) {
	w.o.mu.Lock()
	w.pending = d
	d.c.busy = true
	d.c.turn++
	w.o.mu.Unlock()
	w.carryOut(s)
}

// finish ends what was begun before the crash, and creates what never was.
func (w *owner) finish(s *site) {
	if w.pending != nil {
		w.carryOut(s)
	}
	for c := w.absent(); c != nil && c.epoch == 0 && w.pending == nil; c = w.absent() {
		w.create(s, c)
	}
}

func (w *owner) absent() *channel {
	return w.o.pick(w.random, func(c *channel) bool { return !c.exists && c.fork == nil && c.name != "auto/a" })
}

// victim is a channel to be deleted or closed: mostly a fork.
func (w *owner) victim() *channel {
	return w.o.pick(w.random, func(c *channel) bool {
		return c.exists && c.name != "auto/a" && (c.fork != nil || w.random.IntN(8) == 0)
	})
}

func (w *owner) work(s *site) {
	for s.ctx.Err() == nil && w.pending == nil { // else the power failed
		answers := w.o.answers()
		switch w.random.IntN(10) {
		case 0, 1, 2, 3:
			w.fork(s)
		case 4, 5, 6:
			if c := w.absent(); c != nil {
				w.create(s, c)
			}
		case 7, 8:
			if c := w.victim(); c != nil {
				w.do(s, &deed{c: c, kind: remove})
			}
		case 9:
			if c := w.victim(); c != nil {
				w.do(s, &deed{c: c, kind: shut})
			}
		}
		w.o.others(s, answers+10)
	}
}

func (w *owner) create(s *site, c *channel) {
	d := &deed{c: c, kind: create}
	if w.random.IntN(2) == 0 {
		d.first = w.o.record(c, w.random)
	}
	w.do(s, d)
}

// fork makes a fork, with a name of its own.
func (w *owner) fork(s *site) {
	source := w.o.pick(w.random, func(c *channel) bool { return c.exists && !c.lazy && !c.short })
	if source == nil {
		return
	}
	f := &fork{source: source.name, at: w.o.someOffset(source, w.random)}
	if f.at.IsZero() {
		return
	}
	f.sub = max(0, w.random.IntN(5)-2)
	w.o.mu.Lock()
	w.o.forks++
	c := w.o.add(fmt.Sprintf("fork/%d", w.o.forks), !source.json, f)
	w.o.mu.Unlock()
	w.create(s, c)
}

func (d *deed) request() (method, body string, header []string) {
	switch {
	case d.kind == remove:
		return http.MethodDelete, "", nil
	case d.kind == shut:
		return http.MethodPost, "", []string{"Stream-Closed", "true"}
	case d.c.fork != nil:
		f := d.c.fork
		header = []string{"Stream-Forked-From", "/v1/stream/" + f.source, "Stream-Fork-Offset", f.at.String()}
		if f.sub > 0 {
			header = append(header, "Stream-Fork-Sub-Offset", strconv.Itoa(f.sub))
		}
	case d.c.json:
		header = []string{"Content-Type", "application/json"}
	default:
		header = []string{"Content-Type", "text/plain"}
	}
	return http.MethodPut, d.first, header
}

// carryOut does what is pending until it is answered.
func (w *owner) carryOut(s *site) {
	for s.ctx.Err() == nil && w.pending != nil {
		d := w.pending
		d.tries++
		ctx, cancel := s.hasty(w.random)
		method, body, header := d.request()
		a := s.do(ctx, method, "/v1/stream/"+d.c.name, body, header...)
		cancel()
		if !w.o.told(func() {
			if a.status != 0 && a.status != http.StatusServiceUnavailable {
				w.answered(d, a)
			}
		}) {
			return
		}
	}
}

// answered takes an answer, which settles what is pending.
func (w *owner) answered(d *deed, a *answer) {
	c, wants := d.c, []int{http.StatusNoContent}
	switch {
	case d.kind == create && c.fork != nil:
		// The source may have been deleted; the prefix of a record be too long.
		wants = []int{http.StatusCreated, http.StatusBadRequest, http.StatusNotFound, http.StatusConflict}
	case d.kind == create:
		wants = []int{http.StatusCreated, http.StatusConflict} // when its forks still need it
	}
	switch {
	case d.tries == 1:
	case d.kind == create:
		wants = append(wants, http.StatusOK)
	default:
		wants = append(wants, http.StatusNotFound, http.StatusGone)
	}
	if !slices.Contains(wants, a.status) {
		w.o.t.Errorf("%s: deed %d, try %d, is answered %s", c.name, d.kind, d.tries, a)
	}
	w.settle(d, a)
	w.pending, c.busy = nil, false
	w.o.deed = true
}

func (w *owner) settle(d *deed, a *answer) {
	c, ok := d.c, a.status < 300
	switch {
	case d.kind == shut:
		c.closed = ok
	case d.kind == remove || !ok:
		c.exists, c.closed = false, false
		c.bury()
	default:
		c.exists = true
		at := a.offset(w.o.t)
		if c.fork != nil {
			w.o.inherit(c)
		} else {
			c.epoch = at.Epoch
		}
		if d.first != "" && a.status == http.StatusCreated {
			w.o.saw(c, twohop.Offset{Epoch: at.Epoch, Pos: at.Pos - 1}, at, []string{d.first})
		}
	}
}

// bury makes the offsets of a channel that was deleted ones that are never
// served again.
func (c *channel) bury() {
	for at := range c.shown {
		if c.fork == nil {
			c.dead = append(c.dead, at)
		}
	}
	c.dead = c.dead[max(0, len(c.dead)-16):]
	clear(c.shown)
	c.acked = twohop.Offset{}
}

// answers is how many answers there were.
func (o *oracle) answers() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ops
}

// others waits until the others have got answers, too.
func (o *oracle) others(s *site, n int) {
	for s.ctx.Err() == nil && o.answers() < n {
		s.do(s.ctx, http.MethodGet, "/v1/stream/auto/a?offset=now", "")
	}
}
