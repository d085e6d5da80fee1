package budget

import (
	"errors"
	"strconv"
	"time"
)

// Transport is a way to read, by the name that it has on the wire.
type Transport string

// The transports.
const (
	Poll      Transport = "poll"
	LongPoll  Transport = "long-poll"
	SSE       Transport = "sse"
	WebSocket Transport = "ws"
)

const (
	// Max is the longest budget.
	Max = 5 * time.Minute
	// Polling is the budget from which polling meets it at the least cost.
	Polling = 2 * time.Second
	// CacheAge is how old a cached answer at the tail may be: with the interval
	// of the polls it makes up the budget.
	CacheAge = time.Second
	// MinInterval is the shortest time between polls that is advised.
	MinInterval = time.Second
)

// Parse reads a budget as a read states it, a Go duration from 0s to Max, and
// returns the one in force.
func Parse(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > Max {
		return 0, errRange
	}
	return InForce(d), nil
}

// InForce is a budget rounded down to whole milliseconds and two digits. Readers
// with the same one are woken together, so there must not be many.
func InForce(d time.Duration) time.Duration {
	unit := time.Millisecond
	for d >= 100*unit {
		unit *= 10
	}
	return d.Truncate(unit)
}

// Form is what Parse accepts, in words.
const Form = "a duration from 0s to 5m, for example 250ms"

var errRange = errors.New("the budget is not " + Form)

// Advice is the server's hint which transport meets a budget at the least cost.
type Advice struct {
	Transport Transport
	Interval  time.Duration // between polls; 0 for all others
}

// Advise advises a connection that follows so many channels, and may publish as
// well, for one of its budgets.
func Advise(budget time.Duration, channels int, publishes bool) Advice {
	switch {
	case budget >= Polling:
		return Advice{Poll, max(MinInterval, budget-CacheAge)}
	case channels > 1 || publishes:
		return Advice{Transport: WebSocket}
	}
	return Advice{Transport: SSE}
}

// String is the value of a Stream-Advice header.
func (a Advice) String() string {
	s := "transport=" + string(a.Transport)
	if a.Interval > 0 {
		s += "; interval=" + a.Interval.String()
	}
	return s
}

// AppendJSON appends the advice as members of a JSON object, without braces. The
// interval is in milliseconds.
func (a Advice) AppendJSON(dst []byte) []byte {
	dst = append(dst, `"transport":"`...)
	dst = append(append(dst, a.Transport...), '"')
	if a.Interval > 0 {
		dst = strconv.AppendInt(append(dst, `,"interval":`...), a.Interval.Milliseconds(), 10)
	}
	return dst
}

// AppendSSE appends the advice as an SSE event.
func (a Advice) AppendSSE(dst []byte) []byte {
	return append(a.AppendJSON(append(dst, "event: advice\ndata:{"...)), "}\n\n"...)
}
