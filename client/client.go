package client

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"twohop"
)

// Options of a Client. The zero value is the default.
type Options struct {
	// HTTPClient sends the requests. It must have no Timeout, which would cut
	// every live read. Nil is a client of its own. It is copied: if its Transport
	// is an *http.Transport, what is not a read goes through a clone of that, and
	// of redirects what is no GET follows 307 and 308 only.
	HTTPClient *http.Client

	// Header is called for each request; what it returns is added to the
	// request. This is where a token goes, fresh each time, as
	// {"Authorization": {"Bearer ..."}}. For a WebSocket, which has one request
	// only, it is called again before the server says that a bearer token runs
	// out, and the server is given the new one.
	Header func() http.Header

	// BackoffMin and BackoffMax bound the wait before a request that failed is
	// tried again: a random time between nothing and a bound that begins at
	// BackoffMin and doubles up to BackoffMax. 200 ms and 15 s.
	BackoffMin, BackoffMax time.Duration

	// Silence is how long a live response may bring nothing at all, not even a
	// heartbeat, before it is taken for dead and made anew; a long poll has twice
	// as long. 45 s, three heartbeats of the server. Where a server says that it
	// breaks its silence less often, three of those count if that is longer.
	Silence time.Duration

	// MaxEventBytes bounds an answer or event, and so a follower's memory. 64 MiB.
	MaxEventBytes int

	// Logger hears of retries, at level debug. Nil is none.
	Logger *slog.Logger
}

func (o *Options) setDefaults() {
	if o.HTTPClient == nil {
		t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented to be one
		t.MaxIdleConnsPerHost = 16
		o.HTTPClient = &http.Client{Transport: t}
	}
	if o.BackoffMin == 0 {
		o.BackoffMin = 200 * time.Millisecond
	}
	if o.BackoffMax == 0 {
		o.BackoffMax = max(15*time.Second, o.BackoffMin)
	}
	if o.Silence == 0 {
		o.Silence = 45 * time.Second
	}
	if o.MaxEventBytes == 0 {
		o.MaxEventBytes = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Client talks to one server.
type Client struct {
	base  string // without a slash at the end
	opts  Options
	calls *http.Client // for what is not a read
	path  path

	// extended says that the server names its extensions, which every answer of
	// a twohop server does.
	extended atomic.Bool
}

// New makes a client for the server at base, for example
// "http://127.0.0.1:4437". It connects to nothing yet.
func New(base string, o Options) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, &twohop.Error{
			Code:    twohop.CodeInvalidRequest,
			Message: fmt.Sprintf("%q is not the address of a server", base),
			Hint:    "give it like http://127.0.0.1:4437 or https://updates.example",
			Err:     err,
		}
	}
	if o.HTTPClient != nil && o.HTTPClient.Timeout != 0 {
		return nil, &twohop.Error{
			Code:    twohop.CodeInvalidRequest,
			Message: fmt.Sprintf("HTTPClient has a Timeout of %v, which would cut every live read", o.HTTPClient.Timeout),
			Hint:    "leave it at zero: what takes too long is ended anyway, see Silence",
		}
	}
	if o.BackoffMax != 0 && o.BackoffMax < o.BackoffMin {
		return nil, &twohop.Error{
			Code:    twohop.CodeInvalidRequest,
			Message: fmt.Sprintf("BackoffMax (%v) is below BackoffMin (%v)", o.BackoffMax, o.BackoffMin),
			Hint:    "leave both at zero for the defaults",
		}
	}
	o.setDefaults()
	o.HTTPClient = keepingMethod(o.HTTPClient)
	return &Client{base: strings.TrimRight(base, "/"), opts: o, calls: apart(o.HTTPClient)}, nil
}

// keepingMethod makes an HTTP client that follows redirects only with the method
// that the request had. On 301, 302 and 303 net/http makes any other a GET,
// whose answer would pass for one to a publish.
func keepingMethod(h *http.Client) *http.Client {
	own := *h
	own.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		switch {
		case r.Method != via[0].Method:
			return http.ErrUseLastResponse
		case h.CheckRedirect != nil:
			return h.CheckRedirect(r, via)
		case len(via) >= maxRedirects:
			return fmt.Errorf("stopped after %d redirects", maxRedirects)
		}
		return nil
	}
	return &own
}

const maxRedirects = 10

// apart makes an HTTP client with connections of its own. Reads are given up at
// any moment, and net/http returns a connection to its pool a moment before a
// response without a body is taken: a read given up just then breaks off
// whatever was sent on its connection since.
func apart(h *http.Client) *http.Client {
	transport := h.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	t, ok := transport.(*http.Transport)
	if !ok {
		return h
	}
	own := *h
	own.Transport = t.Clone()
	return &own
}

// maxName is the longest channel name that the client sends at all; servers are
// stricter.
const maxName = 4096

// URL is the address of a channel.
func (c *Client) URL(channel string) (string, error) {
	if err := twohop.CheckName(channel, maxName); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(c.base)
	b.WriteString("/v1/stream")
	for segment := range strings.SplitSeq(channel, "/") {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(segment))
	}
	return b.String(), nil
}

// do sends one request and returns its answer whatever the status; the error is
// the connection's, or a *failure if the request cannot be sent. The caller closes
// the body.
func (c *Client) do(by *http.Client, r *http.Request) (*http.Response, error) {
	maps.Copy(r.Header, c.header())
	if err := checkHeader(r.Header); err != nil {
		return nil, err
	}
	resp, err := by.Do(r)
	if err == nil && isExtended(resp.Header) {
		c.extended.Store(true)
	}
	return resp, err
}

// checkHeader finds what net/http would not send, which no other try mends.
func checkHeader(h http.Header) error {
	for name, values := range h {
		for _, v := range values {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return &failure{err: &twohop.Error{
					Code: twohop.CodeInvalidHeader, Message: fmt.Sprintf("the header %s has a line break or another control character in it", name),
					Hint: "a token that was read from a file may have a line break at its end",
				}}
			}
		}
	}
	return nil
}

func isExtended(h http.Header) bool { return h.Get("Stream-Extensions") != "" }

// sleep waits for d or until the context is done.
func sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
