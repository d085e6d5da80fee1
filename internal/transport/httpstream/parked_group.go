//go:build linux

package httpstream

import (
	"context"
	"sync/atomic"
	"time"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/wire"
)

// groupKey tells groups apart: readers of one channel with one budget are woken
// together.
type groupKey struct {
	ch     *hub.Channel
	budget time.Duration
}

// group is the readers of a channel that wait on one loop. To the channel it is
// one watcher; what happens there costs it a turn, in which each reader gets
// all that it lacks. Turns are short: a publish that comes in between is seen by
// all that were not served yet.
type group struct {
	p    *parkedLoop
	ch   *hub.Channel
	key  groupKey
	news atomic.Bool // something happened since the last turn began
	due  atomic.Bool // a turn is to come
	wait *time.Timer // for the budget

	began time.Time // of a round, with a budget

	readers []*reader // that wait
	members int       // with those that catch up
	pos     int       // where the next turn begins
	left    int       // readers to look at from pos on until all were
}

// Moved implements hub.Watcher.
func (g *group) Moved() {
	g.news.Store(true)
	if !g.due.CompareAndSwap(false, true) {
		return
	}
	if g.key.budget > 0 {
		g.wait.Reset(g.key.budget)
		return
	}
	g.p.loop.Post(g)
}

const turnReaders = 64

// Turn implements park.Task.
func (g *group) Turn() bool {
	// With a budget, what comes during a round waits for the next one: the round
	// would go round again for a record or two.
	if (g.left == 0 || g.key.budget == 0) && g.news.Swap(false) {
		g.left = len(g.readers)
		if g.key.budget > 0 {
			g.began = time.Now()
		}
		if g.ch.Stale() || g.ch.Deleted() {
			g.disperse()
		}
	}
	var page memo
	for n := 0; n < turnReaders && g.left > 0 && len(g.readers) > 0; n++ {
		if g.pos >= len(g.readers) {
			g.pos = 0
		}
		r := g.readers[g.pos]
		r.visit(&page)
		// If the reader left, another stands in its place: the last one, who may
		// not have been among those to look at, so there are as many left.
		if g.pos < len(g.readers) && g.readers[g.pos] == r {
			g.pos++
			g.left--
		}
	}
	if g.left > 0 && len(g.readers) > 0 {
		return true
	}
	g.left = 0
	g.due.Store(false)
	switch {
	case !g.news.Load() || !g.due.CompareAndSwap(false, true):
		return false
	case g.key.budget == 0:
		return true
	}
	g.wait.Reset(max(0, g.key.budget-time.Since(g.began))) // it came since
	return false
}

// memo is the page that readers next to each other share.
type memo struct {
	from  twohop.Offset
	view  *hub.View
	sse   [3][]byte
	token uint64
}

func (m *memo) read(g *group, from twohop.Offset) *hub.View {
	if m.view == nil || m.from != from {
		*m = memo{from: from, view: g.ch.TryRead(from), token: m.token}
		if m.token == 0 {
			m.token = wire.CacheToken(time.Now())
		}
	}
	return m.view
}

// visit gives a waiting reader what it lacks.
func (r *reader) visit(page *memo) {
	if r.c.Blocked() {
		return // it catches up when it has room
	}
	v := page.read(r.g, r.at)
	switch {
	case v == nil:
		r.behind()
	case len(v.Data) == 0 && !v.Closed:
	case r.live == longPoll:
		g := r.g
		r.leave()
		if len(v.Data) == 0 {
			r.empty(g.ch.Info(), v)
		} else {
			r.page(g.ch.Info(), v, longPollPage, "")
		}
		r.again()
	default:
		b := page.sse[r.enc]
		if b == nil {
			b = r.frame(v, page.token)
			page.sse[r.enc] = b
		}
		r.at = v.Next
		r.p.h.delivered(v)
		r.c.Queue(b)
		if v.Closed {
			r.finish()
		} else if !v.UpToDate && !r.c.Blocked() {
			r.g.left = len(r.g.readers) // another round
		}
	}
}

// wait puts a reader that stands at an offset into its group. It returns false
// if it had to be cut off.
func (r *reader) wait(ch *hub.Channel, at twohop.Offset, q *query) bool {
	p := r.p
	key := groupKey{ch, q.budget.time()}
	g := p.groups[key]
	if g == nil {
		if !p.h.hub.Adopt(ch) {
			r.c.Close() // the channel left the hub this very moment
			return false
		}
		g = &group{p: p, ch: ch, key: key}
		if key.budget > 0 {
			g.wait = time.AfterFunc(time.Hour, func() { p.loop.Post(g) })
			g.wait.Stop()
		}
		p.groups[key] = g
		ch.Watch(g)
	}
	r.live = q.live
	r.count(1)
	ch.AddReader(1)
	r.g, r.at = g, at
	g.members++
	g.add(r)
	r.state = waiting
	if ch.Ahead(at) {
		g.Moved() // of what came before the group watched
	}
	return true
}

func (g *group) add(r *reader) {
	if g.left > 0 {
		g.left++ // a round may go past the end of the list, where the reader stands now
	}
	r.ix = int32(len(g.readers)) //nolint:gosec // connections are bounded by descriptors
	g.readers = append(g.readers, r)
}

// remove takes a waiting reader out of the list. Another takes its place, so
// the round begins anew unless it was the reader that is looked at.
func (g *group) remove(r *reader) {
	ix, last := int(r.ix), len(g.readers)-1
	g.readers[ix] = g.readers[last]
	g.readers[ix].ix = r.ix
	g.readers[last] = nil
	g.readers = g.readers[:last]
	if g.left > 0 && ix != g.pos {
		g.left = last
	}
	r.ix = -1
}

// leave takes a reader out of its group.
func (r *reader) leave() {
	g := r.g
	if g == nil {
		return
	}
	if r.state == waiting {
		g.remove(r)
	}
	r.g, r.state = nil, idle
	r.count(-1)
	g.ch.AddReader(-1)
	g.members--
	if g.members == 0 {
		g.ch.Unwatch(g)
		if g.wait != nil {
			g.wait.Stop()
		}
		delete(g.p.groups, g.key)
		g.ch.Close()
	}
}

// disperse ends all responses of a channel that is gone, or whose feed broke:
// the clients ask again, and are told.
func (g *group) disperse() {
	reset := (&twohop.Reset{Reason: twohop.ResetDeleted}).Error(g.ch.Info().Name, twohop.Offset{})
	for len(g.readers) > 0 {
		r := g.readers[len(g.readers)-1]
		deleted := g.ch.Deleted()
		switch {
		case r.c.Blocked() && r.live == longPoll:
			r.c.Close()
		case r.c.Blocked():
			r.finish()
		case r.live == longPoll && deleted:
			r.leave()
			r.refuse(reset)
		case r.live == longPoll:
			r.leave()
			r.empty(g.ch.Info(), &hub.View{Batch: twohop.Batch{From: r.at, Next: r.at}, UpToDate: true})
			r.again()
		case deleted:
			r.p.h.stats.Resets.Add(1)
			b := wire.AppendChunk(nil, func(dst []byte) []byte { return wire.SSEReset(dst, reset.Reset) })
			r.c.Queue(b)
			r.finish()
		default:
			r.finish()
		}
	}
}

// catchUp brings a reader that is behind to the tail, page by page, as far as
// its socket takes them.
func (r *reader) catchUp() {
	for range 4 {
		if r.g == nil || r.c.Blocked() {
			return
		}
		v := r.g.ch.TryRead(r.at)
		if v == nil {
			r.behind()
			return
		}
		if len(v.Data) == 0 && !v.Closed {
			return
		}
		r.visit(&memo{from: r.at, view: v, token: wire.CacheToken(time.Now())})
		if r.g == nil || v.UpToDate {
			return
		}
	}
	r.g.Moved()
}

// behind reads a page from the engine, elsewhere.
func (r *reader) behind() {
	g := r.g
	g.remove(r)
	r.state = catching
	f := &depth{r: r, g: g, at: r.at}
	ch := g.ch
	go func() {
		f.view, f.err = ch.Read(context.Background(), f.at) //nolint:forbidigo // the engine bounds its own time
		g.p.loop.Post(f)
	}()
}

// depth is a page from the depth of a log.
type depth struct {
	r    *reader
	g    *group
	at   twohop.Offset
	view *hub.View
	err  error
}

// Turn implements park.Task.
func (d *depth) Turn() bool {
	r := d.r
	if !r.c.Open() || r.g != d.g || r.state != catching {
		return false
	}
	r.state = waiting
	d.g.add(r)
	if d.err != nil {
		r.failed(d.err)
		return false
	}
	r.visit(&memo{from: d.at, view: d.view, token: wire.CacheToken(time.Now())})
	switch {
	case r.g == nil || r.state != waiting:
	case r.p.draining: // which began while it read
		r.finish()
	case !r.c.Blocked() && !d.view.UpToDate:
		r.catchUp()
	}
	return false
}

// failed tells a live reader why its read failed.
func (r *reader) failed(err error) {
	reset := asReset(err)
	switch {
	case r.live == longPoll:
		r.leave()
		r.refuse(err)
	case reset == nil:
		r.finish()
	default:
		r.p.h.stats.Resets.Add(1)
		r.at = reset.Next()
		b := wire.AppendChunk(nil, func(dst []byte) []byte { return wire.SSEReset(dst, reset) })
		r.c.Queue(b)
		if reset.Reason == twohop.ResetDeleted || !r.reset {
			r.finish()
			return
		}
		v := r.g.ch.TryRead(r.at)
		switch {
		case r.c.Blocked():
		case v != nil && len(v.Data) == 0: // say where it stands
			r.c.Queue(r.frame(v, wire.CacheToken(time.Now())))
		default:
			r.catchUp()
		}
	}
}
