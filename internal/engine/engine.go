// Package engine is the contract of the keepers of the logs, and the rules that
// engines in this process share.
//
// Invariant: an engine decides the order. What a node knows of a channel's tail
// it knows from the engine, by the feed or by asking, never from its own
// appends; and nothing that was shown to a reader is lost or changes later.
package engine

import (
	"context"
	"time"

	"twohop"
)

// Engine keeps channels. It may be remote: any call can take milliseconds, and
// can fail with the outcome unknown. Several nodes may use one engine at once.
// All methods may be called concurrently.
//
// Words: the lineage of a channel is its own log and, for a fork, what it
// inherits. Positions count the records of a lineage from its beginning; they
// are unique and sortable, and nobody outside the engine may assume that they
// are dense.
//
// Errors are *twohop.Error wherever a caller can act on them. A channel that is
// absent gives CodeNotFound; one that was deleted while forks need its records
// gives CodeGone.
type Engine interface {
	// Capabilities says what the engine can promise. It never changes.
	Capabilities() Capabilities

	// Follow starts the feed. It is called once, before any other method but
	// Capabilities.
	Follow(sink Sink)

	// Create makes a channel. If one of that name exists it compares: the same
	// content type, lifetime, closure and fork give the existing channel and
	// false, anything else CodeExists. Initial records are appended in the same
	// step. A fork copies nothing; its source keeps what the fork needs.
	Create(ctx context.Context, name string, spec *twohop.Spec) (twohop.Info, bool, error)

	// Append judges an append and carries it out, then calls done exactly once,
	// maybe before it returns, from a goroutine of the engine or of the caller.
	// done must not block. When it is called without an error the records are
	// committed at the channel's level, visible to Read, and the feed has been
	// told of them. With CodeUnknownOutcome they may become so later.
	// The context is judged before the append is queued; from there on the
	// append is carried out whatever becomes of it.
	//
	// The order of judgement is: stale producer epoch, duplicate (of producer or
	// key), closed, content type, producer sequence, Stream-Seq, If.
	Append(ctx context.Context, a *twohop.Append, done func(twohop.Ack, error))

	// Info tells about a channel. Its Tail is the high-watermark.
	Info(ctx context.Context, name string) (twohop.Info, error)

	// Read returns records after from: at least one where there is one, and not
	// more than maxBytes of Data beyond the first. It never waits for records.
	// The zero offset reads from the start. An offset that cannot be served
	// gives CodeReset. At the tail it returns an empty batch with From and Next
	// at the tail.
	Read(ctx context.Context, name string, from twohop.Offset, maxBytes int) (twohop.Batch, error)

	// Last returns the offset before the last n records, or the start.
	Last(ctx context.Context, name string, n uint64) (twohop.Offset, error)

	// Since returns the offset before the first record appended at or after t,
	// or the tail.
	Since(ctx context.Context, name string, t time.Time) (twohop.Offset, error)

	// Touch tells that the channel was read, which renews its TTL.
	Touch(name string)

	// Delete removes a channel. Forks of it keep what they inherited.
	Delete(ctx context.Context, name string) error

	// List returns up to n names of channels that match the glob and sort after
	// the given name, in order.
	List(ctx context.Context, glob, after string, n int) ([]string, error)

	// Healthy returns nil when appends can be accepted, or why not.
	Healthy() error

	// Close stops the engine. Appends under way are finished or fail; after it
	// nothing is called back.
	Close() error
}

// Knower is an Engine that can tell about some channels without waiting.
type Knower interface {
	// Known is Info for a channel that is at hand. It takes no time; false means
	// that Info has to be asked.
	Known(name string) (twohop.Info, bool)
}

// Loop is an event loop on which an engine does work that never waits.
type Loop interface {
	// Post has t's turn come, again as long as it returns true. It may be called
	// from anywhere; again for the same t only after its last turn.
	Post(t interface{ Turn() (more bool) })

	// Watch has look called in every round of the loop, and a round begin when
	// there is something to read at a descriptor. It is called before the loop
	// runs.
	Watch(fd int, look func())

	// Unwatch ends what Watch began. It is called on the loop.
	Unwatch(fd int)
}

// Resident is an Engine that carries appends out on a loop, where it can do so
// without waiting, so that an append that came by the loop, and its answer, need
// not be handed from one goroutine to another.
type Resident interface {
	// MoveIn is called before the loop runs. Only the first one counts.
	MoveIn(l Loop)
	// MoveOut returns when the engine has left the loop, which runs until then.
	MoveOut()
}

// Capabilities say what an engine can promise. A rule that asks for more is
// refused at start-up.
type Capabilities struct {
	Name        string
	Levels      []twohop.Level // that an acknowledgement can have
	Conditional bool           // Append.If is linearizable
	Retention   bool           // Retention is carried out
	Shards      int            // of the feed
}

// Sink takes the feed. For one shard Event is never called concurrently, and
// the events of one channel come in order. Event must return soon: it is
// between the commit and the acknowledgement.
type Sink interface {
	Event(shard int, e *Event)
}

// Event is one thing that happened to a channel, after it was committed at the
// channel's level. The feed of the channel is complete up to Tail: all records
// before it have been told, in this event or earlier ones. An engine may reuse
// the Event after the call; the slices in Batch stay valid and unchanged.
type Event struct {
	Kind    EventKind
	Channel string       // empty for Broken
	Batch   twohop.Batch // for Appended: the records; may be empty when the channel was only closed
	Start   twohop.Offset
	Tail    twohop.Offset
	Closed  bool
}

// EventKind tells events apart.
type EventKind uint8

// The kinds of events.
const (
	Appended EventKind = iota // records were added, or the channel was closed, or both
	Created                   // the channel came to be; initial records follow as Appended
	Trimmed                   // Start moved up
	Deleted                   // the channel is gone, or gone for readers; Tail is its last
	Broken                    // the feed lost its place: ask the engine about every channel of the shard
)
