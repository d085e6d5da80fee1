package multi

import (
	"context"
	"time"

	"twohop/internal/hub"
)

// groupKey tells groups apart: cursors of one channel with one budget are woken
// together.
type groupKey struct {
	ch     *hub.Channel
	budget time.Duration
}

// group is the cursors of a channel on one node: in its rounds each is given all
// that it lacks, or noted on its connection where others may be due, too.
type group struct {
	hub.Crowd[*cursor]

	n      *node
	ch     *hub.Channel
	beat   *beat // nil without a budget
	moving bool  // the channel is being opened again
}

// Place implements hub.Member.
func (c *cursor) Place() *int32 { return &c.ix }

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
	g := &group{n: n, ch: ch, beat: n.beat(budget)}
	g.Budget = budget
	n.groups[key] = g
	ch.Watch(g)
	if ch.Stale() {
		g.Moved() // nobody told it: it did not watch yet
	}
	return g
}

// Moved implements hub.Watcher.
func (g *group) Moved() {
	if g.Note() {
		g.schedule(g.Budget)
	}
}

func (g *group) schedule(after time.Duration) {
	if g.beat != nil {
		g.beat.add(g, after)
		return
	}
	g.n.run.PostFanOut(g)
}

// Turn implements task.
func (g *group) Turn() bool {
	now := time.Now()
	if g.Begin(now) && g.ch.Stale() && g.Len() > 0 {
		g.reopen()
	}
	if !g.moving {
		g.n.forget()
		g.n.time = ticksAt(now)
		more := g.Look(turnSize, (*cursor).offer)
		g.n.forget()
		if more {
			return true
		}
	}
	if after, more := g.Rest(); more {
		g.schedule(after)
	}
	return false
}

func (g *group) add(c *cursor) {
	c.g = g
	g.Add(c)
	g.ch.AddReader(1)
}

func (g *group) remove(c *cursor) {
	g.Remove(c)
	c.g = nil
	g.ch.AddReader(-1)
	if g.Len() == 0 && !g.moving {
		g.end()
	}
}

func (g *group) end() {
	g.ch.Unwatch(g)
	g.beat.leave()
	delete(g.n.groups, groupKey{g.ch, g.Budget})
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
	g.n.elsewhere(m, func() {
		m.ch, m.err = g.n.h.hub.Open(context.Background(), g.ch.Name()) //nolint:forbidigo // the engine bounds its own time
	})
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
	if g.Len() == 0 {
		g.end()
		return false
	}
	if m.err != nil {
		for g.Len() > 0 {
			c := g.Last()
			c.fail(goneWhile(c.name, m.err))
			g.n.enqueue(c.conn)
		}
		return false
	}
	to := g.n.group(m.ch, g.Budget)
	if to == nil || to == g { // it broke again
		g.reopen()
		return false
	}
	for g.Len() > 0 {
		c := g.Last()
		g.remove(c)
		to.add(c)
	}
	to.Moved()
	return false
}
