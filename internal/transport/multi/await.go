package multi

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"twohop"
	"twohop/internal/hub"
)

// await is the cursors of a node that wait for a channel which does not exist
// yet, but will with its first publish.
type await struct {
	n       *node
	name    string
	waits   []waiting
	news    atomic.Bool // it may have come to be since it was last looked for
	looking bool
}

// waiting is a cursor that waits for its channel.
type waiting struct {
	c      *cursor
	budget time.Duration
}

// await makes a cursor wait. It returns an error if too many channels are
// awaited.
func (n *node) await(c *cursor, budget time.Duration) error {
	a := n.awaits[c.name]
	if a == nil {
		a = &await{n: n, name: c.name}
		if !n.h.hub.Await(c.name, a) {
			return unavailable(c.name)
		}
		n.awaits[c.name] = a
		a.Moved() // it may have come before it was awaited
	}
	c.ix = int32(len(a.waits)) //nolint:gosec // connections are bounded by descriptors
	a.waits = append(a.waits, waiting{c, budget})
	return nil
}

func (a *await) remove(c *cursor) {
	last := len(a.waits) - 1
	a.waits[c.ix] = a.waits[last]
	a.waits[c.ix].c.ix = c.ix
	a.waits[last] = waiting{}
	if a.waits = a.waits[:last]; last == 0 {
		a.end()
	}
}

func (a *await) end() {
	a.n.h.hub.Unawait(a.name, a)
	if a.n.awaits[a.name] == a {
		delete(a.n.awaits, a.name)
	}
}

// Moved implements hub.Watcher.
func (a *await) Moved() {
	if a.news.CompareAndSwap(false, true) {
		a.n.run.Post(a)
	}
}

// Turn implements task: it looks whether the channel is there.
func (a *await) Turn() bool {
	if a.looking || len(a.waits) == 0 {
		return false
	}
	a.looking = true
	a.news.Store(false)
	l := &look{a: a}
	a.n.elsewhere(l, func() {
		l.ch, l.err = a.n.h.hub.Open(context.Background(), a.name) //nolint:forbidigo // the engine bounds its own time
	})
	return false
}

// look is what an await saw.
type look struct {
	a   *await
	ch  *hub.Channel
	err error
}

// Turn implements task.
func (l *look) Turn() bool {
	a := l.a
	a.looking = false
	switch {
	case l.err == nil:
		defer l.ch.Close()
		a.came(l.ch)
	case !absent(l.err):
		for len(a.waits) > 0 {
			c := a.waits[len(a.waits)-1].c
			c.fail(l.err)
			c.conn.node.enqueue(c.conn)
		}
	case a.news.Load():
		return a.Turn()
	}
	return false
}

// came lets the cursors follow the channel from its beginning, or from where
// they want to.
func (a *await) came(ch *hub.Channel) {
	for len(a.waits) > 0 {
		w := a.waits[len(a.waits)-1]
		g := a.n.group(ch, w.budget)
		if g == nil { // it is gone again
			a.news.Store(false)
			a.Moved()
			return
		}
		c := w.c
		a.remove(c)
		c.state = following
		if c.at.IsZero() {
			c.at = ch.Locate(twohop.From{})
		}
		g.add(c)
		c.push()
		a.n.enqueue(c.conn)
	}
}

// absent reports whether an error says that there is no such channel.
func absent(err error) bool {
	e, ok := errors.AsType[*twohop.Error](err)
	return ok && e.Code == twohop.CodeNotFound
}
