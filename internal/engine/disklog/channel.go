package disklog

import (
	"errors"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"twohop"
	"twohop/internal/engine"
)

// channel is a State with what this engine keeps beside it. Once it can be seen
// by readers it is never changed: the committer works on a copy.
type channel struct {
	engine.State
	id      uint64 // the epoch it was created with; names its producers and keys
	earlier int    // how many of the last Parents are the channel's own
	run     uint64 // no record was lost without trace up to this run of the engine

	bytes     uint64 // of the lineage up to Tail
	time      int64  // commit time of the newest record, Unix microseconds
	baseBytes uint64 // both, at Base
	baseTime  int64

	used      int64         // when it was last read, as far as that is persisted
	due       int64         // when the sweeper looks at it next; 0 is never
	dueAge    time.Duration // Retention.Age as it was when due was set for it
	kept      uint64        // its own records before this were removed from the disk
	keptBytes uint64        // of the lineage up to there
	producers bool          // it ever had one
	keys      bool

	startBytes uint64 // of the lineage up to Start; for channels with retention
	marks      []mark // the ends of the oldest appends, from Start on; for the same
}

// mark is the end of an append.
type mark struct {
	end, bytes uint64
	time       int64
}

func (ch *channel) clone() *channel {
	c := *ch
	return &c
}

// owned are the segments with records that belong to this channel.
func (ch *channel) owned() []engine.Segment {
	n := len(ch.Parents)
	return append(ch.Parents[n-ch.earlier:n:n], ch.Own())
}

func (ch *channel) level() twohop.Level {
	if ch.Sync == twohop.SyncAlways {
		return twohop.LevelDisk
	}
	return twohop.LevelMemory
}

// persistedUse is the last use of the channel that is known after a restart.
func (ch *channel) persistedUse() int64 { return max(ch.used, ch.time) }

func (ch *channel) expired(used int64, now time.Time) bool {
	at := ch.Expiry(time.UnixMicro(used))
	return !ch.Deleted && !at.IsZero() && !now.Before(at)
}

// readers see a channel, or the reason why not.
func (ch *channel) seen(name string, used int64, now time.Time) (*channel, error) {
	switch {
	case ch == nil:
		return nil, engine.NotFound(name)
	case ch.Deleted, ch.Refs > 0 && ch.expired(used, now):
		return nil, engine.Gone(name)
	case ch.expired(used, now):
		return nil, engine.NotFound(name)
	}
	return ch, nil
}

// load reads a channel from the store: nil if there is none, and when it was
// last used at the latest.
func (e *Engine) load(name string) (*channel, int64, error) {
	value, closer, err := e.db.Get(channelKey(name))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, readFailed(name, err)
	}
	ch, err := decodeChannel(name, value)
	if err := closer.Close(); err != nil {
		return nil, 0, readFailed(name, err)
	}
	if err == nil {
		err = e.loadTail(ch)
	}
	if err == nil && e.opts.Retention != nil {
		if r, ok := e.opts.Retention(name); ok {
			ch.Retention = r
		}
	}
	if err == nil {
		err = e.applyRetention(ch, time.Time{})
	}
	if err != nil {
		return nil, 0, readFailed(name, err)
	}
	return ch, e.lastUse(ch), nil
}

// lastUse is the latest moment at which a channel that was loaded can have been
// used. That is persisted when a channel leaves the cache and when the store is
// closed; after an unclean end, and of an older copy that was put back, it is only
// known that it was before the restart.
func (e *Engine) lastUse(ch *channel) int64 {
	if ch.run <= max(e.lastUnclean, e.lastLost) {
		return max(ch.persistedUse(), e.uncleanUntil)
	}
	return ch.persistedUse()
}

// loadTail finds the tail of a channel in its last stored batch. Where a trim took
// the last one, too, all that the channel had is below the place that it kept.
func (e *Engine) loadTail(ch *channel) error {
	it, err := e.db.NewIter(&pebble.IterOptions{
		LowerBound: batchKey(ch.Epoch, ch.Base), UpperBound: batchKey(ch.Epoch, math.MaxUint64),
	})
	if err != nil {
		return err
	}
	if it.Last() {
		s, err := lastStored(it)
		if err != nil {
			_ = it.Close() // the first error tells more
			return err
		}
		ch.Tail, ch.bytes, ch.time = s.end(), s.bytes+uint64(len(s.data)), s.time
		ch.run = max(ch.run, s.run)
	}
	if ch.Tail < ch.kept {
		ch.Tail, ch.bytes = ch.kept, ch.keptBytes
	}
	return it.Close()
}

func lastStored(it *pebble.Iterator) (stored, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return stored{}, err
	}
	return decodeStored(it.Key(), value)
}

func readFailed(name string, err error) error {
	return &twohop.Error{Code: twohop.CodeStorageFailed, Channel: name, Message: "the channel cannot be read from the disk",
		Hint: "see the server's log and check the disk", Err: err}
}
