package memlog

import (
	"context"
	"sync"

	"twohop"
	"twohop/internal/engine"
)

// shard is some of the channels, chosen by a hash of the name. Its changes are
// carried out one after the other by whoever found nobody doing it.
type shard struct {
	engine *Engine
	index  int

	queue struct {
		sync.Mutex
		waiting  []request
		draining bool
		closed   bool
	}

	// Of the goroutine that drains.
	spare []request
	event engine.Event

	names    sync.RWMutex // guards channels; taken last
	channels map[string]*channel
}

// request is a change of a shard: an append, or something else to do.
type request struct {
	append *twohop.Append
	done   func(twohop.Ack, error)
	do     func()
}

// do queues a request and sees to it that it is carried out, maybe before it
// returns. It returns false if the shard is closed.
func (sh *shard) do(r request) bool {
	q := &sh.queue
	q.Lock()
	if q.closed {
		q.Unlock()
		return false
	}
	q.waiting = append(q.waiting, r)
	if q.draining {
		q.Unlock()
		return true
	}
	q.draining = true
	sh.engine.drains.Add(1)
	q.Unlock()
	if sh.drainOnce() {
		go sh.drain() // others kept queueing: they are not this caller's to carry out for ever
	}
	return true
}

// wait queues f and waits until it is done.
func (sh *shard) wait(ctx context.Context, name string, f func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan struct{})
	if !sh.do(request{do: func() { f(); close(done) }}) {
		return errClosed(name)
	}
	<-done
	return nil
}

func (sh *shard) drain() {
	for sh.drainOnce() {
	}
}

// drainOnce carries out what is queued, and reports whether more came
// meanwhile. If not, nobody drains any more.
func (sh *shard) drainOnce() bool {
	q := &sh.queue
	q.Lock()
	work := q.waiting
	q.waiting = sh.spare
	q.Unlock()
	for i := range work {
		if r := &work[i]; r.do != nil {
			r.do()
		} else {
			r.done(sh.append(r.append))
		}
	}
	clear(work)
	sh.spare = work[:0]
	q.Lock()
	defer q.Unlock()
	if len(q.waiting) > 0 {
		return true
	}
	q.draining = false
	sh.engine.drains.Done()
	return false
}

// close refuses what comes from now on.
func (sh *shard) close() {
	sh.queue.Lock()
	defer sh.queue.Unlock()
	sh.queue.closed = true
}

// tell gives the shard's event to the feed. Only the goroutine that drains
// calls it, with no lock held.
func (sh *shard) tell(e engine.Event) {
	sh.event = e
	sh.engine.sink.Event(sh.index, &sh.event)
	sh.event = engine.Event{}
}

func (sh *shard) lookup(name string) *channel {
	sh.names.RLock()
	defer sh.names.RUnlock()
	return sh.channels[name]
}

func (sh *shard) put(ch *channel) {
	sh.names.Lock()
	defer sh.names.Unlock()
	sh.channels[ch.name] = ch
}

// drop forgets a channel, if its name has not gone to another one.
func (sh *shard) drop(ch *channel) {
	sh.names.Lock()
	defer sh.names.Unlock()
	if sh.channels[ch.name] == ch {
		delete(sh.channels, ch.name)
	}
}

func (sh *shard) all() []*channel {
	sh.names.RLock()
	defer sh.names.RUnlock()
	all := make([]*channel, 0, len(sh.channels))
	for _, ch := range sh.channels {
		all = append(all, ch)
	}
	return all
}
