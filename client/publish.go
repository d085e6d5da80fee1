package client

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"twohop"
)

// Ack is a server's word that records are in a channel. Its Offset can be given
// to At, to read what comes after them, and to PublishOptions.IfMatch.
type Ack struct {
	Records   int    // how many this answers for; 0 from Client.Publish
	Offset    string // after the last of them
	Level     string // what the word is worth: memory, disk or replicated; "" where the server does not tell
	Readers   int    // live readers of the channel on that node just then; -1 where the server does not tell
	Duplicate bool   // they were there already, from an earlier try
	Closed    bool   // the channel is closed now
}

// PublishOptions of one Publish.
type PublishOptions struct {
	// ContentType must be the channel's. "" is application/octet-stream.
	ContentType string

	// IdempotencyKey makes a repetition harmless: within a window, 5 min if the
	// server's idempotency_window is no other, a publish with a key that the
	// channel has seen changes nothing and gets the first answer. With a key,
	// Publish tries until it has an answer, but not beyond 4.5 min after a try
	// that may have taken effect: then the error has the code unknown_outcome. It
	// is an extension of twohop's servers.
	IdempotencyKey string

	// IfMatch is the offset that the channel's tail must be at, or else the
	// error has the code tail_moved. "" is any. It is an extension of twohop's
	// servers.
	IfMatch string

	Lines bool // each line of the data is a record (see PROTOCOL.md 5); an extension
	Close bool // close the channel behind the data
}

// Publish appends data in one request. In a JSON channel an array is many
// records and any other value is one; in any other channel the data is one
// record. Without an IdempotencyKey it is sent once, and where no answer comes,
// within 30 s and one more for each 32 KiB, or the context, it is not known
// whether it took effect: the error has the code unknown_outcome, and wraps the
// reason. A Publisher has no such doubt.
func (c *Client) Publish(ctx context.Context, channel string, data []byte, o PublishOptions) (Ack, error) {
	h := o.header()
	return c.trying(ctx, channel, o.IdempotencyKey != "", func(ctx context.Context) (Ack, error) {
		return c.append(ctx, channel, h, data)
	})
}

// append sends one request that publishes or closes, with the error of call.
func (c *Client) append(ctx context.Context, channel string, h http.Header, data []byte) (Ack, error) {
	a, err := c.call(ctx, http.MethodPost, channel, h, data)
	if err != nil {
		return Ack{}, err
	}
	return a.ack()
}

// keyTime is how long after the first try that may have taken effect its key is
// used: a server knows it for 5 min, and what is sent last may be on its way for
// a while.
const keyTime = 5*time.Minute - 30*time.Second

// trying publishes once, or until there is an answer, with a context that ends
// before a server may have forgotten the key.
func (c *Client) trying(ctx context.Context, channel string, again bool, once func(context.Context) (Ack, error)) (Ack, error) {
	if err := ctx.Err(); err != nil {
		return Ack{}, err
	}
	b, unknown, within := c.backoff(), false, ctx
	for {
		begun := time.Now()
		ack, err := once(within)
		if err == nil {
			return ack, nil
		}
		fail, ok := err.(*failure) //nolint:errorlint // call returns it bare
		if !ok {
			return Ack{}, err
		}
		// An error of the server's changes nothing, but for the one that says so.
		if !unknown && fail.unknown && (!fail.told || fail.err.Code == twohop.CodeUnknownOutcome) {
			unknown = true
			var cancel context.CancelFunc
			within, cancel = context.WithDeadline(ctx, begun.Add(keyTime))
			defer cancel()
		}
		if !fail.retry || !again || sleep(within, b.next(fail.retryAfter)) != nil {
			err := final(ctx, fail)
			if unknown && (fail.retry || ctx.Err() != nil) {
				err = unsettled(channel, err)
			}
			return Ack{}, err
		}
	}
}

// unsettled is the error of a publish that had no answer.
func unsettled(channel string, err error) error {
	return &twohop.Error{
		Code: twohop.CodeUnknownOutcome, Channel: channel, Message: "whether the publish took effect is not known", Err: err,
		Hint: "read the channel to see; by a Publisher, or for some minutes with an IdempotencyKey, a publish can be repeated without harm",
	}
}

// header is that of a request that publishes.
func (o *PublishOptions) header() http.Header {
	h := publishHeader(o.ContentType, o.Lines)
	if o.IdempotencyKey != "" {
		h.Set("Idempotency-Key", o.IdempotencyKey)
	}
	if o.IfMatch != "" {
		h.Set("If-Match", strconv.Quote(o.IfMatch))
	}
	if o.Close {
		h.Set("Stream-Closed", "true")
	}
	return h
}

// defaultContentType is what bytes are that nobody says more of.
const defaultContentType = "application/octet-stream"

func publishHeader(contentType string, lines bool) http.Header {
	if contentType == "" {
		contentType = defaultContentType
	}
	h := http.Header{"Content-Type": {contentType}}
	if lines {
		h.Set("Stream-Records", "lines")
	}
	return h
}

// ack is what the answer to a publish says. The offset is missing only where a
// producer repeats what is long ago.
func (a *answer) ack() (Ack, error) {
	h := a.header
	repeated := a.status == http.StatusNoContent && h.Get("Producer-Seq") != ""
	if h.Get("Stream-Next-Offset") == "" && !repeated {
		return Ack{}, malformed("HTTP %d to a publish, without Stream-Next-Offset", a.status)
	}
	ack := Ack{
		Offset: h.Get("Stream-Next-Offset"), Level: h.Get("Stream-Durability"), Readers: -1,
		Duplicate: isTrue(h.Get("Stream-Duplicate")), Closed: isTrue(h.Get("Stream-Closed")),
	}
	if n, err := strconv.Atoi(h.Get("Stream-Readers")); err == nil {
		ack.Readers = n
	}
	return ack, nil
}
