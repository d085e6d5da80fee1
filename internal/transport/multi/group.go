package multi

import (
	"context"
	"sync/atomic"
	"time"

	"twohop/internal/hub"
)

// groupKey tells groups apart: cursors of one channel with one budget are woken
// together.
type groupKey struct {
	ch     *hub.Channel
	budget time.Duration
}

// group is the cursors of a channel on one node. To the channel it is one
// watcher; what happens there costs it a turn, in which each cursor is given all
// that it lacks, or noted on its connection where others may be due, too.
type group struct {
	n      *node
	ch     *hub.Channel
	beat   *beat // nil without a budget
	budget time.Duration
	news   atomic.Bool // something happened since the last turn began
	due    atomic.Bool // a turn is to come
	moving bool        // the channel is being opened again

	cursors []*cursor
	pos     int // where the next turn begins
	left    int // cursors to look at from pos on until all were
}

// group finds or makes the group of a channel that is open now. It returns nil
// if the channel left the hub this very moment.
func (n *node) group(ch *hub.Channel, budget time.Duration) *group {
	key := groupKey{ch, budget}
	if g := n.groups[key]; g != nil {
		return g
	}
	if !n.h.hub.Adopt(ch) {
		return nil
	}
	g := &group{n: n, ch: ch, budget: budget, beat: n.beat(budget)}
	n.groups[key] = g
	ch.Watch(g)
	if ch.Stale() {
		g.Moved() // nobody told it: it did not watch yet
	}
	return g
}

// Moved implements hub.Watcher.
func (g *group) Moved() {
	g.news.Store(true)
	if g.due.CompareAndSwap(false, true) {
		g.schedule()
	}
}

func (g *group) schedule() {
	if g.beat != nil {
		g.beat.add(g)
		return
	}
	g.n.run.Post(g)
}

// Turn implements task.
func (g *group) Turn() bool {
	if len(g.cursors) == 0 { // it ended, or will when it has moved
		g.due.Store(false)
		return false
	}
	if g.news.Swap(false) {
		g.left = len(g.cursors)
		if g.ch.Stale() {
			g.reopen()
		}
	}
	if g.moving {
		g.left = 0
	}
	g.n.forget()
	g.n.time = now()
	for n := 0; n < turnSize && g.left > 0 && len(g.cursors) > 0; n++ {
		if g.pos >= len(g.cursors) {
			g.pos = 0
		}
		c := g.cursors[g.pos]
		c.offer()
		// If the cursor left, another stands in its place: the last one, who may
		// not have been among those to look at, so there are as many left.
		if g.pos < len(g.cursors) && g.cursors[g.pos] == c {
			g.pos++
			g.left--
		}
	}
	g.n.forget()
	if g.left > 0 && len(g.cursors) > 0 {
		return true
	}
	g.left = 0
	g.due.Store(false)
	if g.news.Load() && g.due.CompareAndSwap(false, true) {
		g.schedule()
	}
	return false
}

func (g *group) add(c *cursor) {
	c.g = g
	c.ix = int32(len(g.cursors)) //nolint:gosec // connections are bounded by descriptors
	g.cursors = append(g.cursors, c)
	g.ch.AddReader(1)
}

// remove takes a cursor out. Another takes its place, so the round begins anew
// unless it was the one that is looked at.
func (g *group) remove(c *cursor) {
	ix, last := int(c.ix), len(g.cursors)-1
	g.cursors[ix] = g.cursors[last]
	g.cursors[ix].ix = c.ix
	g.cursors[last] = nil
	g.cursors = g.cursors[:last]
	if g.left > 0 && ix != g.pos {
		g.left = last
	}
	c.g = nil
	g.ch.AddReader(-1)
	if last == 0 && !g.moving {
		g.end()
	}
}

func (g *group) end() {
	g.ch.Unwatch(g)
	g.beat.leave()
	delete(g.n.groups, groupKey{g.ch, g.budget})
	g.ch.Close()
}

// reopen opens the channel again, because the feed lost its place; the cursors
// go on where they stand.
func (g *group) reopen() {
	if g.moving {
		return
	}
	g.moving = true
	m := &move{g: g}
	go func() {
		m.ch, m.err = g.n.h.hub.Open(context.Background(), g.ch.Name()) //nolint:forbidigo // the engine bounds its own time
		g.n.run.Post(m)
	}()
}

// move is a channel that was opened again for a group.
type move struct {
	g   *group
	ch  *hub.Channel
	err error
}

// Turn implements task.
func (m *move) Turn() bool {
	g := m.g
	g.moving = false
	if m.ch != nil {
		defer m.ch.Close()
	}
	if len(g.cursors) == 0 {
		g.end()
		return false
	}
	if m.err != nil {
		for len(g.cursors) > 0 {
			c := g.cursors[len(g.cursors)-1]
			c.fail(goneWhile(c.name, m.err))
			g.n.enqueue(c.conn)
		}
		return false
	}
	to := g.n.group(m.ch, g.budget)
	if to == nil || to == g { // it broke again
		g.reopen()
		return false
	}
	for len(g.cursors) > 0 {
		c := g.cursors[len(g.cursors)-1]
		g.remove(c)
		to.add(c)
	}
	to.Moved()
	return false
}
