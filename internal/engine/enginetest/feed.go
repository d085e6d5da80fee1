package enginetest

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"twohop"
	"twohop/internal/engine"
)

// feed is a sink that checks the rules of the feed and remembers what it told.
type feed struct {
	f    *fixture
	busy []atomic.Bool // per shard: Event is running

	hold chan struct{} // Event waits until it is closed; nil lets it go on

	mu       sync.Mutex
	stopped  bool          // the engine was closed; nothing may come
	changed  chan struct{} // closed at each event
	channels map[string]*told
	events   int
}

// told is what the feed told of a channel. After a Deleted it begins anew.
type told struct {
	known       bool // a Created was seen, not only what follows a reopen
	shard       int
	deleted     int // how often
	trims       int
	base        twohop.Offset // the tail at Created
	start, tail twohop.Offset
	closed      bool
	recs        []record
	batches     []kept
}

// kept is a batch as it was given and as it was then.
type kept struct {
	batch twohop.Batch
	data  string
}

func newFeed(f *fixture, shards int) *feed {
	return &feed{f: f, busy: make([]atomic.Bool, shards), changed: make(chan struct{}), channels: map[string]*told{}}
}

// Event implements engine.Sink.
func (s *feed) Event(shard int, e *engine.Event) {
	if s.busy[shard].Swap(true) {
		s.f.Errorf("Event is called concurrently for shard %d", shard)
	}
	defer s.busy[shard].Store(false)
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		s.f.Errorf("the feed told %+v after Close", e)
	}
	s.events++
	c := s.channels[e.Channel]
	if c == nil {
		c = &told{shard: shard}
		s.channels[e.Channel] = c
	}
	if c.shard != shard {
		s.f.Errorf("%s: the feed tells of it in shard %d and in shard %d", e.Channel, c.shard, shard)
	}
	s.take(c, e)
	close(s.changed)
	s.changed = make(chan struct{})
}

// take follows what an event tells. The caller holds the mutex.
func (s *feed) take(c *told, e *engine.Event) {
	switch e.Kind {
	case engine.Created:
		if c.known {
			s.f.Errorf("%s: Created while it is there", e.Channel)
		}
		*c = told{known: true, shard: c.shard, deleted: c.deleted, base: e.Tail, start: e.Start, tail: e.Tail}
	case engine.Appended:
		if c.known && (e.Batch.From != c.tail || c.closed) {
			s.f.Errorf("%s: Appended from %s, the feed was complete up to %s, closed %v", e.Channel, e.Batch.From, c.tail, c.closed)
		}
		if e.Batch.Next != e.Tail || e.Batch.Len() == 0 && !e.Closed {
			s.f.Errorf("%s: Appended %d records up to %s, tail %s, closed %v", e.Channel, e.Batch.Len(), e.Batch.Next, e.Tail, e.Closed)
		}
		for i := range e.Batch.Len() {
			c.recs = append(c.recs, record{data: string(e.Batch.Record(i))})
		}
		if n := len(c.recs); n > 0 {
			c.recs[n-1].after = e.Tail
		}
		c.batches = append(c.batches, kept{e.Batch, string(e.Batch.Data)})
		c.tail, c.closed = e.Tail, e.Closed
	case engine.Trimmed:
		if e.Start.Compare(c.start) <= 0 && c.known {
			s.f.Errorf("%s: Trimmed to %s, it began at %s", e.Channel, e.Start, c.start)
		}
		c.start = e.Start
		c.trims++
	case engine.Deleted:
		if c.tail != e.Tail && c.known {
			s.f.Errorf("%s: Deleted at tail %s, the feed was complete up to %s", e.Channel, e.Tail, c.tail)
		}
		c.known = false
		c.deleted++
	case engine.Broken:
		s.f.Errorf("shard %d: the feed broke", c.shard)
	}
}

// await waits until what was told of a channel is as ok wants it. The feed of
// an engine may come later than the answer to all but an append.
func (s *feed) await(f *fixture, name, what string, ok func(*told) bool) told {
	f.Helper()
	tooLate := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		c, changed := s.channels[name], s.changed
		if c != nil && ok(c) {
			defer s.mu.Unlock()
			return *c
		}
		s.mu.Unlock()
		select {
		case <-changed:
		case <-tooLate:
			f.Fatalf("%s: the feed does not tell that it is %s; it told %+v", name, what, c)
		}
	}
}

// check compares what was told of a channel with what was read of it.
func (s *feed) check(f *fixture, name string, info twohop.Info, got []record) {
	f.Helper()
	s.mu.Lock()
	c := s.channels[name]
	reopened := c == nil || !c.known && c.deleted == 0
	s.mu.Unlock()
	if reopened && f.suite.Reopen != nil {
		return // it came to be before the engine was opened again
	}
	c2 := s.await(f, name, "as Info says", func(c *told) bool {
		return c.known && c.tail == info.Tail && c.start == info.Start && c.closed == info.Closed
	})
	recs := c2.recs[max(0, len(c2.recs)-len(got)):] // what was trimmed is not read any more
	if err := same(got[len(got)-len(recs):], recs); err != nil {
		f.Fatalf("%s: the feed told something else than can be read: %v", name, err)
	}
	if len(recs) < len(got) && got[len(got)-len(recs)-1].after != c2.base {
		f.Fatalf("%s: the feed told %d records, but it began at %s", name, len(recs), c2.base)
	}
}

func (s *feed) awaitDeleted(f *fixture, name string) {
	f.Helper()
	s.await(f, name, "deleted", func(c *told) bool { return !c.known && c.deleted > 0 })
}

// tailOf is up to where the feed of a channel was complete.
func (s *feed) tailOf(name string) twohop.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[name]; c != nil {
		return c.tail
	}
	return twohop.Offset{}
}

func (s *feed) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events
}

func (s *feed) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

// unchanged checks that nothing wrote to the batches that the feed gave.
func (s *feed) unchanged(f *fixture) {
	f.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, c := range maps.All(s.channels) {
		for _, k := range c.batches {
			if string(k.batch.Data) != k.data {
				f.Errorf("%s: a batch that the feed told of changed from %q to %q", name, k.data, k.batch.Data)
			}
		}
	}
}
