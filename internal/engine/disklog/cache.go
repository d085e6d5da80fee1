package disklog

import (
	"sync"
	"time"
)

// cache holds the channels that were used lately, and all that the committer is
// at work on: those are pinned, so that nobody loads from the store what is
// written there but not yet committed. Loading is done by one goroutine for all
// that want the channel. There are two generations: what was not used in one is
// dropped at the end of the next, once its last use is persisted.
type cache struct {
	limit int // of entries in the young generation
	load  func(name string) (*channel, int64, error)

	mu struct {
		sync.Mutex
		young, old map[string]*entry
		unsaved    []string // see there
		stayed     int      // entries that were to be dropped, and were not
	}
}

type entry struct {
	name  string
	ready chan struct{} // closed when loaded

	// Guarded by the cache's lock.
	ch     *channel // what readers see; nil is absent
	used   int64    // when it was last used, Unix microseconds
	err    error
	pins   int
	listed bool // among cache.mu.unsaved
}

func newCache(limit int, load func(string) (*channel, int64, error)) *cache {
	c := &cache{limit: limit, load: load}
	c.mu.young, c.mu.old = map[string]*entry{}, map[string]*entry{}
	return c
}

// pin finds or loads an entry, which then stays until unpin.
func (c *cache) pin(name string) (*entry, error) {
	c.mu.Lock()
	e := c.findLocked(name)
	if e != nil {
		e.pins++
		c.mu.Unlock()
		<-e.ready
	} else {
		e = &entry{name: name, ready: make(chan struct{}), pins: 1}
		c.addLocked(e)
		c.mu.Unlock()
		ch, used, err := c.load(name)
		c.mu.Lock()
		e.ch, e.used, e.err = ch, used, err
		c.mu.Unlock()
		close(e.ready)
	}
	c.mu.Lock()
	err := e.err
	c.mu.Unlock()
	if err != nil {
		c.unpin(e)
		return nil, err
	}
	return e, nil
}

// tryPin is pin for an entry that is in the cache.
func (c *cache) tryPin(name string) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.loadedLocked(name); e != nil && e.err == nil {
		e.pins++
		return e, nil
	}
	return nil, errElsewhere
}

// unpin lets an entry go. What is absent or failed to load is not kept.
func (c *cache) unpin(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.pins--; e.pins == 0 && (e.ch == nil || e.err != nil) {
		delete(c.mu.young, e.name)
		delete(c.mu.old, e.name)
	}
}

// get is what readers see of a channel now.
func (c *cache) get(name string) (*channel, int64, error) {
	if ch, used, ok := c.peek(name); ok {
		return ch, used, nil
	}
	e, err := c.pin(name)
	if err != nil {
		return nil, 0, err
	}
	ch, used := c.read(e)
	c.unpin(e)
	return ch, used, nil
}

// peek is get for a channel that is in the cache.
func (c *cache) peek(name string) (ch *channel, used int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.loadedLocked(name); e != nil && e.err == nil {
		return e.ch, e.used, true
	}
	return nil, 0, false
}

func (c *cache) read(e *entry) (*channel, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return e.ch, e.used
}

// publish shows a channel to readers, used at some time if that is not 0.
func (c *cache) publish(e *entry, ch *channel, used int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch == nil || e.ch == nil || ch.id != e.ch.id {
		e.used = 0
	}
	e.ch, e.used = ch, max(e.used, used)
}

// touch marks a channel as used. It reports false if it is not in the cache.
func (c *cache) touch(name string, now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.loadedLocked(name)
	if e == nil {
		return false
	}
	if e.ch != nil && !e.ch.expired(e.used, time.UnixMicro(now)) {
		e.used = max(e.used, now)
	}
	return true
}

// unsaved names channels whose last use is not persisted: those that would have
// been dropped but for that, or all.
func (c *cache) unsaved(all bool) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := c.mu.unsaved
	c.mu.unsaved = nil
	for _, name := range names {
		for _, e := range []*entry{c.mu.young[name], c.mu.old[name]} {
			if e != nil {
				e.listed = false // until the next time
			}
		}
	}
	if all {
		for _, gen := range []map[string]*entry{c.mu.young, c.mu.old} {
			for name, e := range gen {
				if e.unsaved() {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

func (e *entry) unsaved() bool { return e.ch != nil && e.ch.TTL > 0 && e.used > e.ch.persistedUse() }

// age drops what was not used since the last but one time.
func (c *cache) age() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ageLocked()
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.young) + len(c.mu.old)
}

func (c *cache) findLocked(name string) *entry {
	e := c.mu.young[name]
	if e != nil {
		return e
	}
	if e = c.mu.old[name]; e != nil {
		delete(c.mu.old, name)
		c.addLocked(e)
	}
	return e
}

// loadedLocked is findLocked for an entry that nobody loads just now.
func (c *cache) loadedLocked(name string) *entry {
	if e := c.findLocked(name); e != nil {
		select {
		case <-e.ready:
			return e
		default:
		}
	}
	return nil
}

func (c *cache) addLocked(e *entry) {
	if len(c.mu.young) >= c.limit+c.mu.stayed { // else those alone would have it age again and again
		c.ageLocked()
	}
	c.mu.young[e.name] = e
}

func (c *cache) ageLocked() {
	stay := map[string]*entry{}
	for name, e := range c.mu.old {
		unsaved := e.unsaved()
		if unsaved && !e.listed {
			e.listed = true
			c.mu.unsaved = append(c.mu.unsaved, name)
		}
		if unsaved || e.pins > 0 {
			stay[name] = e
		}
	}
	c.mu.old, c.mu.young, c.mu.stayed = c.mu.young, stay, len(stay)
}
