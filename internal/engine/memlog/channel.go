package memlog

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"twohop"
	"twohop/internal/engine"
)

// channel is one channel with its own records. What it inherits lies with its
// ancestors, which keep it as long as their Refs say that forks need it.
//
// Where more than one channel is locked a fork is locked before its ancestors,
// youngest first.
type channel struct {
	engine *Engine
	name   string

	lastUse atomic.Int64 // Unix nanoseconds; for the TTL

	due   atomic.Int64 // when the sweeper looks at it next, 0 is never; set under sweeper.mu
	visit int          // its place in sweeper.queue, from 1 on, 0 is none; guarded by sweeper.mu

	mu        sync.RWMutex
	state     engine.State
	parent    *channel   // whose Refs counts this fork
	ancestors []*channel // who keeps the records of state.Parents[i]
	records   records
	producers map[string]*engine.ProducerState
	keys      keys
	gone      bool   // removed; whoever still holds it must not use it
	readable  uint64 // bytes of the records from state.Start to state.Tail
	footprint int64  // what it takes of engine.used
}

const (
	channelSize   = 1024 // of a channel without records, about
	producerSize  = 256
	keySize       = 128
	inheritedSize = 32 // of one of state.Parents, and of who keeps its records
)

// absentLocked says why the channel cannot be used, if so. One that is deleted
// and that no fork needs is absent already, though its records may be on their
// way out: it can get no fork any more.
func (ch *channel) absentLocked(now time.Time) error {
	switch {
	case !ch.gone && !ch.state.Deleted && !ch.expiredLocked(now):
		return nil
	case ch.state.Refs > 0:
		return engine.Gone(ch.name)
	}
	return engine.NotFound(ch.name)
}

func (ch *channel) expiredLocked(now time.Time) bool {
	at := ch.expiryLocked()
	return !at.IsZero() && !now.Before(at)
}

func (ch *channel) expiryLocked() time.Time {
	return ch.state.Expiry(time.Unix(0, ch.lastUse.Load()))
}

func (ch *channel) check(now time.Time) error {
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	return ch.absentLocked(now)
}

// use renews the TTL.
func (ch *channel) use(now time.Time) {
	if ns := now.UnixNano(); ns > ch.lastUse.Load() {
		ch.lastUse.Store(ns)
	}
}

// reserveLocked takes room for n bytes. Where there is none it gives up what
// retention already allowed to drop, and packs what it can, before it says so.
func (ch *channel) reserveLocked(n int64) error {
	e := ch.engine
	if e.used.Add(n) > e.max {
		e.used.Add(-n)
		ch.releaseLocked(ch.cutLocked(true))
		freed, _ := ch.records.pack(&e.chunking, math.MaxInt64, -1)
		ch.releaseLocked(freed)
		if e.used.Add(n) > e.max {
			e.used.Add(-n)
			return errFull(ch.name, e.max)
		}
	}
	ch.footprint += n
	return nil
}

func (ch *channel) cutLocked(now bool) int64 {
	if ch.state.Refs > 0 {
		return 0 // forks may need what is below the start
	}
	return ch.records.cut(ch.state.Start, now)
}

func (ch *channel) releaseLocked(n int64) {
	ch.footprint -= n
	ch.engine.used.Add(-n)
}

func errFull(channel string, limit int64) error {
	return &twohop.Error{Code: twohop.CodeStorageFull, Channel: channel,
		Message: fmt.Sprintf("the memory engine holds all of the %d bytes that it may", limit),
		Hint:    "set a retention for the channel, delete channels, allow more memory, or use the disk engine"}
}

// keys are the idempotency keys of a channel within the window, oldest first.
type keys struct {
	known map[string]twohop.Offset
	order []keyUse
}

type keyUse struct {
	key string
	at  int64
}

// forget drops the keys used before a time and returns the bytes set free.
func (k *keys) forget(before int64) (freed int64) {
	n := 0
	for ; n < len(k.order) && k.order[n].at < before; n++ {
		delete(k.known, k.order[n].key)
		freed += keySize + int64(len(k.order[n].key))
	}
	if n == len(k.order) {
		*k = keys{} // a map keeps the room of its largest time
		return freed
	}
	clear(k.order[:n])
	k.order = k.order[n:]
	return freed
}

func (k *keys) get(key string) *twohop.Offset {
	if o, ok := k.known[key]; ok {
		return &o
	}
	return nil
}

func (k *keys) put(key string, o twohop.Offset, at int64) {
	if k.known == nil {
		k.known = map[string]twohop.Offset{}
	}
	k.known[key] = o
	k.order = append(k.order, keyUse{key, at})
}
