package wire

import (
	"encoding/base64"
	"strconv"
	"time"

	"twohop"
)

// The functions here append the server's frames (PROTOCOL.md section 7). An id
// is JSON as the client sent it, nil where there is none.

func appendHead(dst []byte, typ string, id []byte) []byte {
	dst = append(append(append(dst, `{"type":"`...), typ...), '"')
	if id != nil {
		dst = append(append(dst, `,"id":`...), id...)
	}
	return dst
}

func appendChannel(dst []byte, channel string) []byte {
	return appendQuoted(append(dst, `,"channel":`...), channel)
}

func appendOffset(dst []byte, name string, o twohop.Offset) []byte {
	dst = append(append(append(dst, `,"`...), name...), `":"`...)
	return append(o.AppendTo(dst), '"')
}

func appendMilliseconds(dst []byte, name string, d time.Duration) []byte {
	dst = append(append(append(dst, `,"`...), name...), `":`...)
	return strconv.AppendInt(dst, d.Milliseconds(), 10)
}

// AppendWelcome appends the first frame of a WebSocket.
func AppendWelcome(dst []byte, heartbeat time.Duration, maxChannels, maxMessage int) []byte {
	dst = appendMilliseconds(appendHead(dst, "welcome", nil), "heartbeat", heartbeat)
	dst = strconv.AppendInt(append(dst, `,"maxChannels":`...), int64(maxChannels), 10)
	dst = strconv.AppendInt(append(dst, `,"maxMessage":`...), int64(maxMessage), 10)
	return append(dst, '}')
}

// Subscribed says from where on a channel is followed.
type Subscribed struct {
	Offset      twohop.Offset
	Budget      time.Duration
	ContentType string
	Start       twohop.Offset
	UpToDate    bool
	Waiting     bool // there is no such channel yet: no ContentType, no Start
}

// AppendSubscribed appends the answer to a subscribe.
func AppendSubscribed(dst, id []byte, channel string, s *Subscribed) []byte {
	dst = appendChannel(appendHead(dst, "subscribed", id), channel)
	dst = appendMilliseconds(appendOffset(dst, "offset", s.Offset), "budget", s.Budget)
	if !s.Waiting {
		dst = appendQuoted(append(dst, `,"contentType":`...), s.ContentType)
		dst = appendOffset(dst, "start", s.Start)
	}
	dst = strconv.AppendBool(append(dst, `,"upToDate":`...), s.UpToDate)
	if s.Waiting {
		dst = append(dst, `,"waiting":true`...)
	}
	return append(dst, '}')
}

// AppendData appends records, as they are stored, up to the offset next.
func AppendData(dst []byte, channel string, enc Encoding, data []byte, next twohop.Offset, upToDate, closed bool) []byte {
	dst = appendOffset(appendChannel(appendHead(dst, "data", nil), channel), "offset", next)
	if upToDate {
		dst = append(dst, `,"upToDate":true`...)
	}
	if closed {
		dst = append(dst, `,"closed":true`...)
	}
	switch enc {
	case EncodeJSON:
		dst = JSONArray(append(dst, `,"records":`...), data)
	case EncodeText:
		dst = appendQuotedBytes(append(dst, `,"text":`...), data)
	case EncodeBase64:
		dst = append(base64.StdEncoding.AppendEncode(append(dst, `,"base64":"`...), data), '"')
	}
	return append(dst, '}')
}

// AppendReset appends a reset. After ResetDeleted its offsets are the beginning
// of any log.
func AppendReset(dst []byte, channel string, r *twohop.Reset) []byte {
	start, tail, next := r.Start, r.Tail, r.Next()
	if r.Reason == twohop.ResetDeleted {
		start, tail, next = twohop.Offset{}, twohop.Offset{}, twohop.Offset{}
	}
	dst = appendOffset(appendChannel(appendHead(dst, "reset", nil), channel), "offset", next)
	dst = append(append(append(dst, `,"reason":"`...), r.Reason...), '"')
	dst = appendOffset(appendOffset(dst, "start", start), "tail", tail)
	if r.Missed > 0 {
		dst = strconv.AppendUint(append(dst, `,"missed":`...), r.Missed, 10)
	}
	return append(dst, '}')
}

// AppendUnsubscribed appends the answer to an unsubscribe.
func AppendUnsubscribed(dst, id []byte, channel string, at twohop.Offset) []byte {
	return append(appendOffset(appendChannel(appendHead(dst, "unsubscribed", id), channel), "offset", at), '}')
}

// AppendPublished appends the answer to a publish.
func AppendPublished(dst, id []byte, channel string, ack *twohop.Ack, readers int) []byte {
	dst = appendOffset(appendChannel(appendHead(dst, "published", id), channel), "offset", ack.Offset)
	dst = append(append(append(dst, `,"durability":"`...), ack.Level.String()...), '"')
	dst = strconv.AppendInt(append(dst, `,"readers":`...), int64(readers), 10)
	if ack.Duplicate {
		dst = append(dst, `,"duplicate":true`...)
	}
	return append(dst, '}')
}

// AppendToken appends the answer to a token; left is 0 if it does not run out.
func AppendToken(dst, id []byte, left time.Duration) []byte {
	dst = appendHead(dst, "token", id)
	if left > 0 {
		dst = appendMilliseconds(dst, "expires", left)
	}
	return append(dst, '}')
}

// FramePingText is the server's ping.
const FramePingText = `{"type":"ping"}`

// AppendPong appends the answer to a ping.
func AppendPong(dst, id []byte) []byte { return append(appendHead(dst, "pong", id), '}') }

// AppendAdvice appends advice about a channel, or about the connection if
// channel is empty. An interval of 0 is left out.
func AppendAdvice(dst []byte, channel, transport string, interval time.Duration) []byte {
	dst = appendHead(dst, "advice", nil)
	if channel != "" {
		dst = appendChannel(dst, channel)
	}
	dst = appendQuoted(append(dst, `,"transport":`...), transport)
	if interval > 0 {
		dst = appendMilliseconds(dst, "interval", interval)
	}
	return append(dst, '}')
}

// AppendDrain appends the last frame of a node that leaves.
func AppendDrain(dst []byte, delay time.Duration) []byte {
	return append(appendMilliseconds(appendHead(dst, "drain", nil), "delay", delay), '}')
}

// AppendError appends an error, with the tail as its offset where it has one.
func AppendError(dst, id []byte, e *twohop.Error) []byte {
	dst = appendHead(dst, "error", id)
	if e.Channel != "" {
		dst = appendChannel(dst, e.Channel)
	}
	dst = append(append(append(dst, `,"code":"`...), e.Code...), '"')
	dst = appendQuoted(append(dst, `,"message":`...), e.Message)
	dst = appendQuoted(append(dst, `,"hint":`...), e.Hint)
	if e.Tail != nil {
		dst = appendOffset(dst, "offset", *e.Tail)
	}
	return append(dst, '}')
}
