package subscription

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"twohop"
)

// apiError is an error with the status and the Durable Streams code of its
// answer.
type apiError struct {
	status int
	ds     string // code in the nested form; empty where DS has none
	err    twohop.Error

	allow      string // CodeMethod
	holder     string // CodeAlreadyClaimed
	generation uint64 // CodeAlreadyClaimed
}

func (e *apiError) Error() string { return e.err.Error() }

func (e *apiError) Unwrap() error { return &e.err }

var (
	errNoSubscription = &apiError{status: http.StatusNotFound, ds: "SUBSCRIPTION_NOT_FOUND", err: twohop.Error{
		Code: twohop.CodeNotFound, Message: "there is no such subscription", Hint: "create it with PUT"}}
	errNoRoute = &apiError{status: http.StatusNotFound, err: twohop.Error{
		Code: twohop.CodeNotFound, Message: "there is nothing at this address",
		Hint: "subscriptions are at /v1/stream/__ds/subscriptions/{id}, signing keys at /v1/stream/__ds/jwks.json"}}
	errNotRunning = &apiError{status: http.StatusServiceUnavailable, err: twohop.Error{
		Code: twohop.CodeUnavailable, Message: "subscriptions are not running on this node just now", Hint: "try again"}}
	errDiffers = &apiError{status: http.StatusConflict, ds: "SUBSCRIPTION_ALREADY_EXISTS", err: twohop.Error{
		Code: twohop.CodeSubscriptionExists, Message: "the subscription exists with another configuration",
		Hint: "GET tells how it is; delete it first, or use another id"}}
	errNoWork = &apiError{status: http.StatusConflict, ds: "NO_PENDING_WORK", err: twohop.Error{
		Code: twohop.CodeNoPendingWork, Message: "nothing is pending", Hint: "claim when the wake stream brings the next wake event"}}
	errFenced = &apiError{status: http.StatusConflict, ds: "FENCED", err: twohop.Error{
		Code: twohop.CodeFenced, Message: "this wake is over: it was finished or released, or its lease ran out",
		Hint: "drop the work; what was not acknowledged is announced again"}}
)

func claimedBy(holder string, generation uint64) error {
	return &apiError{status: http.StatusConflict, ds: "ALREADY_CLAIMED", holder: holder, generation: generation, err: twohop.Error{
		Code: twohop.CodeAlreadyClaimed, Message: "another worker holds the lease", Hint: "wait for the next wake event"}}
}

func wrongType(want string) error {
	return &apiError{status: http.StatusBadRequest, ds: "INVALID_REQUEST", err: twohop.Error{
		Code: twohop.CodeInvalidRequest, Message: "this is for subscriptions of type " + want,
		Hint: "webhook workers use callback; pull-wake workers use claim, ack and release"}}
}

func badJSON(message string) error {
	return &apiError{status: http.StatusBadRequest, ds: "INVALID_REQUEST", err: twohop.Error{
		Code: twohop.CodeInvalidJSON, Message: message, Hint: "send one JSON object"}}
}

// noSubscription reports whether an error says that the subscription is not
// there.
func noSubscription(err error) bool {
	e, ok := errors.AsType[*apiError](err)
	return ok && e == errNoSubscription
}

// problem is the body of an error: the flat form that all of /v1/ has, and
// within it the form of Durable Streams.
type problem struct {
	Code    twohop.Code `json:"code"`
	Message string      `json:"message"`
	Hint    string      `json:"hint"`
	DS      *dsProblem  `json:"error,omitempty"`
}

type dsProblem struct {
	Code       string  `json:"code"`
	Message    string  `json:"message"`
	Holder     string  `json:"current_holder,omitempty"`
	Generation *uint64 `json:"generation,omitempty"`
}

// statuses are those of errors that come from the store.
var statuses = map[twohop.Code]int{
	twohop.CodeStorageFull: http.StatusInsufficientStorage,
	twohop.CodeTooLarge:    http.StatusRequestEntityTooLarge,
	twohop.CodeInvalidName: http.StatusBadRequest,
	twohop.CodeInternal:    http.StatusInternalServerError,
}

func (m *Manager) answerError(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*apiError](err)
	if !ok {
		e = &apiError{status: http.StatusServiceUnavailable, err: twohop.Error{
			Code: twohop.CodeUnavailable, Message: "the subscription could not be read or changed", Hint: "try again"}}
		if te, ok := errors.AsType[*twohop.Error](err); ok {
			e.err = *te
			if s, known := statuses[te.Code]; known {
				e.status = s
			}
		}
		if r.Context().Err() == nil || !errors.Is(err, context.Canceled) {
			m.opt.Log.Error("subscription request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
	}
	switch e.err.Code { //nolint:exhaustive // the others leave the connection as it is
	case twohop.CodeTooLarge, twohop.CodeTimeout, twohop.CodeBodyCut:
		w.Header().Set("Connection", "close")
	}
	if e.allow != "" {
		w.Header().Set("Allow", e.allow)
	}
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	p := problem{Code: e.err.Code, Message: e.err.Message, Hint: e.err.Hint}
	if e.ds != "" {
		p.DS = &dsProblem{Code: e.ds, Message: e.err.Message, Holder: e.holder}
		if e.holder != "" {
			p.DS.Generation = &e.generation
		}
	}
	if err := answer(w, e.status, p); err != nil {
		m.opt.Log.Error("encoding an error", "error", err)
	}
}

func answer(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that went away
	return nil
}

// clip shortens what a client sent, for a message.
func clip(s string) string {
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}

// name is the channel that an ack is for.
func (a *ack) name() string {
	if a.Stream != "" {
		return strings.Trim(a.Stream, "/")
	}
	return strings.Trim(a.Path, "/")
}
