// Package memlog is the engine that keeps channels in memory, bounded.
//
// Invariant: one goroutine at a time carries out the changes of a shard, in the
// order in which they were queued, and tells the feed of each before it goes on
// to the next. No lock is held while the feed or a caller is called. What is
// kept, of records and of what is known about channels, never takes more than
// MaxBytes: what finds no room is refused, and nothing that was acknowledged is
// dropped but by retention. A channel that goes gives back all that it took, and
// nothing keeps it: not the sweeper either, which plans one visit for each channel
// that is there. Records that are not among the newest are packed, some dozens
// together, where that makes them smaller.
//
// Reads take a short lock of their channel to learn where its records lie, and
// work on those, which never change, without it.
package memlog

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"twohop"
	"twohop/internal/engine"
)

const shardCount = 16

// Options say how much is kept. Zero fields mean the default.
type Options struct {
	MaxBytes          uint64        // of records and what is known about them; 1 GiB
	IdempotencyWindow time.Duration // how long an Idempotency-Key is remembered; 5 min
}

// Engine keeps channels in memory. It implements engine.Engine.
type Engine struct {
	max      int64
	window   time.Duration
	chunking chunking
	seed     maphash.Seed

	sink    engine.Sink // set by Follow, before anything else is called
	shards  [shardCount]shard
	sweeper sweeper
	drains  sync.WaitGroup // goroutines that drain a shard

	used   atomic.Int64  // bytes kept
	epoch  atomic.Uint64 // the newest log epoch
	closed atomic.Bool
}

var _ engine.Engine = (*Engine)(nil)

// Open makes an empty engine.
func Open(o Options) *Engine {
	e := &Engine{
		max:      int64(min(cmp.Or(o.MaxBytes, 1<<30), 1<<62)),
		window:   cmp.Or(o.IdempotencyWindow, 5*time.Minute),
		chunking: defaultChunking,
		seed:     maphash.MakeSeed(),
	}
	for i := range e.shards {
		e.shards[i] = shard{engine: e, index: i, channels: map[string]*channel{}}
	}
	e.sweeper = newSweeper()
	return e
}

// Used is how many bytes are kept, as MaxBytes counts them.
func (e *Engine) Used() int64 { return e.used.Load() }

// Capabilities implements engine.Engine.
func (e *Engine) Capabilities() engine.Capabilities {
	return engine.Capabilities{
		Name: "memory", Levels: []twohop.Level{twohop.LevelMemory},
		Conditional: true, Retention: true, Shards: shardCount,
	}
}

// Follow implements engine.Engine. It also starts the sweeper.
func (e *Engine) Follow(sink engine.Sink) {
	e.sink = sink
	go e.sweeper.run(e.sweep)
	e.sweeper.started.Store(true)
}

// Append implements engine.Engine.
func (e *Engine) Append(ctx context.Context, a *twohop.Append, done func(twohop.Ack, error)) {
	if err := ctx.Err(); err != nil {
		done(twohop.Ack{}, err)
		return
	}
	if !e.shardOf(a.Channel).do(request{append: a, done: done}) {
		done(twohop.Ack{}, errClosed(a.Channel))
	}
}

// Create implements engine.Engine.
func (e *Engine) Create(ctx context.Context, name string, spec *twohop.Spec) (info twohop.Info, created bool, err error) {
	sh := e.shardOf(name)
	if e := sh.wait(ctx, name, func() { info, created, err = sh.create(name, spec) }); e != nil {
		return info, false, e
	}
	return info, created, err
}

// Delete implements engine.Engine.
func (e *Engine) Delete(ctx context.Context, name string) (err error) {
	sh := e.shardOf(name)
	if e := sh.wait(ctx, name, func() { err = sh.remove(name) }); e != nil {
		return e
	}
	return err
}

// List implements engine.Engine.
func (e *Engine) List(ctx context.Context, glob, after string, n int) ([]string, error) {
	var names []string
	now := time.Now()
	for i := range e.shards {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, ch := range e.shards[i].all() {
			if name := ch.name; name > after && twohop.Match(glob, name) && ch.check(now) == nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names[:min(len(names), max(n, 0))], nil
}

// Healthy implements engine.Engine.
func (e *Engine) Healthy() error {
	switch {
	case e.closed.Load():
		return errClosed("")
	case e.used.Load() >= e.max:
		return errFull("", e.max)
	}
	return nil
}

// Close implements engine.Engine. It must not be called by the sink or a done.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return nil
	}
	e.sweeper.close()
	for i := range e.shards {
		e.shards[i].close()
	}
	e.drains.Wait()
	return nil
}

func (e *Engine) shardOf(name string) *shard {
	return &e.shards[maphash.String(e.seed, name)%shardCount]
}

// nextEpoch gives each log an epoch larger than that of all before it.
func (e *Engine) nextEpoch(now time.Time) uint64 {
	for {
		last := e.epoch.Load()
		next := max(last+1, uint64(now.UnixMicro()))
		if e.epoch.CompareAndSwap(last, next) {
			return next
		}
	}
}

func errClosed(channel string) error {
	return &twohop.Error{Code: twohop.CodeUnavailable, Channel: channel,
		Message: "the engine is closed", Hint: "the server is stopping; try again, it may be another node that answers"}
}
