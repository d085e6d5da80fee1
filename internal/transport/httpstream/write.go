package httpstream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"twohop"
	"twohop/internal/wire"
)

// Body reads the body of a request that another handler serves.
func (h *Handler) Body(w http.ResponseWriter, r *http.Request) ([]byte, error) { return h.body(w, r) }

// body reads a request's body, whole.
func (h *Handler) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > h.opts.BodyBytes {
		return nil, h.tooLarge()
	}
	if r.ContentLength == 0 {
		return nil, nil
	}
	// Connections without deadlines (tests' recorders) do without.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.opts.BodyTime))
	body, err := readBody(http.MaxBytesReader(w, r.Body, h.opts.BodyBytes), r.ContentLength)
	var large *http.MaxBytesError
	switch {
	case err == nil:
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		return body, nil
	case errors.As(err, &large):
		return nil, h.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &twohop.Error{Code: twohop.CodeTimeout, Message: fmt.Sprintf("the body did not arrive within %v", h.opts.BodyTime),
			Hint: "send it faster or in smaller parts; limits.body_time sets the time"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &twohop.Error{Code: twohop.CodeBodyCut, Message: fmt.Sprintf("the body ended after %d bytes, before its end", len(body)),
			Hint: "nothing was stored; send the whole request again", Err: err}
	}
	return nil, &twohop.Error{Code: twohop.CodeBodyCut, Message: "the body could not be read: " + err.Error(),
		Hint: "nothing was stored; send the whole request again", Err: err}
}

const trustedLength = 64 << 10

// readBody reads a body of a length that was announced, or -1. Only so much is
// allocated as has arrived, but for small bodies; and what is returned, which
// engines may keep, has little room to spare.
func readBody(in io.Reader, length int64) ([]byte, error) {
	if length >= 0 && length <= trustedLength {
		b := make([]byte, length)
		n, err := io.ReadFull(in, b)
		return b[:n], err
	}
	var buf bytes.Buffer
	_, err := buf.ReadFrom(in)
	if b := buf.Bytes(); cap(b)-len(b) > len(b)/8 {
		return bytes.Clone(b), err
	}
	return buf.Bytes(), err
}

// hurry bounds the time that the server takes to get rid of a request's body
// that nobody wants to read.
func (h *Handler) hurry(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.opts.BodyTime))
	}
}

func (h *Handler) tooLarge() error {
	return &twohop.Error{Code: twohop.CodeTooLarge, Message: fmt.Sprintf("the body has more than %d bytes", h.opts.BodyBytes),
		Hint: "send it in several requests; limits.body_bytes sets the limit"}
}

// records cuts a body into records by its media type.
func records(body []byte, contentType string, hd http.Header) (wire.Records, error) {
	mode, err := only(hd, "Stream-Records")
	switch {
	case err != nil:
		return wire.Records{}, err
	case mode != "" && mode != "lines":
		return wire.Records{}, badHeader("Stream-Records", mode, "lines")
	case len(body) == 0:
		return wire.Records{}, nil
	case twohop.IsJSON(contentType):
		return wire.JSONRecords(body)
	case mode == "lines":
		return wire.LineRecords(body), nil
	}
	return wire.OneRecord(body), nil
}

func badHeader(name, value, want string) error {
	if len(value) > 80 {
		value = value[:80] + "..."
	}
	return &twohop.Error{Code: twohop.CodeInvalidHeader, Message: fmt.Sprintf("%s: %q is not %s", name, value, want),
		Hint: "PROTOCOL.md lists the headers of each request"}
}

// only is the value of a header that may be given once, or "".
func only(hd http.Header, name string) (string, error) {
	v := hd[name]
	switch len(v) {
	case 0:
		return "", nil
	case 1:
		return v[0], nil
	}
	return "", &twohop.Error{Code: twohop.CodeInvalidHeader, Message: "the header " + name + " is given more than once", Hint: "give it once"}
}

func isTrue(s string) bool { return strings.EqualFold(s, "true") }

// fill makes an append what a POST asks for.
func (h *Handler) fill(a *twohop.Append, name, contentType string, hd http.Header, body []byte) error {
	*a = twohop.Append{Channel: name, ContentType: contentType, Close: isTrue(hd.Get("Stream-Closed"))}
	if len(body) == 0 && !a.Close {
		return &twohop.Error{Code: twohop.CodeEmptyBody, Channel: name, Message: "the body is empty",
			Hint: "send the records as the body, or Stream-Closed: true to close the channel"}
	}
	if err := conditions(a, hd); err != nil {
		return err
	}
	if len(body) == 0 {
		a.ContentType = "" // of nothing: clients add it by habit (DS 5.2)
	}
	if len(body) > 0 && contentType != "application/json" {
		if err := twohop.CheckContentType(contentType); err != nil {
			return err
		}
	}
	recs, err := records(body, contentType, hd)
	if err != nil {
		return err
	}
	if len(body) > 0 && len(recs.Ends) == 0 {
		return &twohop.Error{Code: twohop.CodeEmptyBody, Channel: name, Message: "the array is empty", Hint: "send at least one record"}
	}
	a.Data, a.Ends = recs.Data, recs.Ends
	a.Create = h.opts.Rules.Spec(name, a.ContentType)
	return nil
}

// append answers a POST.
func (h *Handler) append(w http.ResponseWriter, r *http.Request, name string) error {
	body, err := h.body(w, r)
	if err != nil {
		return err
	}
	contentType, err := only(r.Header, "Content-Type")
	if err != nil {
		return err
	}
	a := &twohop.Append{}
	if err := h.fill(a, name, contentType, r.Header, body); err != nil {
		return h.mismatchOr(r, a, err)
	}
	ack, err := h.hub.Append(r.Context(), a)
	if err != nil {
		return err
	}
	h.acknowledge(w.Header(), a, ack)
	w.WriteHeader(appendStatus(a, ack))
	return nil
}

// appendStatus is 200 for new records of an idempotent producer (DS 5.2.1).
func appendStatus(a *twohop.Append, ack twohop.Ack) int {
	if a.Producer != nil && !ack.Duplicate && len(a.Ends) > 0 {
		return http.StatusOK
	}
	return http.StatusNoContent
}

// mismatchOr prefers to tell that the channel is closed, or keeps something
// else than JSON, over what is wrong with the JSON.
func (h *Handler) mismatchOr(r *http.Request, a *twohop.Append, err error) error {
	if e := h.asError(r, err); e.Code != twohop.CodeInvalidJSON {
		return err
	}
	info, e := h.hub.Info(r.Context(), a.Channel)
	if e != nil {
		if te := h.asError(r, e); te.Code == twohop.CodeNotFound && !h.opts.Rules.For(a.Channel).Create {
			return te
		}
		return err
	}
	if info.Closed {
		return &twohop.Error{Code: twohop.CodeClosed, Channel: a.Channel, Tail: &info.Tail,
			Message: "the channel is closed", Hint: "a closed channel takes no more records; publish to another one"}
	}
	if !twohop.SameContentType(info.ContentType, a.ContentType) {
		return &twohop.Error{Code: twohop.CodeContentType, Channel: a.Channel,
			Message: fmt.Sprintf("the channel keeps %s, the request brings %s", info.ContentType, a.ContentType),
			Hint:    "send Content-Type: " + info.ContentType}
	}
	return err
}

// acknowledge sets the headers of a publish's answer.
func (h *Handler) acknowledge(hd http.Header, a *twohop.Append, ack twohop.Ack) {
	if !ack.Offset.IsZero() {
		hd.Set("Stream-Next-Offset", ack.Offset.String())
	}
	hd.Set("Stream-Durability", ack.Level.String())
	hd.Set("Stream-Readers", strconv.Itoa(h.hub.Readers(a.Channel)))
	if ack.Closed {
		hd.Set("Stream-Closed", "true")
	}
	if ack.Duplicate {
		hd.Set("Stream-Duplicate", "true")
	} else {
		h.stats.Published.Add(int64(len(a.Ends)))
	}
	if a.Producer != nil {
		hd.Set("Producer-Epoch", strconv.FormatUint(a.Producer.Epoch, 10))
		hd.Set("Producer-Seq", strconv.FormatUint(ack.Seq, 10))
	}
}

const (
	maxKeyBytes = 255
	maxSeqBytes = 1 << 10 // it is kept with the channel
)

// conditions reads the headers of an append.
func conditions(a *twohop.Append, hd http.Header) error {
	var err error
	if a.Producer, err = producer(hd); err != nil {
		return err
	}
	if a.Seq, err = only(hd, "Stream-Seq"); err != nil {
		return err
	}
	if len(a.Seq) > maxSeqBytes {
		return badHeader("Stream-Seq", a.Seq, "at most 1,024 bytes")
	}
	if v, has := hd["Idempotency-Key"]; has {
		a.Key = v[0]
		if len(v) > 1 || a.Key == "" || len(a.Key) > maxKeyBytes {
			return badHeader("Idempotency-Key", a.Key, "one key of 1 to 255 bytes")
		}
	}
	if v, has := hd["If-Match"]; has {
		if a.If, err = wire.ParseIfMatch(v[0]); err != nil || len(v) > 1 {
			return badHeader("If-Match", v[0], "one offset, as Stream-Next-Offset gave it")
		}
	}
	return nil
}

// producer reads the producer triple (DS 5.2.1), or nil.
func producer(hd http.Header) (*twohop.Producer, error) {
	id, hasID := hd["Producer-Id"]
	epoch, hasEpoch := hd["Producer-Epoch"]
	seq, hasSeq := hd["Producer-Seq"]
	for _, name := range []string{"Producer-Id", "Producer-Epoch", "Producer-Seq"} {
		if _, err := only(hd, name); err != nil {
			return nil, err
		}
	}
	if !hasID && !hasEpoch && !hasSeq {
		return nil, nil
	}
	if !hasID || !hasEpoch || !hasSeq {
		return nil, &twohop.Error{Code: twohop.CodeInvalidHeader, Message: "an idempotent producer sends Producer-Id, Producer-Epoch and Producer-Seq, all three",
			Hint: "add the missing ones, or leave all out"}
	}
	if id[0] == "" || len(id[0]) > maxKeyBytes {
		return nil, badHeader("Producer-Id", id[0], "1 to 255 bytes")
	}
	p := &twohop.Producer{ID: id[0]}
	var ok bool
	if p.Epoch, ok = plainNumber(epoch[0]); !ok {
		return nil, badHeader("Producer-Epoch", epoch[0], "a whole number up to 2^53-1")
	}
	if p.Seq, ok = plainNumber(seq[0]); !ok {
		return nil, badHeader("Producer-Seq", seq[0], "a whole number up to 2^53-1")
	}
	return p, nil
}

// plainNumber reads digits up to 2^53-1.
func plainNumber(s string) (uint64, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 10, 53)
	return n, err == nil
}
