//go:build linux

package httpstream

import (
	"context"
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

// group is the readers of a channel that wait on one loop. Turns are short: a
// publish that comes in between is seen by all that were not served yet.
type group struct {
	hub.Crowd[*reader] // that wait

	p       *parkedLoop
	ch      *hub.Channel
	wait    *time.Timer // for the budget
	members int         // with those that catch up
	gone    bool        // the channel is, or its feed broke
}

// Place implements hub.Member.
func (r *reader) Place() *int32 { return &r.ix }

// Moved implements hub.Watcher.
func (g *group) Moved() {
	if g.Note() {
		g.schedule(g.Budget)
	}
}

func (g *group) schedule(after time.Duration) {
	if g.wait != nil {
		g.wait.Reset(after)
		return
	}
	g.p.loop.PostFanOut(g)
}

const turnReaders = 64

// Turn implements park.Task.
func (g *group) Turn() bool {
	if g.Begin(g.p.loop.Time()) && (g.ch.Stale() || g.ch.Deleted()) {
		g.gone = true
	}
	if g.gone {
		if g.disperse(); g.Len() > 0 {
			return true
		}
	}
	var page memo
	if g.Look(turnReaders, func(r *reader) {
		if r.visit(&page) {
			g.Again()
		}
	}) {
		return true
	}
	if after, more := g.Rest(); more {
		g.schedule(after)
	}
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
			m.token = wire.CacheToken(g.p.loop.Time())
		}
	}
	return m.view
}

// visit gives a waiting reader what it lacks. It returns true if there is more,
// and room for it.
func (r *reader) visit(page *memo) (more bool) {
	if r.c.Blocked() {
		return false // it catches up when it has room
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
			return false
		}
		return !v.UpToDate && !r.c.Blocked()
	}
	return false
}

// wait puts a reader that stands at an offset into its group; b begins with its
// request. It returns false if it had to be cut off, or the channel is opened
// again first.
func (r *reader) wait(b []byte, ch *hub.Channel, at twohop.Offset, a *ask) bool {
	if r.eof {
		r.c.Close() // nobody waits
		return false
	}
	p := r.p
	key := groupKey{ch, a.q.budget.time()}
	g := p.groups[key]
	if g == nil {
		if !p.h.hub.Adopt(ch) {
			_, _ = wire.ParseRequest(b, &p.req) // other requests may have come since
			r.open(b, ch.Name(), *a)            // it left the hub this very moment
			return false
		}
		g = &group{p: p, ch: ch}
		if g.Budget = key.budget; g.Budget > 0 {
			g.wait = time.AfterFunc(time.Hour, func() { p.loop.Post(g) })
			g.wait.Stop()
		}
		p.groups[key] = g
		ch.Watch(g)
	}
	r.live = a.q.live
	r.count(1)
	ch.AddReader(1)
	r.g, r.at = g, at
	g.members++
	g.Add(r)
	r.state = waiting
	if ch.Ahead(at) {
		g.Moved() // of what came before the group watched
	}
	return true
}

// leave takes a reader out of its group.
func (r *reader) leave() {
	g := r.g
	if g == nil {
		return
	}
	if r.state == waiting {
		g.Remove(r)
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
		delete(g.p.groups, groupKey{g.ch, g.Budget})
		g.ch.Close()
	}
}

// disperse ends some of the responses of a channel that is gone, or whose feed
// broke: the clients ask again, and are told.
func (g *group) disperse() {
	reset := (&twohop.Reset{Reason: twohop.ResetDeleted}).Error(g.ch.Info().Name, twohop.Offset{})
	for range min(turnReaders, g.Len()) {
		r := g.Last()
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
		if !r.visit(&memo{from: r.at, view: v, token: wire.CacheToken(r.p.loop.Time())}) {
			return
		}
	}
	r.g.Moved()
}

// behind reads a page from the engine, elsewhere.
func (r *reader) behind() {
	g := r.g
	g.Remove(r)
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
	d.g.Add(r)
	r.readOn()
	more := false
	if d.err != nil {
		r.failed(d.err)
	} else {
		more = r.visit(&memo{from: d.at, view: d.view, token: wire.CacheToken(r.p.loop.Time())})
	}
	switch {
	case r.g != d.g || r.state != waiting:
	case r.p.draining: // which began while it read
		r.finish()
	case r.c.Blocked():
	case more:
		r.catchUp()
	case d.g.ch.Ahead(r.at): // something happened while it was not in the group
		d.g.Moved()
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
		case v != nil && len(v.Data) == 0 && !v.Closed: // say where it stands
			r.c.Queue(r.frame(v, wire.CacheToken(r.p.loop.Time())))
		default:
			r.catchUp()
		}
	}
}
