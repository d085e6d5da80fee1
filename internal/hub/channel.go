package hub

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"twohop"
	"twohop/internal/engine"
)

var began = time.Now()

// Channel is a live channel.
type Channel struct {
	// immutable
	hub   *Hub
	name  string
	waker *waker
	err   error // of loading

	// guarded by the lock of the hub's shard
	ready     chan struct{} // closed when loaded; then err and what of info never changes may be read. nil while nobody waits for that
	refs      int
	idleSince time.Duration // since the process began

	readers atomic.Int32 // live readers

	renewal struct {
		sync.Mutex
		timer *time.Timer // while a channel with a TTL has live readers
	}

	// mu guards what follows. It is held for copying a few words only, so
	// neither the feed nor a reader ever waits long for it.
	mu      sync.Mutex
	info    twohop.Info
	loaded  bool
	early   []engine.Event // what the feed told before the channel was loaded
	deleted bool
	stale   bool // the feed broke: reopen
	tail    tail
	first   *View                   // of the reads since the tail last moved: most are the same
	views   map[twohop.Offset]*View // the others
	held    int                     // bytes of records in both
	deep    map[twohop.Offset]*deepRead
	rest    *View // of the read at the tail, which has nothing
	waiters waiters
	queued  bool      // in the waker's queue
	watch   []Watcher // replaced, never changed, so that it can be walked without the lock
}

// load asks the engine about the channel once for all that opened it. The
// channel is in the hub already, so what the feed tells meanwhile is not missed.
func (c *Channel) load(ctx context.Context) {
	defer c.settled()
	for {
		info, err := c.hub.eng.Info(context.WithoutCancel(ctx), c.name)
		if err != nil {
			c.err = err
			c.hub.forget(c)
			return
		}
		if c.loadAs(info) {
			return
		}
	}
}

// loadAs takes what the engine told, and what the feed told meanwhile. It
// returns false if that leaves open which channel of the name the engine told
// of: one was deleted while it was asked.
func (c *Channel) loadAs(info twohop.Info) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	early := c.early
	c.early = nil
	told := func(k engine.EventKind) bool {
		return slices.ContainsFunc(early, func(e engine.Event) bool { return e.Kind == k })
	}
	if told(engine.Deleted) {
		c.stale = c.stale || told(engine.Broken) // it left the hub with that, and hears of nothing more
		return false
	}
	c.info, c.loaded = info, true
	c.tail.reset(info.Tail)
	for i := range early {
		c.apply(&early[i])
	}
	return true
}

// settled tells all that wait for the channel that it was loaded, or not.
func (c *Channel) settled() {
	s := c.hub.shard(c.name)
	s.Lock()
	defer s.Unlock()
	if c.ready != nil {
		close(c.ready)
	}
	c.ready = loaded // one for all: a live channel is to be small
}

// mortal reports whether a channel can end by itself.
func mortal(i *twohop.Info) bool { return i.TTL != 0 || !i.ExpiresAt.IsZero() }

// fresh asks the engine again where a lifetime could have ended unnoticed, and
// renews a sliding one.
func (c *Channel) fresh(ctx context.Context) error {
	if c.living() {
		return nil
	}
	if _, err := c.hub.eng.Info(ctx, c.name); err != nil {
		return err
	}
	c.hub.eng.Touch(c.name)
	return nil
}

// event takes news from the feed and says who is to be told of it, and whether
// the channel is no more.
func (c *Channel) event(e *engine.Event) (wake bool, watch []Watcher, gone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.loaded {
		c.early = append(c.early, *e)
		return false, nil, false
	}
	c.apply(e)
	wake = !c.queued && c.waiters.first != nil
	c.queued = c.queued || wake
	return wake, c.watch, c.deleted
}

// apply carries out one event; mu is held.
//
// The engine may show a channel before the feed tells of it, so what comes may be
// late: of an earlier channel of the name, or part of the Info already. Its tail is
// then below the known one, as a new log has a larger epoch than all before it.
// What is not seen so: late news for a fork whose tail is still its source's, of an
// earlier channel that had got further.
func (c *Channel) apply(e *engine.Event) {
	late := e.Tail.Compare(c.info.Tail) < 0
	switch e.Kind {
	case engine.Appended:
		if late {
			return
		}
		c.forgetViews()
		c.tail.add(e.Batch, c.hub.opts.TailBytes)
		c.info.Tail = e.Tail
		c.info.Closed = c.info.Closed || e.Closed
	case engine.Trimmed:
		if late || e.Start.Compare(c.info.Start) <= 0 {
			return
		}
		c.forgetViews()
		c.info.Start = e.Start
		c.tail.trim(e.Start)
	case engine.Deleted:
		c.deleted = c.deleted || !late
	case engine.Broken:
		c.stale = true
	case engine.Created:
	}
}

// Close ends one reader's use of the channel.
func (c *Channel) Close() { c.hub.release(c) }

// Name is the channel's name.
func (c *Channel) Name() string { return c.name }

// Info is what is known of the channel now.
func (c *Channel) Info() twohop.Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.info
}

// AddReader counts a live reader in or, with -1, out. A channel with a TTL does
// not expire as long as it has live readers (Durable Streams 5.1).
func (c *Channel) AddReader(n int32) {
	c.readers.Add(n)
	if c.info.TTL == 0 { // never changes
		return
	}
	r := &c.renewal
	r.Lock()
	defer r.Unlock()
	switch n := c.readers.Load(); {
	case n > 0 && r.timer == nil:
		r.timer = time.AfterFunc(max(c.info.TTL/2, minRenewal), c.renew)
	case n == 0 && r.timer != nil:
		r.timer.Stop()
		r.timer = nil
	}
}

const minRenewal = 100 * time.Millisecond

// renew renews the TTL, again and again until the timer is stopped.
func (c *Channel) renew() {
	if !c.hub.enter() {
		return
	}
	defer c.hub.stopped.Done()
	c.hub.eng.Touch(c.name)
	r := &c.renewal
	r.Lock()
	defer r.Unlock()
	if r.timer != nil {
		r.timer.Reset(max(c.info.TTL/2, minRenewal))
	}
}

// Stale reports that the feed lost its place since the channel was opened: the
// reader must open it again and go on at its offset.
func (c *Channel) Stale() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stale
}

// Deleted reports that the channel was deleted since it was opened.
func (c *Channel) Deleted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deleted
}

// Ahead reports whether there is something to tell a reader at an offset.
func (c *Channel) Ahead(at twohop.Offset) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.aheadLocked(at)
}

func (c *Channel) aheadLocked(at twohop.Offset) bool {
	return c.deleted || c.stale || c.info.Closed || at.Compare(c.info.Tail) < 0
}

// gone is the reset of a channel that was deleted while it was open.
func (c *Channel) gone(at twohop.Offset) error {
	r := &twohop.Reset{Reason: twohop.ResetDeleted}
	return r.Error(c.name, at)
}

// living is fresh without waiting; false is that the engine has to be asked.
func (c *Channel) living() bool {
	if !mortal(&c.info) {
		return true
	}
	known, ok := c.hub.eng.(engine.Knower)
	if ok {
		_, ok = known.Known(c.name)
	}
	if ok {
		c.hub.eng.Touch(c.name)
	}
	return ok
}

// usable reports whether the channel was loaded.
func (c *Channel) usable() bool {
	select {
	case <-c.ready:
		return c.err == nil
	default:
		return false
	}
}

// TryRead returns the page after an offset if it is in memory, else nil.
func (c *Channel) TryRead(from twohop.Offset) *View {
	c.mu.Lock()
	if c.deleted {
		c.mu.Unlock()
		return nil
	}
	if v := c.remembered(from); v != nil {
		c.mu.Unlock()
		return v
	}
	if from == c.info.Tail {
		v := c.rest
		if v == nil {
			v = c.view(twohop.Batch{From: from, Next: from})
		}
		c.mu.Unlock()
		return v
	}
	run := c.tail.run(from, c.hub.opts.PageBytes)
	if len(run) == 1 {
		v := c.rememberLocked(run[0])
		c.mu.Unlock()
		return v
	}
	run = slices.Clone(run)
	c.mu.Unlock()
	if len(run) == 0 {
		return nil
	}
	return c.remember(join(run))
}

// AtTail fills the caller's own view with the empty page at the tail, if that is
// what there is after an offset. It is not shared, and costs nothing.
func (c *Channel) AtTail(at twohop.Offset, v *View) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deleted || at != c.info.Tail {
		return false
	}
	v.Batch = twohop.Batch{From: at, Next: at}
	v.UpToDate, v.Closed = true, c.info.Closed
	return true
}

// KeepRest keeps the empty page at the tail for others who poll there.
func (c *Channel) KeepRest(v *View) {
	c.mu.Lock()
	if v.From == c.info.Tail && v.Closed == c.info.Closed {
		c.rest = v
	}
	c.mu.Unlock()
}

// Read returns the page after an offset. Views are shared by all that read at
// the same offset.
func (c *Channel) Read(ctx context.Context, from twohop.Offset) (*View, error) {
	if v := c.TryRead(from); v != nil {
		return v, nil
	}
	c.mu.Lock()
	if c.deleted {
		c.mu.Unlock()
		return nil, c.gone(from)
	}
	d := c.deep[from]
	if d != nil {
		c.mu.Unlock()
		select {
		case <-d.done:
			return d.view, d.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	d = &deepRead{done: make(chan struct{})}
	if c.deep == nil {
		c.deep = map[twohop.Offset]*deepRead{}
	}
	c.deep[from] = d
	c.mu.Unlock()

	d.view, d.err = c.readDeep(ctx, from)
	c.mu.Lock()
	delete(c.deep, from)
	c.mu.Unlock()
	close(d.done)
	return d.view, d.err
}

// looks is how often one read asks the engine. A second time does where the feed
// was faster; it takes more only if the engine no more shows what the feed told of.
const looks = 3

// readDeep returns the page after an offset from the engine. It never returns an
// empty page that was overtaken: its reader would have nothing to give, and could
// not wait either.
func (c *Channel) readDeep(ctx context.Context, from twohop.Offset) (*View, error) {
	at := from
	for range looks {
		b, err := c.hub.readEngine(ctx, c.name, at)
		if err != nil {
			return nil, c.deletedOr(err, from)
		}
		if v := c.remember(b); !v.overtaken() {
			return v, nil
		}
		at = b.Next // which the tail buffer knows; from may be another name of it
		if v := c.TryRead(at); v != nil {
			return v, nil
		}
		if c.Deleted() {
			return nil, c.gone(from)
		}
	}
	return nil, &twohop.Error{Code: twohop.CodeUnavailable, Channel: c.name,
		Message: "the engine does not show what its feed told of", Hint: "try again"}
}

// deepRead is a read of the engine that is under way, for all that read at the
// same offset meanwhile.
type deepRead struct {
	done chan struct{} // closed when the read is done
	view *View
	err  error
}

// ReadTail returns the empty page at the tail.
func (c *Channel) ReadTail() (*View, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deleted {
		return nil, c.gone(c.info.Tail)
	}
	return c.view(twohop.Batch{From: c.info.Tail, Next: c.info.Tail}), nil
}

// deletedOr turns "not found" into the reset of a channel that was there when it
// was opened.
func (c *Channel) deletedOr(err error, at twohop.Offset) error {
	if e, ok := err.(*twohop.Error); ok && (e.Code == twohop.CodeNotFound || e.Code == twohop.CodeGone) { //nolint:errorlint // engines return it bare
		return c.gone(at)
	}
	return err
}

// view makes the view of a batch; mu is held.
func (c *Channel) view(b twohop.Batch) *View {
	v := &View{Batch: b, UpToDate: b.Next.Compare(c.info.Tail) >= 0}
	v.Closed = v.UpToDate && c.info.Closed
	return v
}

// remember makes the view of a batch and keeps it for others that read at the
// same offset before the tail moves.
func (c *Channel) remember(b twohop.Batch) *View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rememberLocked(b)
}

func (c *Channel) rememberLocked(b twohop.Batch) *View {
	if v := c.remembered(b.From); v != nil {
		return v
	}
	v := c.view(b)
	if b.From.Compare(c.info.Start) < 0 || v.overtaken() {
		return v // retention dropped it, or more came meanwhile: nobody else is to see it
	}
	switch c.held += len(b.Data); {
	case c.first == nil:
		c.first = v
	case c.held > c.hub.opts.TailBytes:
	case c.views == nil:
		c.views = map[twohop.Offset]*View{b.From: v}
	default:
		c.views[b.From] = v
	}
	return v
}

// remembered is the view after an offset that was read before, or nil; mu is
// held.
func (c *Channel) remembered(from twohop.Offset) *View {
	if v := c.first; v != nil && v.From == from {
		return v
	}
	return c.views[from]
}

// forgetViews begins anew, as the channel has changed; mu is held.
func (c *Channel) forgetViews() { c.first, c.views, c.held, c.rest = nil, nil, 0, nil }

// Locate turns what a reader asked for into an offset.
func (c *Channel) Locate(from twohop.From) twohop.Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch from.Kind {
	case twohop.FromTail:
		return c.info.Tail
	case twohop.FromStart:
		return c.info.Start
	case twohop.FromOffset:
		if from.Offset.IsZero() {
			return c.info.Start
		}
	}
	return from.Offset
}

// Last returns the offset before the last n records.
func (c *Channel) Last(ctx context.Context, n uint64) (twohop.Offset, error) {
	return c.hub.eng.Last(ctx, c.name, n)
}

// Since returns the offset before the first record appended at or after t.
func (c *Channel) Since(ctx context.Context, t time.Time) (twohop.Offset, error) {
	return c.hub.eng.Since(ctx, c.name, t)
}
