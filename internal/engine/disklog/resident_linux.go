package disklog

import (
	"errors"

	"golang.org/x/sys/unix"

	"twohop/internal/engine"
	"twohop/internal/uring"
)

// resident commits on a loop what can be without waiting: it judges a group,
// hands the journal to the kernel, and shows and answers when that is on the
// disk. Everything else is the committer's, who gets what is unclear as if the
// loop had never seen it. All of it is used on the loop.
type resident struct {
	e     *Engine
	loop  engine.Loop
	ring  *uring.Ring
	lame  bool       // the ring is of no use any more
	turn  bool       // it is the loop's
	group *group     // whose sync is under way
	log   *directLog // that it is in
	pause pause
	leave bool
	left  chan struct{} // closed when it has left
}

var _ engine.Resident = (*Engine)(nil)

// MoveIn implements engine.Resident.
func (e *Engine) MoveIn(l engine.Loop) {
	if e.resident != nil {
		return // on another loop
	}
	ring, err := uring.New(2)
	if err != nil {
		return // the committer writes as he can
	}
	e.resident = &resident{e: e, loop: l, ring: ring, left: make(chan struct{})}
	l.Watch(ring.FD(), e.resident.look)
	e.queue.moveIn(func() { l.Post(e.resident) })
}

// MoveOut implements engine.Resident.
func (e *Engine) MoveOut() {
	r := e.resident
	if r == nil {
		return
	}
	select {
	case <-r.left:
	default:
		e.queue.moveOut()
		r.loop.Post(mover{r})
		<-r.left
	}
}

// mover has a resident leave its loop.
type mover struct{ r *resident }

// Turn implements a task of the loop.
func (m mover) Turn() bool {
	m.r.leave = true
	m.r.step()
	return false
}

// depart leaves the loop when nothing is under way.
func (r *resident) depart() {
	if r.group == nil && !r.turn && r.ring != nil {
		r.loop.Unwatch(r.ring.FD())
		r.ring.Close()
		r.ring = nil
		close(r.left)
	}
}

// Turn implements a task of the loop: there are items.
func (r *resident) Turn() bool {
	r.turn = r.e.queue.begin()
	r.step()
	return false
}

// pause is a round of the loop before the next group begins: the answers leave,
// and what has arrived meanwhile shares its sync.
type pause struct{ begun bool }

// Turn implements a task of the loop.
func (p *pause) Turn() (more bool) {
	p.begun = !p.begun
	return p.begun
}

// look goes on with what is under way.
func (r *resident) look() {
	if r.turn {
		r.step()
	}
}

// step does what can be done now.
func (r *resident) step() {
	r.work()
	if r.leave {
		r.depart()
	}
}

func (r *resident) work() {
	if r.group != nil {
		if !r.landed() {
			return
		}
		if r.turn && r.e.queue.waiting() {
			r.loop.Post(&r.pause)
			return
		}
	}
	for some := 0; r.turn && r.group == nil; some++ {
		if some == fewGroups && r.e.queue.waiting() {
			r.loop.Post(&r.pause)
			return
		}
		items := r.e.queue.swiftTake()
		if items == nil {
			r.turn = false
			return
		}
		if g := r.judge(items); g == nil {
			r.hand(items, nil)
		} else {
			r.commit(g)
		}
	}
}

// fewGroups is how many groups that need no sync a loop commits before its other
// work has a turn.
const fewGroups = 4

// hand makes it the committer's turn.
func (r *resident) hand(items []*item, half *group) {
	r.turn, r.group, r.log = false, nil, nil
	r.e.queue.hand(items, half)
}

// judge is a group as far as it is before anything of it is written, or nil if
// it might have to wait.
func (r *resident) judge(items []*item) *group {
	e := r.e
	full, fresh := e.space.known()
	if r.log = e.journal.direct(); r.lame || !fresh || r.log == nil || e.guard.trouble() != nil {
		return nil
	}
	g := e.newGroup()
	g.onLoop, g.full = true, full
	err := g.judge(items)
	if err == nil || errors.Is(err, errNextGroup) {
		err = g.seal()
	}
	if err == nil && !g.batch.Empty() {
		err = e.journal.mark(g.batch, g.sync)
	}
	if err != nil || !e.journal.takes(r.log, g.batch.Len()) {
		g.close()
		return nil
	}
	return g
}

// commit writes a group, to the end if it need not be synced.
func (r *resident) commit(g *group) {
	j := &r.e.journal
	var err error
	if !g.batch.Empty() {
		err = j.add(g.batch.Repr())
	}
	switch {
	case err != nil || !g.sync || j.synced == j.at:
		r.end(g, err)
	case r.log.begin(r.ring):
		r.group = g
	default:
		r.lame = true
		r.e.opts.Logger.Warn("io_uring failed; nothing is committed on the loop any more, which only takes more CPU")
		r.hand(nil, g)
	}
}

// landed goes on when the disk has what the group is in.
func (r *resident) landed() bool {
	d, ok := r.ring.Next()
	if !ok {
		return false
	}
	g, j := r.group, &r.e.journal
	if !r.log.ended(d.Result) {
		r.hand(nil, g) // he tries again, under the guard's rules
		return true
	}
	j.synced = j.at
	r.group = nil
	r.end(g, nil)
	return true
}

// end ends a group that is in the journal, or is not if there was an error.
func (r *resident) end(g *group, err error) {
	r.e.queue.swiftLanded(g.end(g.written(r.e.keep(g.batch, err))))
}

// direct is the journal's file if it is written directly.
func (j *journal) direct() *directLog {
	if f, ok := j.file.(*guardedFile); ok {
		if log, ok := f.File.(*directLog); ok && !log.plain && !log.loose {
			return log
		}
	}
	return nil
}

// takes reports whether the journal takes a batch without waiting.
func (j *journal) takes(log *directLog, batch int) bool {
	n := entryHead + batch
	return !j.full(batch) && len(log.buf)+n <= directRoom && log.at+int64(len(log.buf)+n) <= log.size &&
		(len(j.before) < 2 || !j.before[len(j.before)-2].needed()) // or the store might stop writes
}

// begin hands what waits for a sync to the kernel.
func (f *directLog) begin(ring *uring.Ring) bool {
	e := uring.Entry{Op: uring.OpWrite, FD: int32(f.fd), Offset: uint64(f.at), Flags: unix.RWF_DSYNC} //nolint:gosec // none is negative or large
	e.SetBytes(f.padded())
	ring.Put(&e)
	n, _ := ring.Submit()
	return n > 0
}

// ended takes the kernel's result of that; false if it did not write all.
func (f *directLog) ended(result int32) bool {
	if int(result) != len(f.padded()) {
		return false
	}
	f.written()
	return true
}
