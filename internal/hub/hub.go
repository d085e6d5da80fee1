// Package hub holds one node's live channels: those that someone reads now, or
// read a moment ago. It follows the engine's feed, keeps the newest records of
// live channels in memory, and wakes who waits.
//
// Invariant: nothing is kept per reader but its waiter while it waits: no
// queue, no copy of a record. A wake carries no data and says only "look"; what
// a reader sees it reads at its offset. What the hub knows of a tail came from
// the engine. Publishing does O(1) work here, whoever listens: wakes are done
// by other goroutines.
package hub

import (
	"context"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"twohop"
	"twohop/internal/engine"
)

// Options of a hub. Zero values are the defaults.
type Options struct {
	TailBytes int // of recent records kept for a live channel; 1 MiB
	PageBytes int // that one read returns; 256 KiB
	IdleKept  int // channels without readers that are kept for the next one; 1,024
	IdleTime  time.Duration
	// Changed is told of every append, and of every fork that inherits records,
	// from the feed: it must return at once.
	Changed func(channel string, tail twohop.Offset)
	// Deleted is told of every deletion and expiry, from the feed: it must return
	// at once.
	Deleted func(channel string)
	// Lost is told when the feed lost its place: any channel may have changed.
	// It must return at once.
	Lost func()
}

func (o *Options) setDefaults() {
	if o.TailBytes == 0 {
		o.TailBytes = 1 << 20
	}
	if o.PageBytes == 0 {
		o.PageBytes = 256 << 10
	}
	if o.IdleKept == 0 {
		o.IdleKept = 1024
	}
	if o.IdleTime == 0 {
		o.IdleTime = 30 * time.Second
	}
}

const shards = 64

// Hub is the live channels over one engine.
type Hub struct {
	eng  engine.Engine
	opts Options
	seed maphash.Seed

	shards  [shards]shard
	wakers  []*waker
	awaited awaited
	idle    atomic.Int64  // live channels without readers
	closing sync.Mutex    // orders enter and Close
	places  chan struct{} // a token for each read of the engine that is under way
	stop    chan struct{}
	stopped sync.WaitGroup
}

type shard struct {
	sync.Mutex // guards live; never held with a channel's lock wanted or across a call out
	live       map[string]*Channel
}

// New makes a hub and starts the engine's feed into it.
func New(eng engine.Engine, opts Options) *Hub {
	opts.setDefaults()
	h := &Hub{eng: eng, opts: opts, seed: maphash.MakeSeed(), places: make(chan struct{}, deepReads), stop: make(chan struct{})}
	for i := range h.shards {
		h.shards[i].live = map[string]*Channel{}
	}
	for range min(4, runtime.GOMAXPROCS(0)) {
		w := newWaker()
		h.wakers = append(h.wakers, w)
		h.stopped.Go(func() { w.run(h.stop) })
	}
	h.stopped.Go(h.sweep)
	eng.Follow(h)
	return h
}

// Close stops the hub's goroutines. It does not close the engine.
func (h *Hub) Close() {
	h.closing.Lock()
	close(h.stop)
	h.closing.Unlock()
	h.stopped.Wait()
}

// enter begins something that Close waits for, to be ended by stopped.Done. It
// returns false when it is too late for that.
func (h *Hub) enter() bool {
	h.closing.Lock()
	defer h.closing.Unlock()
	select {
	case <-h.stop:
		return false
	default:
	}
	h.stopped.Add(1)
	return true
}

// Engine is the engine below.
func (h *Hub) Engine() engine.Engine { return h.eng }

func (h *Hub) hash(name string) uint64 { return maphash.String(h.seed, name) }

func (h *Hub) shard(name string) *shard { return &h.shards[h.hash(name)%shards] }

// lookup returns the live channel of a name, or nil.
func (h *Hub) lookup(name string) *Channel {
	s := h.shard(name)
	s.Lock()
	c := s.live[name]
	s.Unlock()
	return c
}

// Peek returns a live channel to read from just now, or nil: then Open it. To
// keep it, Adopt it.
func (h *Hub) Peek(name []byte) *Channel {
	s := &h.shards[maphash.Bytes(h.seed, name)%shards]
	s.Lock()
	c := s.live[string(name)]
	if c == nil || !c.usable() {
		s.Unlock()
		return nil
	}
	if c.refs == 0 {
		c.idleSince = time.Since(began)
	}
	s.Unlock()
	if !c.living() {
		return nil
	}
	return c
}

// MoveIn has the engine work on a loop, where it can and has none. It is called
// before the loop runs.
func (h *Hub) MoveIn(l engine.Loop) {
	if e, ok := h.eng.(engine.Resident); ok {
		e.MoveIn(l)
	}
}

// MoveOut has the engine leave its loop, before that ends.
func (h *Hub) MoveOut() {
	if e, ok := h.eng.(engine.Resident); ok {
		e.MoveOut()
	}
}

// TryOpen is Open where nothing may wait. It returns nil where the engine has to
// be asked.
func (h *Hub) TryOpen(name string) *Channel {
	known, ok := h.eng.(engine.Knower)
	if !ok {
		return nil
	}
	if _, ok := known.Known(name); !ok {
		return nil // and leaves no trace
	}
	s, c, mine := h.join(name)
	if !mine {
		s.Lock()
		usable := c.usable()
		s.Unlock()
		if !usable || !c.living() {
			h.release(c)
			return nil
		}
		return c
	}
	if info, ok := known.Known(name); ok && c.loadAs(info) { // again, as the feed tells it now what comes
		c.settled()
		if mortal(&info) {
			h.eng.Touch(name)
		}
		return c
	}
	go func() { // something happened that very moment
		c.load(context.Background()) //nolint:forbidigo // the engine bounds its own time
		h.release(c)
	}()
	return nil
}

// Adopt counts in one more reader of a channel that was peeked at, who must
// Close it. It fails if the channel has left the hub.
func (h *Hub) Adopt(c *Channel) bool {
	s := h.shard(c.name)
	s.Lock()
	defer s.Unlock()
	if s.live[c.name] != c {
		return false
	}
	if c.refs == 0 {
		h.idle.Add(-1)
	}
	c.refs++
	return true
}

// Open returns the live channel of a name for one reader, who must Close it.
func (h *Hub) Open(ctx context.Context, name string) (*Channel, error) {
	c, joined, err := h.open(ctx, name)
	if err != nil && joined && ctx.Err() == nil {
		// The engine was asked for somebody else, maybe before this reader was
		// told that the channel exists.
		c, _, err = h.open(ctx, name)
	}
	return c, err
}

// loaded is the closed Go channel that channels wait on when they are loaded.
var loaded = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// join counts in one more reader of a channel that is live or becomes it now:
// then it is the caller's to load.
func (h *Hub) join(name string) (s *shard, c *Channel, mine bool) {
	hash := h.hash(name)
	s = &h.shards[hash%shards]
	s.Lock()
	defer s.Unlock()
	c = s.live[name]
	switch {
	case c == nil:
		mine = true
		c = &Channel{hub: h, name: name, waker: h.wakers[hash/shards%uint64(len(h.wakers))]}
		s.live[name] = c
	case c.refs == 0:
		h.idle.Add(-1)
	case c.ready == nil:
		c.ready = make(chan struct{})
	}
	c.refs++
	return s, c, mine
}

// open is Open for one try. It reports whether it joined another's.
func (h *Hub) open(ctx context.Context, name string) (_ *Channel, joined bool, _ error) {
	s, c, mine := h.join(name)
	if mine {
		c.load(ctx)
	}
	joined = !mine
	s.Lock()
	ready := c.ready
	s.Unlock()
	select {
	case <-ready:
	case <-ctx.Done():
		h.release(c)
		return nil, joined, ctx.Err()
	}
	err := c.err
	if err == nil {
		err = c.fresh(ctx)
	}
	if err != nil {
		h.release(c)
		return nil, joined, err
	}
	return c, joined, nil
}

func (h *Hub) release(c *Channel) {
	s := h.shard(c.name)
	s.Lock()
	c.refs--
	if c.refs == 0 && s.live[c.name] == c {
		if c.err != nil || h.idle.Load() >= int64(h.opts.IdleKept) {
			delete(s.live, c.name)
		} else {
			h.idle.Add(1)
			c.idleSince = time.Since(began)
		}
	}
	s.Unlock()
}

// forget takes a channel out of the hub; who holds it may go on with it.
func (h *Hub) forget(c *Channel) {
	s := h.shard(c.name)
	s.Lock()
	if s.live[c.name] == c {
		delete(s.live, c.name)
		if c.refs == 0 {
			h.idle.Add(-1)
		}
	}
	s.Unlock()
}

// sweep drops channels that nobody has read for a while.
func (h *Hub) sweep() {
	t := time.NewTicker(h.opts.IdleTime / 2)
	defer t.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-t.C:
		}
		if h.idle.Load() == 0 {
			continue
		}
		for i := range h.shards {
			s := &h.shards[i]
			s.Lock()
			for name, c := range s.live {
				if c.refs == 0 && time.Since(began)-c.idleSince > h.opts.IdleTime {
					delete(s.live, name)
					h.idle.Add(-1)
				}
			}
			s.Unlock()
		}
	}
}

// Event implements engine.Sink.
func (h *Hub) Event(_ int, e *engine.Event) {
	if e.Kind == engine.Broken {
		h.broken()
		h.awaited.all()
		if h.opts.Lost != nil {
			h.opts.Lost()
		}
		return
	}
	// What a fork inherits comes with no Appended.
	grown := e.Kind == engine.Appended || e.Kind == engine.Created && e.Start != e.Tail
	if grown && h.opts.Changed != nil {
		h.opts.Changed(e.Channel, e.Tail)
	}
	if e.Kind == engine.Deleted && h.opts.Deleted != nil {
		h.opts.Deleted(e.Channel)
	}
	if e.Kind == engine.Created {
		h.awaited.came(e.Channel)
	}
	if c := h.lookup(e.Channel); c != nil {
		h.tell(c, e)
	}
}

// tell passes news on to a channel and those who wait for it.
func (h *Hub) tell(c *Channel, e *engine.Event) {
	wake, watch, gone := c.event(e)
	if gone {
		h.forget(c)
	}
	if wake {
		c.waker.add(c)
	}
	for _, w := range watch {
		w.Moved()
	}
}

// broken makes every channel ask the engine anew: the feed lost its place.
func (h *Hub) broken() {
	for i := range h.shards {
		s := &h.shards[i]
		s.Lock()
		live := s.live
		s.live = map[string]*Channel{}
		for _, c := range live {
			if c.refs == 0 {
				h.idle.Add(-1)
			}
		}
		s.Unlock()
		for _, c := range live {
			h.tell(c, &engine.Event{Kind: engine.Broken})
		}
	}
}

// deepReads bounds the reads of the engine at a time, and so the pages that are
// in memory for readers who are far behind.
const deepReads = 64

// readEngine reads a page that is not in memory. It is finished even if the
// reader who asked goes: others may wait for it.
func (h *Hub) readEngine(ctx context.Context, name string, from twohop.Offset) (twohop.Batch, error) {
	select {
	case h.places <- struct{}{}:
	case <-h.stop:
		return twohop.Batch{}, &twohop.Error{Code: twohop.CodeUnavailable, Channel: name, Message: "the server is stopping", Hint: "try again"}
	}
	defer func() { <-h.places }()
	return h.eng.Read(context.WithoutCancel(ctx), name, from, h.opts.PageBytes)
}

// Readers is the number of live readers of a channel on this node.
func (h *Hub) Readers(name string) int {
	if c := h.lookup(name); c != nil {
		return int(c.readers.Load())
	}
	return 0
}

// Live is the number of channels in the hub.
func (h *Hub) Live() (n int) {
	for i := range h.shards {
		h.shards[i].Lock()
		n += len(h.shards[i].live)
		h.shards[i].Unlock()
	}
	return n
}
