package memlog

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"
)

// grid is how coarse the sweeper's times are, so that it wakes once for many
// appends. A channel is absent when it is due, though, not when it is swept.
const grid = int64(100 * time.Millisecond)

// farthest is how far ahead a look at a channel is planned; then it is planned anew.
const farthest = 24 * time.Hour

// scheduleLocked has the sweeper look at the channel when something becomes
// due: it expires, its oldest record, or its oldest key, or a chunk to be packed.
func (ch *channel) scheduleLocked() {
	s := &ch.state
	at := time.Time{}
	earliest := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if s.TTL > 0 || !s.ExpiresAt.IsZero() {
		earliest(ch.expiryLocked())
	}
	if s.Retention.Age > 0 && s.Start < s.Tail {
		earliest(time.Unix(0, ch.runLocked(s.Start).at).Add(s.Retention.Age))
	}
	if len(ch.keys.order) > 0 {
		earliest(time.Unix(0, ch.keys.order[0].at).Add(ch.engine.window + time.Nanosecond))
	}
	if c := ch.records.ripe(&ch.engine.chunking); c != nil {
		earliest(time.Unix(0, c.last().at).Add(ch.engine.chunking.rest + time.Nanosecond))
	}
	due := ch.due.Load()
	if at.IsZero() || due != 0 && time.Unix(0, due-grid).Before(at) {
		return // it is due by then
	}
	now := time.Now()
	ns := now.Add(min(at.Sub(now), farthest)).UnixNano()
	ns = (ns + grid - 1) / grid * grid
	if due == 0 || ns < due {
		ch.engine.sweeper.add(ch, ns)
	}
}

// packedAtOnce is how many chunks are packed before others have a turn: a
// fraction of a millisecond.
const packedAtOnce = 8

// sweep looks at a channel that is due.
func (e *Engine) sweep(ch *channel) {
	sh := e.shardOf(ch.name)
	sh.do(request{do: func() {
		now := time.Now()
		ch.mu.Lock()
		if ch.gone || ch.state.Deleted {
			ch.mu.Unlock()
			return
		}
		if ch.expiredLocked(now) {
			ch.mu.Unlock()
			sh.removeChannel(ch)
			return
		}
		t := ch.tellLocked()
		if ch.trimLocked(now) {
			t.trimmed, t.newStart = true, ch.state.Offset(ch.state.Start)
		}
		ch.releaseLocked(ch.keys.forget(now.UnixNano() - int64(e.window)))
		freed, more := ch.records.pack(&e.chunking, now.Add(-e.chunking.rest).UnixNano(), packedAtOnce)
		ch.releaseLocked(freed)
		if more {
			e.sweeper.add(ch, now.UnixNano()) // others have a turn first
		} else {
			ch.scheduleLocked()
		}
		ch.mu.Unlock()
		t.to(sh)
	}})
}

// sweeper calls back for channels when they are due.
type sweeper struct {
	started    atomic.Bool
	wake       chan struct{} // the earliest time moved up
	stop, done chan struct{}

	mu    sync.Mutex
	queue visits
}

// visit is a plan to look at a channel.
type visit struct {
	at int64 // channel.due, here so that other channels need not be looked at
	ch *channel
}

// visits are a heap with one visit for each channel that is due some time. It
// pushes and pops channels, which takes no memory of its own.
type visits []visit

func (v visits) Len() int           { return len(v) }
func (v visits) Less(i, j int) bool { return v[i].at < v[j].at }

func (v visits) Swap(i, j int) {
	v[i], v[j] = v[j], v[i]
	v[i].ch.visit, v[j].ch.visit = i+1, j+1
}

func (v *visits) Push(x any) {
	ch := x.(*channel)
	*v = append(*v, visit{ch.due.Load(), ch})
	ch.visit = len(*v)
}

func (v *visits) Pop() any {
	last := len(*v) - 1
	ch := (*v)[last].ch
	(*v)[last] = visit{}
	*v = (*v)[:last]
	ch.visit = 0
	ch.due.Store(0)
	return ch
}

func newSweeper() sweeper {
	return sweeper{wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
}

// add plans the visit of a channel, or moves it.
func (s *sweeper) add(ch *channel, at int64) {
	s.mu.Lock()
	ch.due.Store(at)
	if i := ch.visit - 1; i >= 0 {
		s.queue[i].at = at
		heap.Fix(&s.queue, i)
	} else {
		heap.Push(&s.queue, ch)
	}
	first := ch.visit == 1
	s.mu.Unlock()
	if first {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// remove gives up the visit of a channel that is gone: until its time came it
// would keep the channel.
func (s *sweeper) remove(ch *channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch.visit > 0 {
		heap.Remove(&s.queue, ch.visit-1)
	}
}

// next is a channel that is due, or how long until one is; 0 if none ever is.
func (s *sweeper) next(now int64) (*channel, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil, 0
	}
	if v := s.queue[0]; v.at > now {
		return nil, time.Duration(v.at - now)
	}
	return heap.Pop(&s.queue).(*channel), 0
}

// run is the sweeper's goroutine, from Follow to close.
func (s *sweeper) run(visit func(*channel)) {
	defer close(s.done)
	timer := time.NewTimer(farthest)
	defer timer.Stop()
	for {
		ch, wait := s.next(time.Now().UnixNano())
		if ch != nil {
			visit(ch)
			continue
		}
		if wait == 0 {
			wait = farthest
		}
		timer.Reset(wait)
		select {
		case <-s.stop:
			return
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// close stops the goroutine and waits for it.
func (s *sweeper) close() {
	if s.started.Load() {
		close(s.stop)
		<-s.done
	}
}
