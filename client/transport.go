package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Transport is how a follower waits for news.
type Transport uint8

// The transports.
const (
	Auto      Transport = iota // what the server advises and the network lets through
	Poll                       // ask every so often
	LongPoll                   // ask, and be answered when there is something
	SSE                        // one response that goes on
	WebSocket                  // one connection both ways
)

var transportNames = [...]string{"auto", "poll", "long-poll", "sse", "ws"}

func (t Transport) String() string { return transportNames[t] }

// MarshalText implements encoding.TextMarshaler.
func (t Transport) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Transport) UnmarshalText(b []byte) error {
	for i, n := range transportNames {
		if n == string(b) {
			*t = Transport(i) //nolint:gosec // an index of a five-element array
			return nil
		}
	}
	return fmt.Errorf("%q is not a transport: use auto, ws, sse, long-poll or poll", b)
}

// Advice is the server's hint which transport meets a budget at the least cost.
type Advice struct {
	Transport Transport     // Auto: there is none
	Interval  time.Duration // between polls
}

// minInterval bounds from below how often advice makes a client poll.
const minInterval = time.Second

// adviceOf makes advice of its words on the wire. What this client does not
// know is no advice.
func adviceOf(transport string, interval time.Duration) Advice {
	var a Advice
	if a.Transport.UnmarshalText([]byte(transport)) != nil || a.Transport == Auto {
		return Advice{}
	}
	if a.Transport == Poll {
		a.Interval = max(interval, minInterval)
	}
	return a
}

// headerAdvice reads Stream-Advice: transport=poll; interval=3s.
func headerAdvice(h http.Header) Advice {
	var transport string
	var interval time.Duration
	for part := range strings.SplitSeq(h.Get("Stream-Advice"), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "transport":
			transport = value
		case "interval":
			interval, _ = time.ParseDuration(value) // 0 is the least
		}
	}
	return adviceOf(transport, interval)
}

// eventAdvice reads the data of an advice event.
func eventAdvice(data []byte) Advice {
	var a struct {
		Transport string `json:"transport"`
		Interval  int64  `json:"interval"`
	}
	if json.Unmarshal(data, &a) != nil {
		return Advice{}
	}
	return adviceOf(a.Transport, milliseconds(a.Interval))
}

// budgetAdvice is what a server advises for a budget (PROTOCOL.md, 10), until it
// has said so itself.
func budgetAdvice(budget time.Duration) Advice {
	if budget < 2*time.Second {
		return Advice{}
	}
	return Advice{Transport: Poll, Interval: max(budget-time.Second, minInterval)}
}

// milliseconds is a time of the wire, at most a day.
func milliseconds(n int64) time.Duration {
	const day = 24 * time.Hour
	return min(max(time.Duration(min(n, int64(day/time.Millisecond)))*time.Millisecond, 0), day)
}

// budgetText is a budget as a request states it.
func budgetText(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Millisecond-1)/time.Millisecond), 10) + "ms"
}
