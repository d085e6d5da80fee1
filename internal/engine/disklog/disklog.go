// Package disklog is the durable engine: all channels in one Pebble store.
//
// Invariant: what a reader sees, the feed tells or an acknowledgement names was
// committed at the channel's level before, and an offset that was ever shown
// names the same record after any crash, or none.
//
// One goroutine at a time decides everything: the committer, or a loop where
// nothing has to wait (see resident). It takes what is queued as
// a group, judges each item against the state that the items before it leave,
// commits the whole group as one batch with at most one sync, first into the
// journal and then into the store, and only then shows the new states, tells the
// feed and answers. The states of the channels in a group are pinned in the cache
// until then, and readers never look past the tail of the state they see.
//
// # What is stored
//
// An append is one key, its log epoch and first position, with the records, the
// commit time, and the size of the log before it (large appends take several
// keys, so that a read from the middle stays cheap). The tail of a channel is
// not stored: it is found behind the last batch when the channel is loaded, or,
// where all of them were removed, in the place up to which they were. The
// channel's own key is written only when something else changes. Producers
// and idempotency keys have keys of their own, in the same commit. Where the
// start is follows from the retention and the stored batches; records below it
// are removed in bulk, later.
//
// # Unclean ends
//
// Channels that are not synced with every append show records that a crash may
// take back. The store knows whether it was closed in good order. If it was
// not, such a channel begins a new log epoch with its first append afterwards:
// offsets of records that were lost are then answered with a reset, and are
// never given again. Creations, deletions, closures and whatever else gives out
// an epoch are synced in every channel.
//
// # Faults
//
// Pebble ends the process when some of its files cannot be written, so it never
// learns of that: see guard. Appends in flight are answered as unknown, new ones are
// refused, and reads go on.
package disklog

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"twohop"
	"twohop/internal/engine"
)

// Options are how an engine is opened. The zero value of each is its default.
type Options struct {
	FS                vfs.FS        // the operating system's
	Logger            *slog.Logger  // none
	SyncInterval      time.Duration // how long an append that is not synced at once may wait for it; 100 ms
	CacheBytes        int64         // of stored blocks kept in memory; 32 MiB
	CacheChannels     int           // channels' states kept in memory, about; 32,768
	ReserveBytes      uint64        // of disk space below which appends are refused; 64 MiB, or 1/16 of a small disk
	IdempotencyWindow time.Duration // how long an idempotency key is known; 5 minutes
	// Retention is the one that holds now for a channel that was created earlier;
	// false leaves it as it was created.
	Retention func(channel string) (twohop.Retention, bool)
	// RetentionVersion changes when what Retention says does. A start with the version
	// of the last one looks at no channel; "" is always another one.
	RetentionVersion string
	// Restored says that the store is a copy that was made earlier, and that more
	// was appended since: every channel begins a new log epoch, so that offsets that
	// were given then are not given again.
	Restored bool
	// LogBytes is the size of the journal's files, which are written ahead; 8 MiB
	// on the operating system's FS. On others they are not if it is 0.
	LogBytes int
}

func (o *Options) setDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
		if o.LogBytes == 0 {
			o.LogBytes = journalFile
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.SyncInterval <= 0 {
		o.SyncInterval = 100 * time.Millisecond
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 32 << 20
	}
	if o.CacheChannels <= 0 {
		o.CacheChannels = 32 << 10
	}
	if o.IdempotencyWindow <= 0 {
		o.IdempotencyWindow = 5 * time.Minute
	}
}

// Engine implements engine.Engine.
type Engine struct {
	opts  Options
	dir   string
	guard *guard
	ahead *zeroed
	lock  *pebble.Lock
	db    *pebble.DB
	cache *cache
	queue *queue
	space space
	stats counters

	runID        uint64 // of this run of the engine; 1 is the first
	lastUnclean  uint64 // the newest run that did not end in good order; 0 is none
	lastLost     uint64 // the newest run after which a copy was restored; 0 is none
	uncleanUntil int64  // when the run after that began, Unix microseconds
	agesKnown    bool   // all channels have the ages of RetentionVersion; the sweeper's, then Close's

	// The committer's own; before it begins and when it has ended, Open's and Close's.
	journal   journal
	lastEpoch uint64
	clock     int64 // Unix microseconds; never falls
	spare     *group
	trimming  map[uint64]bool

	sink atomic.Pointer[engine.Sink]

	resident *resident // or nil; set by MoveIn

	sweeper sweeper
	dirty   chan struct{} // has a token when something waits for the interval's sync
	stop    chan struct{} // closed to end the sweeper and the syncer
	loops   sync.WaitGroup
	unwatch chan struct{} // closed to end the watch
	watched chan struct{} // closed when it has ended

	mu struct {
		sync.Mutex
		closed bool
	}
	ops sync.WaitGroup // calls that read the store
}

var _ engine.Engine = (*Engine)(nil)

// Open opens or makes the store in a directory, which it locks.
func Open(dir string, opts Options) (*Engine, error) {
	opts.setDefaults()
	e := &Engine{
		opts: opts, dir: dir, ahead: &zeroed{FS: opts.FS, bytes: opts.LogBytes},
		queue: &queue{wake: make(chan struct{}, 1)}, trimming: map[uint64]bool{},
		dirty: make(chan struct{}, 1), stop: make(chan struct{}), unwatch: make(chan struct{}), watched: make(chan struct{}),
	}
	e.guard = newGuard(e.ahead)
	e.cache = newCache(opts.CacheChannels/2, e.load)
	e.sweeper.woken = make(chan struct{}, 1)
	e.space = space{fs: opts.FS, dir: dir, reserve: opts.ReserveBytes}
	e.journal.fs, e.journal.dir, e.journal.max = e.guard, dir, journalFile
	if opts.LogBytes > 0 {
		e.journal.max = int64(opts.LogBytes)
	}
	if err := e.openStore(); err != nil {
		return nil, err
	}
	e.guard.arm()
	go e.watch()
	e.loops.Go(e.commitLoop)
	e.loops.Go(e.sweepLoop)
	e.loops.Go(e.syncLoop)
	return e, nil
}

// deletionFlush is how long the room that deletions make may take to come: the
// files go when the deletion has left Pebble's log.
const deletionFlush = 10 * time.Second

const (
	journalFile = 8 << 20
	// memTable is the size of Pebble's tables in memory. One has room for what is in
	// a file of the journal, so that it is the journal that has them flushed.
	memTable = 2 * journalFile
)

func (e *Engine) openStore() (err error) {
	if err := e.opts.FS.MkdirAll(e.dir, 0o750); err != nil {
		return openFailed(e.dir, err)
	}
	if e.lock, err = pebble.LockDirectory(e.dir, e.opts.FS); err != nil {
		return &twohop.Error{Code: twohop.CodeStorageFailed, Message: "the data directory " + e.dir + " is in use or cannot be locked",
			Hint: "stop the other server, or give each its own --data", Err: err}
	}
	cache := pebble.NewCache(e.opts.CacheBytes)
	defer cache.Unref()
	o := &pebble.Options{
		FS: e.guard, Lock: e.lock, Cache: cache,
		FormatMajorVersion: pebble.FormatNewest,
		DisableWAL:         true, // see journal
		MemTableSize:       memTable, MemTableStopWritesThreshold: 4,
		L0StopWritesThreshold: 24, MaxOpenFiles: 512,
		FlushDelayDeleteRange: deletionFlush,
		Logger:                storeLogger{e}, EventListener: e.listener(),
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	if err := e.openDB(o); err != nil {
		_ = e.lock.Close() // the first error tells more
		return openFailed(e.dir, err)
	}
	return nil
}

func openFailed(dir string, err error) error {
	return &twohop.Error{Code: twohop.CodeStorageFailed, Message: "the store in " + dir + " cannot be opened",
		Hint: "check that the directory is writable and whole, and that the disk has room", Err: err}
}

// Capabilities implements engine.Engine.
func (e *Engine) Capabilities() engine.Capabilities {
	return engine.Capabilities{
		Name: "disk", Levels: []twohop.Level{twohop.LevelMemory, twohop.LevelDisk},
		Conditional: true, Retention: true, Shards: 1,
	}
}

// Follow implements engine.Engine.
func (e *Engine) Follow(sink engine.Sink) { e.sink.Store(&sink) }

// Append implements engine.Engine.
func (e *Engine) Append(ctx context.Context, a *twohop.Append, done func(twohop.Ack, error)) {
	err := ctx.Err()
	if err == nil {
		err = e.queue.add(&item{kind: itemAppend, name: a.Channel, add: a, done: func(r *result) { done(r.ack, r.err) }})
	}
	if err != nil {
		done(twohop.Ack{}, err)
	}
}

// Create implements engine.Engine.
func (e *Engine) Create(ctx context.Context, name string, spec *twohop.Spec) (twohop.Info, bool, error) {
	r := e.do(ctx, &item{kind: itemCreate, name: name, spec: spec})
	return r.info, r.ack.Created, r.err
}

// Delete implements engine.Engine.
func (e *Engine) Delete(ctx context.Context, name string) error {
	return e.do(ctx, &item{kind: itemDelete, name: name}).err
}

// do queues an item and waits for its result.
func (e *Engine) do(ctx context.Context, it *item) result {
	if err := ctx.Err(); err != nil {
		return result{err: err}
	}
	answer := make(chan result, 1)
	it.done = func(r *result) { answer <- *r }
	if err := e.queue.add(it); err != nil {
		return result{err: err}
	}
	select {
	case r := <-answer:
		return r
	case <-ctx.Done():
		return result{err: unknown(it.name, ctx.Err())}
	}
}

// Touch implements engine.Engine.
func (e *Engine) Touch(name string) {
	now := time.Now().UnixMicro()
	if !e.cache.touch(name, now) {
		_ = e.queue.add(&item{kind: itemTouch, name: name, used: now}) // nobody waits for it
	}
}

// begin holds off Close while a call reads the store.
func (e *Engine) begin(name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.closed {
		return closing(name)
	}
	e.ops.Add(1)
	return nil
}

// Close implements engine.Engine. What is queued is still carried out.
func (e *Engine) Close() error {
	e.mu.Lock()
	again := e.mu.closed
	e.mu.closed = true
	e.mu.Unlock()
	if again {
		return nil
	}
	e.MoveOut()
	e.guard.notify() // from here on the watch kills what is stuck
	e.saveUses(true)
	e.queue.close()
	close(e.stop)
	err := e.closeStore()
	close(e.unwatch)
	<-e.watched
	if err2 := e.lock.Close(); err == nil {
		err = err2
	}
	return err
}

// closeStore ends all that uses the store, and the store. If that broke down
// it may hold locks for ever, and what waits for them is left behind.
func (e *Engine) closeStore() error {
	closed := make(chan error, 1)
	go func() {
		e.loops.Wait()
		e.ops.Wait()
		closed <- errors.Join(e.endRun(), e.closeJournal(), e.db.Close())
	}()
	select {
	case err := <-closed:
		if e.guard.isDead() {
			return e.guard.trouble() // what was written last went nowhere
		}
		return err
	case <-e.guard.broken:
		return e.guard.trouble()
	}
}

func (e *Engine) closing() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.closed
}
