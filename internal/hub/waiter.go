package hub

import (
	"slices"
	"sync"

	"twohop"
)

// Waiter is a reader asleep at the tail. It belongs to its reader, who may use
// it again for the same channel at any time. A wake that was under way when it
// was cancelled may still come, also while it waits again.
type Waiter struct {
	Wake func() // called once a Wait, from a goroutine of the hub; must not block

	ch         *Channel // not nil while waiting; guarded by ch.mu
	prev, next *Waiter
}

// Watcher is told, from the feed, each time that something happens to a channel.
// It stands for many readers and must do no more than to take note.
type Watcher interface{ Moved() }

// Watch adds a watcher.
func (c *Channel) Watch(w Watcher) {
	c.mu.Lock()
	c.watch = append(slices.Clip(c.watch), w)
	c.mu.Unlock()
}

// Unwatch takes a watcher out. It may still be told of something under way.
func (c *Channel) Unwatch(w Watcher) {
	c.mu.Lock()
	c.watch = without(c.watch, w)
	c.mu.Unlock()
}

// without returns a list without a watcher. Who walks the old one may go on.
func without(list []Watcher, w Watcher) []Watcher {
	if len(list) == 1 && list[0] == w {
		return nil // the usual
	}
	return slices.DeleteFunc(slices.Clone(list), func(x Watcher) bool { return x == w })
}

// waiters is a list of waiters; guarded by the channel's mu.
type waiters struct {
	first *Waiter
	n     int
}

// Wait puts a waiter to sleep until there is something to read after an offset,
// or the channel is closed or gone. It returns false, and does not wait, if
// that is so already.
func (c *Channel) Wait(w *Waiter, after twohop.Offset) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.ch != nil {
		c.remove(w) // an old wake made the reader believe that it was woken
	}
	if c.aheadLocked(after) {
		return false
	}
	w.ch, w.prev, w.next = c, nil, c.waiters.first
	if w.next != nil {
		w.next.prev = w
	}
	c.waiters.first = w
	c.waiters.n++
	return true
}

// Cancel ends a Wait. It returns false if the waiter was woken before.
func (c *Channel) Cancel(w *Waiter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.ch == nil {
		return false
	}
	c.remove(w)
	return true
}

// remove takes a waiter out of the list; mu is held.
func (c *Channel) remove(w *Waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		c.waiters.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	w.ch = nil
	c.waiters.n--
}

// wakeAll takes all waiters and wakes them with no lock held. It uses buf, and
// returns it for the next call: a waiter's own links are its reader's again as
// soon as the lock is open.
func (c *Channel) wakeAll(buf []*Waiter) []*Waiter {
	c.mu.Lock()
	for w := c.waiters.first; w != nil; w = w.next {
		w.ch = nil
		buf = append(buf, w)
	}
	c.waiters = waiters{}
	c.queued = false
	c.mu.Unlock()
	for i, w := range buf {
		w.Wake()
		buf[i] = nil
	}
	return buf[:0]
}

// waker wakes the waiters of channels whose tail moved, so that publishers
// don't have to. A channel stands in its queue at most once, however often its
// tail moves.
type waker struct {
	signal chan struct{}
	mu     sync.Mutex
	queue  []*Channel
}

func newWaker() *waker { return &waker{signal: make(chan struct{}, 1)} }

func (w *waker) add(c *Channel) {
	w.mu.Lock()
	w.queue = append(w.queue, c)
	w.mu.Unlock()
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

func (w *waker) run(stop <-chan struct{}) {
	var batch []*Channel
	var buf []*Waiter
	for {
		select {
		case <-w.signal:
		case <-stop:
			return
		}
		w.mu.Lock()
		batch, w.queue = w.queue, batch[:0]
		w.mu.Unlock()
		for i, c := range batch {
			buf = c.wakeAll(buf)
			batch[i] = nil
		}
	}
}
