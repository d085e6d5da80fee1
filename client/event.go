package client

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"twohop"
)

// Event is one step of a Follow: records, a reset, or news of where the
// follower stands.
type Event struct {
	// Records are the new records. In a JSON channel each is one record's JSON
	// text. In any other channel there is one, of all new bytes: what borders
	// records had is not on the wire. They are the caller's, and share memory:
	// who keeps one of many for long should keep a clone of it.
	Records [][]byte

	Channel  string
	JSON     bool   // Records are JSON texts
	Offset   string // after this event: go on here, and nothing is lost or doubled
	UpToDate bool   // there was nothing more just now
	Closed   bool   // there will never be more; this is the last event

	Reset *Reset // not nil: records are missing here, or the log is another one; Records is empty
}

// Reset says that the follower's offset could not be served, and that it goes
// on elsewhere, at the event's Offset.
type Reset struct {
	Reason      twohop.ResetReason
	Start, Tail string // "" where the server did not say
	Missed      uint64 // records that were lost to the follower, where they can be counted
}

func (r *Reset) String() string {
	switch r.Reason {
	case twohop.ResetTrimmed:
		return fmt.Sprintf("%d records were no longer kept when they were to be read; going on at the start", r.Missed)
	case twohop.ResetAhead:
		return "the offset is beyond the tail; going on at the tail"
	case twohop.ResetEpoch:
		return "the channel was deleted, re-created or replaced; reading the new one from its start"
	case twohop.ResetDeleted:
		return "the channel was deleted"
	}
	return string(r.Reason)
}

// next is the offset to go on from, "" to stay where the follower is.
func (r *Reset) next() string {
	switch r.Reason {
	case twohop.ResetDeleted:
		return ""
	case twohop.ResetAhead:
		return r.Tail
	case twohop.ResetTrimmed, twohop.ResetEpoch:
	}
	return r.Start
}

// resetFields is a reset on the wire.
type resetFields struct {
	Reason twohop.ResetReason `json:"reason"`
	Start  string             `json:"start"`
	Tail   string             `json:"tail"`
	Missed uint64             `json:"missed"`
}

func (f *resetFields) reset() *Reset {
	return &Reset{Reason: f.Reason, Start: f.Start, Tail: f.Tail, Missed: f.Missed}
}

// From says where a Follow begins. The zero value is the start.
type From struct {
	parameter, value string
	n                uint64 // of tail_records
}

// Start begins with the oldest record that is kept.
func Start() From { return From{} }

// Now begins with what comes after the server has answered for the first time.
func Now() From { return From{parameter: "offset", value: "now"} }

// At begins after an offset that an Event or an Ack gave.
func At(offset string) From { return From{parameter: "offset", value: offset} }

// Tail begins with the last n records. It is an extension of twohop's servers.
func Tail(n uint64) From {
	return From{parameter: "tail_records", value: strconv.FormatUint(n, 10), n: n}
}

// Since begins with the first record that was appended at or after t. It is an
// extension of twohop's servers.
func Since(t time.Time) From {
	return From{parameter: "since", value: t.UTC().Format(time.RFC3339Nano)}
}

// onceAbsent is where to begin in a channel that the server said is not there:
// when it is, all of it is what comes after that answer.
func (f From) onceAbsent(offset string, fail *failure) From {
	if f == Now() && offset == "" && fail.told {
		return Start()
	}
	return f
}

// set puts it into a query.
func (f From) set(q url.Values) {
	if f == Start() {
		f = At("-1")
	}
	q.Set(f.parameter, f.value)
}
