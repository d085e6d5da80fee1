package httpstream

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"twohop"
	"twohop/internal/wire"
)

// status is the one place that turns codes into HTTP.
var status = map[twohop.Code]int{
	twohop.CodeInvalidRequest:     http.StatusBadRequest,
	twohop.CodeInvalidOffset:      http.StatusBadRequest,
	twohop.CodeInvalidName:        http.StatusBadRequest,
	twohop.CodeInvalidHeader:      http.StatusBadRequest,
	twohop.CodeInvalidParameter:   http.StatusBadRequest,
	twohop.CodeInvalidJSON:        http.StatusBadRequest,
	twohop.CodeInvalidContentType: http.StatusBadRequest,
	twohop.CodeEmptyBody:          http.StatusBadRequest,
	twohop.CodeBodyCut:            http.StatusBadRequest,
	twohop.CodeForkOffset:         http.StatusBadRequest,
	twohop.CodeProducerStart:      http.StatusBadRequest,
	twohop.CodeProducerEpoch:      http.StatusForbidden,
	twohop.CodeReserved:           http.StatusForbidden,
	twohop.CodeOrigin:             http.StatusForbidden,
	twohop.CodeHost:               http.StatusForbidden,
	twohop.CodeNotFound:           http.StatusNotFound,
	twohop.CodeMethod:             http.StatusMethodNotAllowed,
	twohop.CodeTimeout:            http.StatusRequestTimeout,
	twohop.CodeExists:             http.StatusConflict,
	twohop.CodeClosed:             http.StatusConflict,
	twohop.CodeContentType:        http.StatusConflict,
	twohop.CodeSeqRegression:      http.StatusConflict,
	twohop.CodeProducerSeq:        http.StatusConflict,
	twohop.CodeForkSource:         http.StatusConflict,
	twohop.CodeSubscriptionExists: http.StatusConflict,
	twohop.CodeFenced:             http.StatusConflict,
	twohop.CodeAlreadyClaimed:     http.StatusConflict,
	twohop.CodeNoPendingWork:      http.StatusConflict,
	twohop.CodeInvalidAck:         http.StatusConflict,
	twohop.CodeWebhookURL:         http.StatusBadRequest,
	twohop.CodeTokenInvalid:       http.StatusUnauthorized,
	twohop.CodeTokenExpired:       http.StatusUnauthorized,
	twohop.CodeGone:               http.StatusGone,
	twohop.CodeReset:              http.StatusGone,
	twohop.CodeTailMoved:          http.StatusPreconditionFailed,
	wire.CodeTooManyChannels:      http.StatusRequestEntityTooLarge,
	twohop.CodeTooLarge:           http.StatusRequestEntityTooLarge,
	twohop.CodeHeaderTooLarge:     http.StatusRequestHeaderFieldsTooLarge,
	twohop.CodeUnsupported:        http.StatusNotImplemented,
	twohop.CodeStorageFull:        http.StatusInsufficientStorage,
	twohop.CodeStorageFailed:      http.StatusServiceUnavailable,
	twohop.CodeUnknownOutcome:     http.StatusServiceUnavailable,
	twohop.CodeUnavailable:        http.StatusServiceUnavailable,
	twohop.CodeInternal:           http.StatusInternalServerError,
}

// statusOf is the status of a code; engines may bring codes of their own.
func statusOf(c twohop.Code) int {
	if s, ok := status[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// asError makes the error that a client is told.
func (h *Handler) asError(r *http.Request, err error) *twohop.Error {
	if e, ok := errors.AsType[*twohop.Error](err); ok {
		if e.Code == twohop.CodeInternal || e.Code == twohop.CodeStorageFailed {
			h.opts.Logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "channel", e.Channel, "error", err)
		}
		return e
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &twohop.Error{Code: twohop.CodeUnavailable, Message: "the request was cancelled", Hint: "try again"}
	}
	h.opts.Logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	return &twohop.Error{Code: twohop.CodeInternal, Message: "the server failed to do this", Hint: "the server's log says why"}
}

// Fail answers an error of a request under /v1/ that another handler serves.
func (h *Handler) Fail(w http.ResponseWriter, r *http.Request, err error) { h.fail(w, r, err) }

// fail answers an error in the one form that all errors have.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := h.asError(r, err)
	hd := w.Header()
	hd.Set("Content-Type", "application/json")
	hd.Set("Cache-Control", "no-store")
	hd.Del("ETag")
	switch e.Code { //nolint:exhaustive // the others need no header
	case twohop.CodeClosed:
		hd.Set("Stream-Closed", "true")
		if e.Tail != nil {
			hd.Set("Stream-Next-Offset", e.Tail.String())
		}
	case twohop.CodeTailMoved:
		if e.Tail != nil {
			hd.Set("Stream-Next-Offset", e.Tail.String())
		}
	case twohop.CodeProducerEpoch:
		hd.Set("Producer-Epoch", strconv.FormatUint(e.Epoch, 10))
	case twohop.CodeProducerSeq:
		hd.Set("Producer-Expected-Seq", strconv.FormatUint(e.Expect, 10))
		hd.Set("Producer-Received-Seq", strconv.FormatUint(e.Got, 10))
	case twohop.CodeReset:
		h.stats.Resets.Add(1)
		hd.Set("Stream-Reset", string(e.Reset.Reason))
	case twohop.CodeStorageFull, twohop.CodeUnavailable, twohop.CodeUnknownOutcome:
		hd.Set("Retry-After", "1")
	case twohop.CodeTooLarge, twohop.CodeTimeout, twohop.CodeBodyCut:
		hd.Set("Connection", "close")
	}
	h.hurry(w, r)
	body := errorBody(e)
	hd.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(statusOf(e.Code))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// errorBody is the JSON form of an error.
func errorBody(e *twohop.Error) []byte {
	b := append([]byte(`{"code":"`), e.Code...)
	b = appendMember(append(b, '"'), "message", e.Message)
	b = appendMember(b, "hint", e.Hint)
	if e.Channel != "" {
		b = appendMember(b, "channel", e.Channel)
	}
	if e.Reset != nil {
		b = wire.ResetFields(append(b, ','), e.Reset)
	}
	return append(b, '}', '\n')
}

func appendMember(b []byte, name, value string) []byte {
	v, err := json.Marshal(value)
	if err != nil {
		v = []byte(`""`) // strings always marshal
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return append(b, v...)
}
