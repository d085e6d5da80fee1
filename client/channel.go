package client

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"
)

// Info is what a server says about a channel.
type Info struct {
	ContentType string
	Start       string // the smallest offset that can be read from; "" where the server does not tell
	Tail        string
	Closed      bool
	TTL         time.Duration // 0 is none
	ExpiresAt   time.Time     // zero is none
	Level       string        // of acknowledgements: memory, disk or replicated; "" where the server does not tell
	Created     bool          // this call created it
}

// CreateOptions say how a channel is created.
type CreateOptions struct {
	ContentType string        // "" is application/octet-stream; application/json makes a JSON channel
	TTL         time.Duration // from the last read or publish on, in whole seconds, rounded up; 0 is for ever
	ExpiresAt   time.Time     // zero is never; not together with TTL
	Closed      bool          // it has all that it will have: Data
	Data        []byte        // the first records, as for Client.Publish
}

// Create creates a channel, or finds it there with the same settings. Another
// channel of that name is an error with code exists.
func (c *Client) Create(ctx context.Context, channel string, o CreateOptions) (Info, error) {
	info, err := c.create(ctx, channel, o)
	return info, finalOf(ctx, err)
}

// create is Create with the error of call.
func (c *Client) create(ctx context.Context, channel string, o CreateOptions) (Info, error) {
	h := http.Header{}
	if o.ContentType != "" {
		h.Set("Content-Type", o.ContentType)
	}
	if o.TTL > 0 {
		h.Set("Stream-TTL", strconv.FormatInt(int64((o.TTL+time.Second-1)/time.Second), 10))
	}
	if !o.ExpiresAt.IsZero() {
		h.Set("Stream-Expires-At", o.ExpiresAt.UTC().Format(time.RFC3339Nano))
	}
	if o.Closed {
		h.Set("Stream-Closed", "true")
	}
	a, err := c.call(ctx, http.MethodPut, channel, h, o.Data)
	if err != nil {
		return Info{}, err
	}
	info, err := a.info()
	info.Created = a.status == http.StatusCreated
	return info, err
}

// Head asks what a channel is. One that is not there is an error with code
// not_found. It does not count as a read.
func (c *Client) Head(ctx context.Context, channel string) (Info, error) {
	a, err := c.call(ctx, http.MethodHead, channel, nil, nil)
	if err != nil {
		return Info{}, finalOf(ctx, err)
	}
	info, err := a.info()
	return info, finalOf(ctx, err)
}

// Delete deletes a channel with all its records. One that is not there is an
// error with code not_found.
func (c *Client) Delete(ctx context.Context, channel string) error {
	a, err := c.call(ctx, http.MethodDelete, channel, nil, nil)
	if err == nil && a.status != http.StatusNoContent {
		err = malformed("DELETE answered with %d", a.status)
	}
	return finalOf(ctx, err)
}

// CloseChannel closes a channel: nothing is appended any more, and followers
// end when they have read all of it. Closing it again is no error.
func (c *Client) CloseChannel(ctx context.Context, channel string) error {
	h := http.Header{"Stream-Closed": {"true"}}
	_, err := c.append(ctx, channel, h, nil)
	return finalOf(ctx, err)
}

// answer is what a server says to a request that is not a read.
type answer struct {
	status int
	header http.Header
}

// info is what the answer to a PUT or HEAD says.
func (a *answer) info() (Info, error) {
	h := a.header
	if h.Get("Stream-Next-Offset") == "" {
		return Info{}, malformed("HTTP %d without Stream-Next-Offset", a.status)
	}
	ttl, _ := strconv.ParseInt(h.Get("Stream-TTL"), 10, 32) // 0 where it is not told
	expires, _ := time.Parse(time.RFC3339Nano, h.Get("Stream-Expires-At"))
	return Info{
		ContentType: h.Get("Content-Type"),
		Start:       h.Get("Stream-Start-Offset"),
		Tail:        h.Get("Stream-Next-Offset"),
		Closed:      isTrue(h.Get("Stream-Closed")),
		TTL:         time.Duration(ttl) * time.Second,
		ExpiresAt:   expires,
		Level:       h.Get("Stream-Durability"),
	}, nil
}

const (
	// callTime bounds a request that is not a live read,
	callTime = 30 * time.Second
	// with a second for so many bytes that it sends.
	slowest = 32 << 10
)

// timeToSend is how long it may take to send so many bytes and to be answered.
func timeToSend(n int) time.Duration { return callTime + time.Duration(n/slowest)*time.Second }

// call sends one request that is not a read, once, and discards its body. An
// error is a *failure, or the one of a name or header that cannot be sent.
func (c *Client) call(ctx context.Context, method, channel string, h http.Header, body []byte) (answer, error) {
	target, err := c.URL(channel)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeToSend(len(body)))
	defer cancel()
	var sent atomic.Bool
	if h.Get("Idempotency-Key") != "" { // net/http sends it again by itself, and tells only of the last time
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if h != nil {
		req.Header = h.Clone()
	}
	resp, err := c.do(c.calls, req)
	if err != nil {
		fail := asFailure(err)
		fail.unknown = fail.unknown || sent.Load()
		return answer{}, fail
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		return answer{}, c.refused(resp, channel)
	}
	// The headers are the answer; reading on only keeps the connection usable.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorBody))
	return answer{resp.StatusCode, resp.Header}, nil
}

// finalOf is final for an error of call.
func finalOf(ctx context.Context, err error) error {
	if f, ok := err.(*failure); ok { //nolint:errorlint // call returns it bare
		return final(ctx, f)
	}
	return err
}
