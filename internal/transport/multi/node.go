package multi

import (
	"sync"
	"time"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/wire"
)

// task is work for a node: see park.Task.
type task interface{ Turn() (more bool) }

// runner runs tasks one at a time, in turns, groups when there is time for them.
// What it has may be called from anywhere, and never blocks.
type runner interface {
	Post(t task)
	PostFanOut(g *group)
}

// node is the connections that one runner serves: all those of a loop, or a
// single one that has a goroutine. All of it is used in tasks only.
type node struct {
	h      *Handler
	run    runner
	groups map[groupKey]*group
	beats  map[time.Duration]*beat
	awaits map[string]*await
	conns  []*conn // all, for a drain to end them
	ready  []*conn // that have something due
	round  bool    // a turn for them is to come
	away   int     // tasks that wait for what is under way elsewhere
	page   memo
	time   ticks // about now
	leaves bool  // the server drains
	frame  wire.ClientFrame
	out    []byte   // for frames that are queued as copies
	head   [10]byte // of one of them

	// for the next opening that is answered at once
	opening *opening
	info    twohop.Info
}

func newNode(h *Handler, run runner) *node {
	return &node{h: h, run: run, groups: map[groupKey]*group{}, beats: map[time.Duration]*beat{}, awaits: map[string]*await{}}
}

// elsewhere has work done that may take time; then comes the task's turn.
func (n *node) elsewhere(t task, work func()) {
	n.away++
	go func() {
		work()
		n.run.Post(&errand{n: n, task: t})
	}()
}

// errand is a task whose work was done elsewhere.
type errand struct {
	n *node
	task
	back bool
}

// Turn implements task.
func (e *errand) Turn() bool {
	if !e.back {
		e.back = true
		e.n.away--
	}
	return e.task.Turn()
}

func (n *node) enter(k *conn) {
	k.pos = int32(len(n.conns)) //nolint:gosec // connections are bounded by descriptors
	n.conns = append(n.conns, k)
}

func (n *node) leave(k *conn) {
	last := len(n.conns) - 1
	n.conns[k.pos] = n.conns[last]
	n.conns[k.pos].pos = k.pos
	n.conns[last] = nil
	n.conns = n.conns[:last]
}

// scratch is room for a frame that is copied before the next is made.
func (n *node) scratch() []byte { return n.out[:0] }

// trim lets go of what a large frame took.
func (n *node) trim() {
	n.frame.Item = wire.Item{}
	if cap(n.frame.Subs) > frameChannels {
		n.frame.Subs = nil
	}
	if cap(n.frame.Names) > frameChannels {
		n.frame.Names = nil
	}
	if cap(n.out) > frameBytes {
		n.out = nil
	}
}

// What is kept between frames of clients.
const (
	frameChannels = 64
	frameBytes    = 64 << 10
)

const turnSize = 64 // connections or cursors that a turn looks at

// memo is the page that cursors next to each other share, within a turn.
type memo struct {
	g    *group
	from twohop.Offset
	view *hub.View
}

func (n *node) read(g *group, from twohop.Offset) *hub.View {
	if m := &n.page; m.g != g || m.from != from {
		*m = memo{g, from, g.ch.TryRead(from)}
	}
	return n.page.view
}

// forget makes the next read look again: something may have come.
func (n *node) forget() { n.page = memo{} }

// enqueue gives a connection a turn.
func (n *node) enqueue(c *conn) {
	if c.queued {
		return
	}
	c.queued = true
	n.ready = append(n.ready, c)
	if !n.round {
		n.round = true
		n.run.Post(n)
	}
}

// Turn gives connections what is due on them.
func (n *node) Turn() bool {
	n.forget()
	n.time = now()
	some := min(turnSize, len(n.ready))
	for i := range some {
		c := n.ready[i]
		n.ready[i] = nil
		c.queued = false
		c.serve()
	}
	if n.ready = n.ready[some:]; len(n.ready) == 0 {
		n.ready, n.round = nil, false
	}
	n.forget()
	return n.round
}

// beat is what groups with the same budget wait for together, so that all that
// is due on a connection leaves in one write. It begins with the first news, or
// after a round that news came in.
type beat struct {
	n     *node
	every time.Duration
	timer *time.Timer
	used  int // by groups

	mu     sync.Mutex // guards groups and due; a leaf
	groups []*group   // that have news
	due    time.Time  // when they have their turn, if there are any
}

func (n *node) beat(every time.Duration) *beat {
	if every == 0 {
		return nil
	}
	b := n.beats[every]
	if b == nil {
		b = &beat{n: n, every: every}
		b.timer = time.AfterFunc(time.Hour, func() { n.run.Post(b) })
		b.timer.Stop()
		n.beats[every] = b
	}
	b.used++
	return b
}

// leave is called for each group that ends.
func (b *beat) leave() {
	if b == nil {
		return
	}
	if b.used--; b.used == 0 {
		b.timer.Stop()
		delete(b.n.beats, b.every)
	}
}

// add makes a group have its turn when the budget of its first news is spent,
// or sooner.
func (b *beat) add(g *group, after time.Duration) {
	due := time.Now().Add(after)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.groups = append(b.groups, g)
	if len(b.groups) == 1 || due.Before(b.due) {
		b.due = due
		b.timer.Reset(after)
	}
}

// Turn implements task.
func (b *beat) Turn() bool {
	b.mu.Lock()
	groups := b.groups
	b.groups = nil
	b.mu.Unlock()
	for _, g := range groups {
		b.n.run.Post(g)
	}
	return false
}
