package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"twohop"
)

// failure is why one try did not succeed.
type failure struct {
	err        *twohop.Error
	reset      *Reset        // the offset cannot be served
	retry      bool          // another try may succeed
	unknown    bool          // it may have taken effect all the same
	told       bool          // it is of a twohop server, not of what stands before one
	retryAfter time.Duration // what the server asked for
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// asFailure makes a failure of any error of a try.
func asFailure(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	return disconnected(err)
}

// disconnected is the failure of a connection: it may have broken before or
// after the server did what it was asked, if there ever was one.
func disconnected(err error) *failure {
	dial, ok := errors.AsType[*net.OpError](err)
	return &failure{retry: true, unknown: !ok || dial.Op != "dial", err: &twohop.Error{
		Code:    twohop.CodeUnavailable,
		Message: "no answer from the server",
		Hint:    "is the server running, and is its address right?",
		Err:     err,
	}}
}

// malformed is the failure of an answer that no server of this protocol gives,
// for example a proxy's page.
func malformed(format string, args ...any) *failure {
	return &failure{retry: true, unknown: true, err: &twohop.Error{
		Code:    twohop.CodeUnavailable,
		Message: "not the answer of a twohop or Durable Streams server: " + fmt.Sprintf(format, args...),
		Hint:    "check the server's address, and what stands between here and there",
	}}
}

const maxErrorBody = 64 << 10

// refused reads the error of an answer whose status is not a success. Headers
// of Durable Streams are looked at before the body, which only twohop sends.
func (c *Client) refused(resp *http.Response, channel string) *failure {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // an error's text may be cut
	f := refusedAs(resp, body, channel)
	if resp.StatusCode == http.StatusNotFound && !f.told && !isExtended(resp.Header) && c.extended.Load() {
		// A balancer says so that has no server at the moment.
		return malformed("%s", f.err.Message)
	}
	return f
}

// refusedAs is refused for a body that was read, of whatever server.
func refusedAs(resp *http.Response, body []byte, channel string) *failure {
	var told struct {
		Code    twohop.Code `json:"code"`
		Message string      `json:"message"`
		Hint    string      `json:"hint"`
		Channel string      `json:"channel"`
		resetFields
	}
	isTold := json.Unmarshal(body, &told) == nil && told.Code != ""
	if !isTold {
		told.Code = codeOf(resp)
		told.Message = "HTTP " + resp.Status
		if s := strings.TrimSpace(string(body)); s != "" && len(s) < 200 {
			told.Message += ": " + s
		}
		if to, err := resp.Location(); err == nil && resp.StatusCode < http.StatusBadRequest {
			told.Message = "HTTP " + resp.Status + ": redirected to " + to.Redacted()
			told.Hint = "give the client the address of the server itself, or redirect with 307 or 308, which keep the method"
		}
	}
	e := &twohop.Error{Code: told.Code, Message: told.Message, Hint: told.Hint, Channel: cmp.Or(channel, told.Channel)}
	f := &failure{err: e, told: isTold, retryAfter: retryAfter(resp.Header)}
	f.retry = resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout ||
		resp.StatusCode == http.StatusTooEarly || resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented ||
		e.Code == twohop.CodeBodyCut
	f.unknown = resp.StatusCode >= 500
	if e.Code == twohop.CodeReset {
		f.reset = told.reset()
	}
	if tail, err := twohop.ParseOffset(resp.Header.Get("Stream-Next-Offset")); err == nil {
		e.Tail = &tail
	}
	e.Epoch = headerNumber(resp, "Producer-Epoch")
	e.Expect = headerNumber(resp, "Producer-Expected-Seq")
	e.Got = headerNumber(resp, "Producer-Received-Seq")
	return f
}

func headerNumber(resp *http.Response, name string) uint64 {
	n, _ := strconv.ParseUint(resp.Header.Get(name), 10, 64) // 0 where it is not told
	return n
}

// codeOf finds the code for an answer that does not name one.
func codeOf(resp *http.Response) twohop.Code {
	has := func(name string) bool { return resp.Header.Get(name) != "" }
	switch resp.StatusCode {
	case http.StatusNotFound:
		return twohop.CodeNotFound
	case http.StatusGone:
		return twohop.CodeGone
	case http.StatusMethodNotAllowed:
		return twohop.CodeMethod
	case http.StatusPreconditionFailed:
		return twohop.CodeTailMoved
	case http.StatusRequestEntityTooLarge:
		return twohop.CodeTooLarge
	case http.StatusForbidden:
		if has("Producer-Epoch") {
			return twohop.CodeProducerEpoch
		}
	case http.StatusConflict:
		switch {
		case isTrue(resp.Header.Get("Stream-Closed")):
			return twohop.CodeClosed
		case has("Producer-Expected-Seq"):
			return twohop.CodeProducerSeq
		}
		return twohop.CodeExists
	}
	switch {
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusBadGateway,
		resp.StatusCode == http.StatusServiceUnavailable, resp.StatusCode == http.StatusGatewayTimeout:
		return twohop.CodeUnavailable
	case resp.StatusCode >= 500:
		return twohop.CodeInternal
	}
	return twohop.CodeInvalidRequest
}

func isTrue(s string) bool { return strings.EqualFold(s, "true") }

// IsCode reports whether err is a twohop error with the code.
func IsCode(err error, code twohop.Code) bool {
	e, ok := errors.AsType[*twohop.Error](err)
	return ok && e.Code == code
}

// final is the error that a caller gets when trying is over: the context's, if
// it has ended, else the failure's.
func final(ctx context.Context, f *failure) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.err
}
