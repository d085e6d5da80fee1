package httpstream

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"twohop"
	"twohop/internal/budget"
	"twohop/internal/wire"
)

// live is how a read ends.
type live uint8

const (
	poll live = iota
	longPoll
	sse
)

const (
	maxTailRecords = 1_000_000
	maxCacheToken  = 1 << 53
)

// query is what a GET asks for.
type query struct {
	live     live
	from     twohop.From
	last     *uint64    // tail_records
	since    *time.Time // since
	token    uint64     // cursor
	hasToken bool
	base64   bool // encoding=base64
	byHeader bool // Last-Event-ID says where the read begins
	budget   tolerance
}

// atTail reports whether only what comes from now on is asked for.
func (q *query) atTail() bool { return q.from.Kind == twohop.FromTail || q.last != nil && *q.last == 0 }

// cacheable reports whether the answer depends on the URL and the channel only,
// and not on the moment or on a header.
func (q *query) cacheable() bool {
	return q.from.Kind != twohop.FromTail && q.last == nil && !q.byHeader
}

func badParameter(name, value, want string) error {
	if len(value) > 80 {
		value = value[:80] + "..."
	}
	return &twohop.Error{Code: twohop.CodeInvalidParameter, Message: name + "=" + strconv.Quote(value) + " is not " + want,
		Hint: "PROTOCOL.md section 3 lists the parameters of a read"}
}

// one takes the only value of a parameter; has is false when it is absent.
func one(v url.Values, name string) (value string, has bool, err error) {
	l, has := v[name]
	if !has {
		return "", false, nil
	}
	if len(l) > 1 {
		return "", true, &twohop.Error{Code: twohop.CodeInvalidParameter, Message: "the parameter " + name + " is given more than once",
			Hint: "give it once"}
	}
	if l[0] == "" {
		return "", true, &twohop.Error{Code: twohop.CodeInvalidParameter, Message: "the parameter " + name + " is empty",
			Hint: "give it a value or leave it out"}
	}
	return l[0], true, nil
}

// parseQuery reads the parameters of a GET.
func parseQuery(raw, lastEventID string) (q query, err error) {
	v, err := url.ParseQuery(raw)
	if err != nil {
		return q, &twohop.Error{Code: twohop.CodeInvalidParameter, Message: "the query string is malformed: " + err.Error(),
			Hint: "percent-encode names and values"}
	}
	if s, has, err := one(v, "live"); err != nil {
		return q, err
	} else if has {
		switch s {
		case "long-poll":
			q.live = longPoll
		case "sse":
			q.live = sse
		default:
			return q, badParameter("live", s, "long-poll or sse")
		}
	}
	if s, has, err := one(v, "cursor"); err != nil {
		return q, err
	} else if has {
		q.token, err = strconv.ParseUint(s, 10, 64)
		if err != nil || q.token > maxCacheToken {
			return q, badParameter("cursor", s, "a token that the server gave as Stream-Cursor")
		}
		q.hasToken = true
	}
	if s, has, err := one(v, "encoding"); err != nil {
		return q, err
	} else if has {
		if s != "base64" {
			return q, badParameter("encoding", s, "base64")
		}
		q.base64 = true
	}
	if s, has, err := one(v, "budget"); err != nil {
		return q, err
	} else if has {
		if q.budget, err = parseBudget(s); err != nil {
			return q, badParameter("budget", s, budget.Form)
		}
	}
	return q, q.position(lastEventID, v)
}

// position reads where the read begins.
func (q *query) position(lastEventID string, v url.Values) error {
	offset, given, err := one(v, "offset")
	if err != nil {
		return err
	}
	if lastEventID != "" {
		q.byHeader = true
		q.from, err = twohop.ParseFrom(lastEventID)
		return err
	}
	if given {
		if q.from, err = twohop.ParseFrom(offset); err != nil {
			return err
		}
	}
	n, hasLast, err := one(v, "tail_records")
	if err != nil {
		return err
	}
	t, hasSince, err := one(v, "since")
	if err != nil {
		return err
	}
	switch {
	case given && hasLast, given && hasSince, hasLast && hasSince:
		return &twohop.Error{Code: twohop.CodeInvalidParameter, Message: "offset, tail_records and since contradict each other",
			Hint: "give one of them"}
	case hasLast:
		last, err := strconv.ParseUint(n, 10, 64)
		if err != nil || last > maxTailRecords {
			return badParameter("tail_records", n, "a number from 0 to 1000000")
		}
		q.last = &last
	case hasSince:
		at, err := parseTime(t)
		if err != nil {
			return badParameter("since", t, "a time as RFC 3339 or Unix milliseconds")
		}
		q.since = &at
	case q.live != poll && !given:
		return &twohop.Error{Code: twohop.CodeInvalidParameter, Message: "a live read needs an offset",
			Hint: "add offset=-1 for everything, offset=now for what comes, or the offset to go on from"}
	}
	return nil
}

func parseTime(s string) (time.Time, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	return time.Parse(time.RFC3339Nano, s)
}

// encoding is how the records go into SSE.
func (q *query) encoding(contentType string) wire.Encoding {
	if q.base64 {
		return wire.EncodeBase64
	}
	return wire.EncodingOf(contentType)
}

// wantsResetEvent reports whether an SSE client knows reset events, see
// PROTOCOL.md section 4.
func wantsResetEvent(r *http.Request) bool {
	return r.Header.Get("Last-Event-ID") != "" || strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}
