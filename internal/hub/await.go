package hub

import (
	"slices"
	"sync"
	"sync/atomic"
)

// awaited is the names of channels that somebody waits for, because they do not
// exist yet.
type awaited struct {
	n  atomic.Int64 // of names, so that nobody pays for a table that is empty
	mu sync.Mutex   // guards names; a leaf
	// names is bounded by MaxAwaited.
	names map[string][]Watcher
}

// MaxAwaited is how many channels that do not exist can be waited for.
const MaxAwaited = 1 << 20

// Await tells a watcher when a channel of a name comes to be, or may have. Who
// awaits looks once more afterwards: the channel may have come just before. It
// returns false if too many are awaited.
func (h *Hub) Await(name string, w Watcher) bool {
	a := &h.awaited
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.names == nil {
		a.names = map[string][]Watcher{}
	}
	l, has := a.names[name]
	if !has {
		if len(a.names) >= MaxAwaited {
			return false
		}
		a.n.Add(1)
	}
	a.names[name] = append(slices.Clip(l), w)
	return true
}

// Unawait ends an Await. The watcher may still be told of something under way.
func (h *Hub) Unawait(name string, w Watcher) {
	a := &h.awaited
	a.mu.Lock()
	defer a.mu.Unlock()
	l, has := a.names[name]
	if !has {
		return
	}
	if rest := without(l, w); len(rest) > 0 {
		a.names[name] = rest
		return
	}
	delete(a.names, name)
	a.n.Add(-1)
}

// came tells who awaits a channel that it came to be.
func (a *awaited) came(name string) {
	if a.n.Load() == 0 {
		return
	}
	a.mu.Lock()
	l := a.names[name]
	a.mu.Unlock()
	for _, w := range l {
		w.Moved()
	}
}

// all tells everyone: what came to be was not heard of.
func (a *awaited) all() {
	var all []Watcher
	a.mu.Lock()
	for _, l := range a.names {
		all = append(all, l...)
	}
	a.mu.Unlock()
	for _, w := range all {
		w.Moved()
	}
}
