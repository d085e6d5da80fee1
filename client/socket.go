package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// subprotocol names the frames of PROTOCOL.md, 7.
const subprotocol = "twohop.v1"

// socket is a WebSocket to the server, past its welcome.
type socket struct {
	conn    *websocket.Conn
	welcome *frame
	token   string // of the handshake, "" if it had none
}

// dial makes a WebSocket. proof is how long it may take from when there is a
// connection to the welcome; 0 is as long as any answer.
func (c *Client) dial(ctx context.Context, proof time.Duration) (*socket, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(callTime, func() { cancel(errSilent) })
	defer limit.Stop()
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		if connected.Store(true); proof > 0 {
			limit.Reset(proof)
		}
	}})
	o := &websocket.DialOptions{
		HTTPClient: c.opts.HTTPClient, HTTPHeader: c.header().Clone(), Subprotocols: []string{subprotocol},
		CompressionMode: websocket.CompressionNoContextTakeover,
	}
	if err := checkHeader(o.HTTPHeader); err != nil {
		return nil, err
	}
	conn, resp, err := websocket.Dial(traced, c.base+"/v1/ws", o)    //nolint:bodyclose // Dial closes it
	silent := func() bool { return context.Cause(ctx) == errSilent } //nolint:errorlint // set bare
	switch {
	case err == nil:
	case silent() && connected.Load():
		return nil, &obstructed{disconnected(errSilent)}
	case resp != nil:
		return nil, c.notUpgraded(resp)
	case !connected.Load(): // nobody there, which has nothing to do with WebSocket
		fail := disconnected(err)
		fail.unknown = false
		return nil, fail
	default:
		return nil, disconnected(err)
	}
	if isExtended(resp.Header) {
		c.extended.Store(true)
	}
	s := &socket{conn: conn, token: bearer(o.HTTPHeader)}
	conn.SetReadLimit(int64(c.opts.MaxEventBytes))
	if conn.Subprotocol() != subprotocol {
		s.close()
		return nil, &obstructed{malformed("a WebSocket without the subprotocol %s", subprotocol)}
	}
	f, _, err := s.read(ctx, func() {})
	if err == nil && f.Type == frameDrain {
		err = f.drain()
	} else if err == nil && f.Type != frameWelcome {
		err = malformed("a WebSocket that begins with a frame %q", f.Type)
	}
	if err != nil {
		s.close()
		if silent() {
			err = &obstructed{disconnected(errSilent)}
		}
		return nil, err
	}
	s.welcome = f
	return s, nil
}

// notUpgraded is why a handshake was answered by something else than a
// WebSocket.
func (c *Client) notUpgraded(resp *http.Response) error {
	fail := c.refused(resp, "")
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		fail.unknown = false
		return fail
	case status >= 500:
		return fail // a proxy whose server is away, or that does not know Upgrade
	case status == http.StatusNotFound && fail.retry:
		return fail // a balancer that has no server, see refused
	case fail.told && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		return fail
	}
	return &obstructed{fail} // also where a proxy took Upgrade out of the request
}

// read reads a frame, and tells its size, and before that each time that some of
// it came.
func (s *socket) read(ctx context.Context, came func()) (*frame, int, error) {
	kind, r, err := s.conn.Reader(ctx)
	b := bytes.NewBuffer(takeBuffer(0)[:0])
	defer func() { giveBuffer(b.Bytes()) }()
	if err == nil {
		_, err = b.ReadFrom(noted{r, came})
	}
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return nil, 0, tooLarge(errTooLarge)
	case err != nil:
		return nil, 0, closedBy(err)
	case kind != websocket.MessageText:
		return nil, 0, malformed("a binary message")
	}
	f, err := parseFrame(b.Bytes())
	return f, b.Len(), err
}

// noted tells of what is read.
type noted struct {
	io.Reader
	came func()
}

func (n noted) Read(p []byte) (int, error) {
	got, err := n.Reader.Read(p)
	if got > 0 {
		n.came()
	}
	return got, err
}

// closedBy is the failure that the end of a WebSocket was.
func closedBy(err error) error {
	fail := disconnected(err)
	said, ok := errors.AsType[websocket.CloseError](err)
	if !ok {
		return fail
	}
	fail.err.Message = fmt.Sprintf("the server closed the connection with %d %q", said.Code, said.Reason)
	fail.err.Hint = "another connection goes on at the same offsets; PROTOCOL.md section 8 tells why each code is sent"
	fail.err.Err = nil
	switch said.Code { //nolint:exhaustive // the others say nothing of use
	case websocket.StatusServiceRestart, websocket.StatusGoingAway, websocket.StatusNormalClosure:
		fail.unknown = false // in good order
	}
	return fail
}

func (s *socket) write(ctx context.Context, f *clientFrame) error {
	b, err := f.bytes()
	if err == nil {
		err = s.conn.Write(ctx, websocket.MessageText, b)
	}
	if err != nil {
		return disconnected(err)
	}
	return nil
}

// close breaks the connection: all that counts was acknowledged, or is asked
// for again.
func (s *socket) close() { _ = s.conn.CloseNow() }
