package client

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"twohop"
)

// frame is a frame of the server (PROTOCOL.md, 7), of any type.
type frame struct {
	Type    string  `json:"type"`
	ID      frameID `json:"id"`
	Channel string  `json:"channel"`
	Offset  string  `json:"offset"`

	// subscribed, data
	Budget      int64           `json:"budget"`
	ContentType string          `json:"contentType"`
	UpToDate    bool            `json:"upToDate"`
	Waiting     bool            `json:"waiting"`
	Closed      bool            `json:"closed"`
	Records     json.RawMessage `json:"records"`
	Text        *string         `json:"text"`
	Base64      []byte          `json:"base64"`

	resetFields // subscribed has its start too

	// published
	Durability string `json:"durability"`
	Readers    *int   `json:"readers"`
	Duplicate  bool   `json:"duplicate"`

	// token, welcome, advice, drain
	Expires     int64  `json:"expires"`
	Heartbeat   int64  `json:"heartbeat"`
	MaxChannels int    `json:"maxChannels"`
	MaxMessage  int    `json:"maxMessage"`
	Transport   string `json:"transport"`
	Interval    int64  `json:"interval"`
	Delay       int64  `json:"delay"`

	// error
	Code    twohop.Code `json:"code"`
	Message string      `json:"message"`
	Hint    string      `json:"hint"`
}

// frameID is an id of this client's, which are numbers from 1 on; 0 is none, or
// one that is not.
type frameID uint64

// UnmarshalJSON implements json.Unmarshaler.
func (id *frameID) UnmarshalJSON(b []byte) error {
	n, _ := strconv.ParseUint(string(b), 10, 64) // 0 where it is no number
	*id = frameID(n)
	return nil
}

// The types of frames.
const (
	frameWelcome      = "welcome"
	frameSubscribe    = "subscribe"
	frameSubscribed   = "subscribed"
	frameData         = "data"
	frameReset        = "reset"
	frameUnsubscribe  = "unsubscribe"
	frameUnsubscribed = "unsubscribed"
	framePublish      = "publish"
	framePublished    = "published"
	frameToken        = "token"
	framePing         = "ping"
	framePong         = "pong"
	frameAdvice       = "advice"
	frameDrain        = "drain"
	frameError        = "error"
)

func parseFrame(b []byte) (*frame, error) {
	var f frame
	if err := json.Unmarshal(b, &f); err != nil || f.Type == "" {
		return nil, malformed("a message that is no frame")
	}
	return &f, f.check()
}

// parseFrames reads an array of frames, as /v1/subscribe sends them.
func parseFrames(b []byte) ([]frame, error) {
	var all []frame
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, malformed("not an array of frames")
	}
	for i := range all {
		if err := all[i].check(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// check refuses frames that lack what all else relies on.
func (f *frame) check() error {
	switch f.Type {
	case frameData, frameReset, frameUnsubscribed:
		if f.Channel == "" || f.Offset == "" {
			return malformed("a frame %q without a channel or an offset", f.Type)
		}
		switch {
		case string(f.Records) == "null":
			f.Records = nil
		case f.Records != nil && f.Records[0] != '[':
			return malformed("a frame %q whose records are no array", f.Type)
		}
	case frameSubscribed:
		if f.Channel == "" || f.Offset == "" && !f.Waiting {
			return malformed("a frame %q without a channel or an offset", f.Type)
		}
	}
	return nil
}

// serves reports whether it shows that a channel is served.
func (f *frame) serves() bool {
	switch f.Type {
	case frameSubscribed, frameData, frameReset, frameUnsubscribed:
		return true
	}
	return false
}

// records are the records of a data frame.
func (f *frame) records() (records [][]byte, isJSON bool) {
	switch {
	case f.Records != nil:
		return cutArray(f.Records), true
	case f.Text != nil && *f.Text != "":
		return [][]byte{[]byte(*f.Text)}, false
	case len(f.Base64) > 0:
		return [][]byte{f.Base64}, false
	}
	return nil, false
}

// maxMessage is how many bytes a message to the server may have.
func (f *frame) maxMessage() int {
	const least = 64 << 10
	if f.MaxMessage <= 0 {
		return least
	}
	return f.MaxMessage
}

func (f *frame) drain() error { return &drained{milliseconds(f.Delay)} }

func (f *frame) advice() Advice { return adviceOf(f.Transport, milliseconds(f.Interval)) }

// ack is the answer to a publish.
func (f *frame) ack(closed bool) Ack {
	a := Ack{Offset: f.Offset, Level: f.Durability, Readers: -1, Duplicate: f.Duplicate, Closed: closed}
	if f.Readers != nil {
		a.Readers = *f.Readers
	}
	return a
}

// failure is what an error frame says.
func (f *frame) failure() *failure {
	e := &twohop.Error{Code: f.Code, Message: f.Message, Hint: f.Hint, Channel: f.Channel}
	fail := &failure{err: e, told: true}
	switch f.Code {
	case twohop.CodeUnavailable, twohop.CodeTimeout:
		fail.retry = true
	case twohop.CodeInternal, twohop.CodeStorageFailed, twohop.CodeStorageFull, twohop.CodeUnknownOutcome:
		fail.retry, fail.unknown = true, true
	default: // the channel's or the caller's fault
	}
	if tail, err := twohop.ParseOffset(f.Offset); err == nil {
		e.Tail = &tail
	}
	return fail
}

// channelRequest asks for a channel, in a frame or in a body of /v1/subscribe.
type channelRequest struct {
	Channel     string  `json:"channel"`
	Offset      string  `json:"offset,omitempty"`
	TailRecords *uint64 `json:"tailRecords,omitempty"`
	Since       string  `json:"since,omitempty"`
	Budget      string  `json:"budget,omitempty"`
	Encoding    string  `json:"encoding"` // base64: text, as JSON has it, is UTF-8 only
}

// size is at most how many bytes it takes on the wire, its commas too.
func (r *channelRequest) size() int {
	const members = 128 // names, quotes, numbers
	return members + 6*len(r.Channel) + 6*len(r.Offset) + len(r.Since) + len(r.Budget)
}

// named reports whether a request names the offset.
func (f *Following) named() bool {
	return f.from.parameter == "offset" && f.from != Now() && f.from != At("-1")
}

// request asks for what follows.
func (f *Following) request() channelRequest {
	r := channelRequest{Channel: f.channel, Encoding: "base64"}
	switch {
	case f.from == Start():
		r.Offset = "-1"
	case f.from.parameter == "tail_records":
		r.TailRecords = &f.from.n
	case f.from.parameter == "since":
		r.Since = f.from.value
	default:
		r.Offset = f.from.value
	}
	if f.opts.Budget > 0 {
		r.Budget = budgetText(f.opts.Budget)
	}
	return r
}

// clientFrame is a frame of the client's.
type clientFrame struct {
	Type     string  `json:"type"`
	ID       frameID `json:"id,omitempty"`
	Channels any     `json:"channels,omitempty"`
	Token    string  `json:"token,omitempty"`
	*publishItem
}

// publishItem is an item of /v1/publish (PROTOCOL.md, 6).
type publishItem struct {
	Channel        string          `json:"channel"`
	Records        json.RawMessage `json:"records,omitempty"`
	Text           *string         `json:"text,omitempty"`
	Base64         []byte          `json:"base64,omitempty"`
	ContentType    string          `json:"contentType,omitempty"`
	IdempotencyKey string          `json:"idempotencyKey,omitempty"`
	IfMatch        string          `json:"ifMatch,omitempty"`
	Close          bool            `json:"close,omitempty"`
}

// size is at most how many bytes it takes as a frame.
func (i *publishItem) size() int {
	const members = 512 // names, quotes, numbers
	n := members + 6*len(i.Channel) + len(i.Records) + len(i.Base64)/3*4 + 6*len(i.ContentType) + 6*len(i.IdempotencyKey) + 6*len(i.IfMatch)
	if i.Text != nil {
		n += 6 * len(*i.Text)
	}
	return n
}

// bytes is the frame on the wire. It fails where the caller's JSON is none.
func (f *clientFrame) bytes() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // records keep their text
	err := e.Encode(f)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// drained says that the server leaves, and when to come back.
type drained struct{ delay time.Duration }

func (*drained) Error() string { return "the server leaves" }
