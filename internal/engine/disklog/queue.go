package disklog

import (
	"sync"
	"sync/atomic"
	"time"

	"twohop"
)

// item is something for the committer to do.
type item struct {
	kind itemKind
	name string
	add  *twohop.Append // itemAppend
	spec *twohop.Spec   // itemCreate
	id   uint64         // itemTrim: of the channel
	used int64          // itemTouch: when
	due  due            // itemLook; as it was when the item was made
	any  bool           // itemLook: whatever due is by now
	keys []due          // itemForget

	done  func(*result) // may be nil
	ended atomic.Bool   // done was called
}

// result is the answer to an item.
type result struct {
	ack  twohop.Ack
	info twohop.Info // of a creation
	err  error
}

type itemKind uint8

const (
	itemAppend itemKind = iota
	itemCreate
	itemDelete
	itemTouch  // persist that a channel was read
	itemTrim   // remove from the disk what is below the start
	itemLook   // see whether a channel expired or has records that are too old
	itemForget // remove idempotency keys whose window is over
	itemSync   // sync all before it
	itemPass   // nothing: its answer tells that all before it is shown
)

// client reports whether the item was asked for by a client.
func (it *item) client() bool { return it.kind <= itemDelete }

// finish answers the item unless that was done before.
func (it *item) finish(r *result) {
	if it.done != nil && it.ended.CompareAndSwap(false, true) {
		it.done(r)
	}
}

func (it *item) size() int {
	n := 256
	if it.add != nil {
		n += len(it.add.Data) + 4*len(it.add.Ends)
	}
	if it.spec != nil {
		n += len(it.spec.Data) + 4*len(it.spec.Ends)
	}
	return n
}

const (
	groupBytes = 4 << 20   // from here on the rest waits for the next group
	queueBytes = 256 << 20 // from here on appends are refused
)

// queue is what waits to be committed, in order: by the committer, or on a loop
// as long as nothing has to wait there. Whose turn it is has the queue, and what
// only the committer may touch, to himself until he gives it up.
type queue struct {
	wake chan struct{} // has a token when there may be something to do for the committer

	mu struct {
		sync.Mutex
		items  []*item
		bytes  int
		flight []*item // what the committer is at work on
		refuse error   // given to new items of clients
		want   int     // items below which the committer need not be woken
		closed bool

		ask    func() // the loop to look; nil is that there is none
		asked  bool   // that, and it has not begun to
		onLoop bool   // it is the loop's turn, at work
		away   bool   // it is the committer's turn, though there is a loop
		half   *group // which the committer is to end
	}
}

// add queues an item, or says why it is refused.
func (q *queue) add(it *item) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.mu.closed:
		return closing(it.name)
	case q.mu.refuse != nil && it.client():
		return q.mu.refuse
	case q.mu.bytes > queueBytes && it.client():
		return &twohop.Error{Code: twohop.CodeUnavailable, Channel: it.name, Message: "more is published than the disk can take",
			Hint: "slow down and try again"}
	}
	q.mu.items = append(q.mu.items, it)
	q.mu.bytes += it.size()
	q.stirLocked(it)
	return nil
}

// stirLocked has somebody look after a new item, if nobody will anyway.
func (q *queue) stirLocked(it *item) {
	switch {
	case q.mu.ask == nil || q.mu.away:
		if len(q.mu.items) >= q.mu.want {
			q.signal()
		}
	case q.mu.asked || q.mu.onLoop: // it will
	case !it.swift():
		q.mu.away = true
		q.signal()
	default:
		q.mu.asked = true
		q.mu.ask()
	}
}

// gather waits until the queue holds as many items as the last group had with
// those that came meanwhile, at most for a time: publishers who were answered
// just now and publish all the time then share the next sync too.
func (q *queue) gather(last int, limit time.Duration) {
	q.mu.Lock()
	want := last + len(q.mu.items)
	if q.mu.closed || last == 0 || want < 2 {
		q.mu.Unlock()
		return
	}
	q.mu.want = want
	q.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for enough := false; !enough; {
		select {
		case <-q.wake:
		case <-timer.C:
			enough = true
		}
		q.mu.Lock()
		enough = enough || len(q.mu.items) >= want || q.mu.closed
		if enough {
			q.mu.want = 0
		}
		q.mu.Unlock()
	}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take waits for what the committer is to do next, the next group of items or a
// group to end; false is the end.
func (q *queue) take() (items []*item, half *group, ok bool) {
	for {
		items, half, closed := q.tryTake()
		if items != nil || half != nil || closed {
			return items, half, !closed
		}
		<-q.wake
	}
}

func (q *queue) tryTake() (items []*item, half *group, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if half = q.mu.half; half != nil {
		q.mu.half = nil
		return nil, half, false
	}
	if q.mu.ask != nil && !q.mu.away || q.mu.onLoop {
		return nil, nil, false
	}
	items = q.takeLocked()
	return items, nil, q.mu.closed && items == nil
}

// takeLocked takes as many items as make a group.
func (q *queue) takeLocked() (g []*item) {
	n, size := 0, 0
	for n < len(q.mu.items) && size < groupBytes {
		size += q.mu.items[n].size()
		n++
	}
	g = q.mu.items[:n:n]
	q.mu.items = q.mu.items[n:]
	if len(q.mu.items) == 0 {
		q.mu.items = nil
	}
	q.mu.bytes -= size
	if n == 0 {
		g = nil
	}
	q.mu.flight = g
	return g
}

// landed tells that what the committer took last was dealt with, but for the
// items that are to come first in the next group. It reports whether that is up
// to the loop.
func (q *queue) landed(rest []*item) (onLoop bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.backLocked(rest)
	q.mu.away = false
	if q.mu.ask == nil {
		return false
	}
	if len(q.mu.items) > 0 {
		q.stirLocked(q.mu.items[0])
	}
	return !q.mu.away
}

// backLocked puts items that were taken back.
func (q *queue) backLocked(rest []*item) {
	q.mu.flight = nil
	if len(rest) > 0 {
		q.mu.items = append(rest, q.mu.items...)
		for _, it := range rest {
			q.mu.bytes += it.size()
		}
	}
}

// refuse turns clients' items away with an error, or lets them in again if that
// is nil. It returns those of clients that are in flight and those that were
// still waiting; the latter are no longer queued.
func (q *queue) refuse(err error) (flight, waiting []*item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.refuse = err
	if err == nil {
		return nil, nil
	}
	for _, it := range q.mu.flight {
		if it.client() {
			flight = append(flight, it)
		}
	}
	var stay []*item
	q.mu.bytes = 0
	for _, it := range q.mu.items {
		if it.client() {
			waiting = append(waiting, it)
		} else {
			stay = append(stay, it)
			q.mu.bytes += it.size()
		}
	}
	q.mu.items = stay
	return flight, waiting
}

func (q *queue) close() {
	q.mu.Lock()
	q.mu.closed = true
	q.mu.Unlock()
	q.signal()
}

func closing(channel string) error {
	return &twohop.Error{Code: twohop.CodeUnavailable, Channel: channel, Message: "the server is stopping",
		Hint: "try again, at another node if there is one"}
}
