package twohop

import (
	"fmt"
)

// Code names a kind of error. Codes are part of the protocol: PROTOCOL.md lists
// them all with their HTTP status.
type Code string

// The error codes.
const (
	CodeInvalidRequest     Code = "invalid_request"
	CodeInvalidOffset      Code = "invalid_offset"
	CodeInvalidName        Code = "invalid_name"
	CodeInvalidHeader      Code = "invalid_header"
	CodeInvalidParameter   Code = "invalid_parameter"
	CodeInvalidJSON        Code = "invalid_json"
	CodeInvalidContentType Code = "invalid_content_type"
	CodeEmptyBody          Code = "empty_body"
	CodeBodyCut            Code = "body_cut"
	CodeTooLarge           Code = "too_large"
	CodeHeaderTooLarge     Code = "header_too_large"
	CodeTimeout            Code = "timeout"
	CodeNotFound           Code = "not_found"
	CodeGone               Code = "gone"
	CodeReset              Code = "reset"
	CodeMethod             Code = "method_not_allowed"
	CodeReserved           Code = "reserved_channel"
	CodeOrigin             Code = "origin_not_allowed"
	CodeHost               Code = "host_not_allowed"
	CodeExists             Code = "exists"
	CodeClosed             Code = "closed"
	CodeContentType        Code = "content_type_mismatch"
	CodeSeqRegression      Code = "seq_regression"
	CodeProducerEpoch      Code = "stale_producer_epoch"
	CodeProducerSeq        Code = "producer_seq_gap"
	CodeProducerStart      Code = "producer_must_start_at_zero"
	CodeTailMoved          Code = "tail_moved"
	CodeForkSource         Code = "fork_source_deleted"
	CodeForkOffset         Code = "invalid_fork_offset"
	CodeUnsupported        Code = "unsupported"
	CodeSubscriptionExists Code = "subscription_exists"
	CodeWebhookURL         Code = "webhook_url_rejected"
	CodeTokenInvalid       Code = "token_invalid"
	CodeTokenExpired       Code = "token_expired"
	CodeFenced             Code = "fenced"
	CodeAlreadyClaimed     Code = "already_claimed"
	CodeNoPendingWork      Code = "no_pending_work"
	CodeInvalidAck         Code = "invalid_ack"
	CodeStorageFull        Code = "storage_full"
	CodeStorageFailed      Code = "storage_failed"
	CodeUnknownOutcome     Code = "unknown_outcome"
	CodeUnavailable        Code = "unavailable"
	CodeInternal           Code = "internal"
)

// Error is every error that a user can see: what went wrong (Message) and what
// to do about it (Hint).
type Error struct {
	Code    Code
	Message string
	Hint    string
	Channel string

	Tail   *Offset // CodeClosed, CodeTailMoved: where the channel ends
	Reset  *Reset  // CodeReset
	Epoch  uint64  // CodeProducerEpoch: the producer's present epoch
	Expect uint64  // CodeProducerSeq: the sequence number that is due
	Got    uint64  // CodeProducerSeq: the one that came

	Err error // the cause, for the log; not shown to clients
}

func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if e.Channel != "" {
		s = e.Channel + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Reset says why an offset cannot be served and where to go on.
type Reset struct {
	Reason ResetReason
	Start  Offset // the oldest offset that can be read from
	Tail   Offset
	Missed uint64 // records between the offset and Start, where they can be counted
}

// ResetReason is why an offset cannot be served.
type ResetReason string

// The reasons of a reset.
const (
	ResetTrimmed ResetReason = "trimmed" // below the start: retention dropped what followed it
	ResetAhead   ResetReason = "ahead"   // beyond the tail
	ResetEpoch   ResetReason = "epoch"   // of another log: the channel was deleted, re-created or replaced
	ResetDeleted ResetReason = "deleted" // the channel was deleted while it was read
)

// Error makes the error that carries the reset.
func (r *Reset) Error(channel string, at Offset) *Error {
	e := &Error{Code: CodeReset, Channel: channel, Reset: r}
	switch r.Reason {
	case ResetTrimmed:
		e.Message = fmt.Sprintf("offset %s is below the start: %d records after it are no longer kept", at, r.Missed)
		e.Hint = "go on from the start that this answer names, and treat what lies between as missed"
	case ResetAhead:
		e.Message = fmt.Sprintf("offset %s is beyond the tail", at)
		e.Hint = "go on from the tail that this answer names; the offset is not one that this server gave"
	case ResetEpoch:
		e.Message = fmt.Sprintf("offset %s belongs to another log of this channel", at)
		e.Hint = "the channel was deleted, re-created or replaced; read it anew from the start that this answer names"
	case ResetDeleted:
		e.Message = "the channel was deleted"
		e.Hint = "stop, or ask again for a successor"
	}
	return e
}

// Next is the offset to go on from.
func (r *Reset) Next() Offset {
	if r.Reason == ResetAhead {
		return r.Tail
	}
	return r.Start
}
