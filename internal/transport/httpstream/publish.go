package httpstream

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"twohop"
	"twohop/internal/wire"
)

// item is one element of a POST /v1/publish.
type item struct {
	Channel        string          `json:"channel"`
	Records        json.RawMessage `json:"records"`
	Text           *string         `json:"text"`
	Base64         *[]byte         `json:"base64"`
	ContentType    string          `json:"contentType"`
	IdempotencyKey *string         `json:"idempotencyKey"`
	IfMatch        *string         `json:"ifMatch"`
	Close          bool            `json:"close"`
	Producer       *struct {
		ID    *string `json:"id"`
		Epoch *uint64 `json:"epoch"`
		Seq   *uint64 `json:"seq"`
	} `json:"producer"`
}

// answer is its answer.
type answer struct {
	Channel    string          `json:"channel"`
	Status     int             `json:"status"`
	Offset     string          `json:"offset,omitempty"`
	Durability string          `json:"durability,omitempty"`
	Readers    *int            `json:"readers,omitempty"`
	Duplicate  bool            `json:"duplicate,omitempty"`
	Closed     bool            `json:"closed,omitempty"`
	Error      json.RawMessage `json:"error,omitempty"`
}

// publishMany answers POST /v1/publish. Items are handed to the engine together
// and in order, so that they share its commits.
func (h *Handler) publishMany(w http.ResponseWriter, r *http.Request) error {
	if !twohop.IsJSON(r.Header.Get("Content-Type")) {
		return &twohop.Error{Code: twohop.CodeInvalidContentType, Message: "the body has to be JSON", Hint: "send Content-Type: application/json"}
	}
	body, err := h.body(w, r)
	if err != nil {
		return err
	}
	recs, err := wire.JSONRecords(body)
	if err != nil {
		return err
	}
	if first := bytes.TrimLeft(body, " \t\r\n"); first[0] != '[' {
		return &twohop.Error{Code: twohop.CodeInvalidRequest, Message: "the body is not an array",
			Hint: `send [{"channel":"a","records":[...]}]; PROTOCOL.md section 6 shows all members`}
	}
	if n := len(recs.Ends); n > h.opts.PublishItems {
		return &twohop.Error{Code: twohop.CodeTooLarge, Message: fmt.Sprintf("%d items, %d are allowed", n, h.opts.PublishItems),
			Hint: "send them in several requests; limits.publish_items sets the limit"}
	}
	list := twohop.Batch{Data: recs.Data, Ends: recs.Ends}
	answers := make([]answer, list.Len())
	var pending sync.WaitGroup
	for i := range answers {
		it, err := parseItem(bytes.TrimSuffix(list.Record(i), []byte{','}))
		var a *twohop.Append
		if err == nil {
			a, err = h.itemAppend(it)
		}
		if err != nil {
			answers[i] = h.refused(r, it, err)
			continue
		}
		pending.Add(1)
		h.hub.Engine().Append(detached(r), a, func(ack twohop.Ack, err error) {
			defer pending.Done()
			if err != nil {
				answers[i] = h.refused(r, it, err)
				return
			}
			answers[i] = h.accepted(a, ack)
		})
	}
	pending.Wait()
	code := http.StatusOK
	for i := range answers {
		if answers[i].Error != nil {
			code = http.StatusMultiStatus
		}
	}
	out, err := json.Marshal(answers)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(out, '\n'))
	return nil
}

// parseItem reads one element. What is wrong with it is wrong with it alone.
func parseItem(b []byte) (*item, error) {
	it := &item{}
	err := json.Unmarshal(b, it)
	if err == nil {
		return it, nil
	}
	msg := "the item is malformed: " + err.Error()
	var wrong *json.UnmarshalTypeError
	var base64Error base64.CorruptInputError
	switch {
	case errors.As(err, &wrong) && wrong.Field == "":
		msg = "the item is not an object but a " + wrong.Value
	case errors.As(err, &wrong):
		msg = wrong.Field + " cannot be a " + wrong.Value
	case errors.As(err, &base64Error):
		msg = fmt.Sprintf("base64 is malformed at byte %d", int64(base64Error))
	}
	return it, badItem(it, msg, `send {"channel":"a","records":[...]}; PROTOCOL.md section 6 shows all members`)
}

func (h *Handler) refused(r *http.Request, it *item, err error) answer {
	e := h.asError(r, err)
	a := answer{Channel: it.Channel, Status: statusOf(e.Code), Error: errorBody(e)}
	if e.Tail != nil {
		a.Offset = e.Tail.String()
	}
	return a
}

func (h *Handler) accepted(a *twohop.Append, ack twohop.Ack) answer {
	out := answer{Channel: a.Channel, Status: http.StatusNoContent, Durability: ack.Level.String(), Duplicate: ack.Duplicate, Closed: ack.Closed}
	if !ack.Offset.IsZero() {
		out.Offset = ack.Offset.String()
	}
	n := h.hub.Readers(a.Channel)
	out.Readers = &n
	if !ack.Duplicate {
		h.stats.Published.Add(int64(len(a.Ends)))
	}
	return out
}

func badItem(it *item, msg, hint string) error {
	return &twohop.Error{Code: twohop.CodeInvalidRequest, Channel: it.Channel, Message: msg, Hint: hint}
}

// itemAppend turns an item into an append.
func (h *Handler) itemAppend(it *item) (*twohop.Append, error) {
	if err := twohop.CheckName(it.Channel, h.opts.NameBytes); err != nil {
		return nil, err
	}
	if twohop.Reserved(it.Channel) {
		return nil, &twohop.Error{Code: twohop.CodeReserved, Channel: it.Channel, Message: "the channel belongs to the server",
			Hint: "use a name that begins neither with $ nor with __ds/"}
	}
	a := &twohop.Append{Channel: it.Channel, ContentType: it.ContentType, Close: it.Close}
	if err := it.conditions(a); err != nil {
		return nil, err
	}
	if err := itemRecords(it, a); err != nil {
		return nil, err
	}
	a.Create = h.opts.Rules.Spec(it.Channel, a.ContentType)
	return a, nil
}

// conditions sets what the append depends on. What is there but empty is refused:
// who sent it meant one, and without it the publish would be carried out anyhow.
func (it *item) conditions(a *twohop.Append) (err error) {
	if k := it.IdempotencyKey; k != nil {
		if a.Key = *k; a.Key == "" || len(a.Key) > maxKeyBytes {
			return badItem(it, fmt.Sprintf("idempotencyKey has %d bytes, 1 to %d are possible", len(a.Key), maxKeyBytes), "give another key, or leave it out")
		}
	}
	if it.IfMatch != nil {
		if a.If, err = wire.ParseIfMatch(*it.IfMatch); err != nil {
			return err
		}
	}
	p := it.Producer
	if p == nil {
		return nil
	}
	const hint = `send {"id":"p","epoch":0,"seq":0}`
	if p.ID == nil || p.Epoch == nil || p.Seq == nil {
		return badItem(it, "the producer lacks one of id, epoch and seq", hint)
	}
	if *p.ID == "" || len(*p.ID) > maxKeyBytes || *p.Epoch >= 1<<53 || *p.Seq >= 1<<53 {
		return badItem(it, "the producer is malformed", hint)
	}
	a.Producer = &twohop.Producer{ID: *p.ID, Epoch: *p.Epoch, Seq: *p.Seq}
	return nil
}

// itemRecords takes the one of records, text and base64 that is there.
func itemRecords(it *item, a *twohop.Append) error {
	n := 0
	for _, has := range []bool{it.Records != nil, it.Text != nil, it.Base64 != nil} {
		if has {
			n++
		}
	}
	if n > 1 || n == 0 && !it.Close {
		return badItem(it, fmt.Sprintf("%d of records, text and base64 are given", n), "give one of them")
	}
	var recs wire.Records
	var err error
	switch {
	case it.Records != nil:
		if it.Records[0] != '[' {
			return badItem(it, "records is not an array", "wrap a single record in an array")
		}
		if a.ContentType == "" {
			a.ContentType = "application/json"
		}
		if recs, err = wire.JSONRecords(it.Records); err != nil {
			return err
		}
	case it.Text != nil && *it.Text != "":
		if a.ContentType == "" {
			a.ContentType = "text/plain"
		}
		recs = wire.OneRecord([]byte(*it.Text))
	case it.Base64 != nil && len(*it.Base64) > 0:
		if a.ContentType == "" {
			a.ContentType = "application/octet-stream"
		}
		recs = wire.OneRecord(*it.Base64)
	}
	if len(recs.Ends) == 0 {
		a.ContentType = ""
	} else if err := twohop.CheckContentType(a.ContentType); err != nil {
		return err
	}
	if len(recs.Ends) == 0 && !it.Close {
		return badItem(it, "there are no records", "give at least one record with at least one byte")
	}
	if it.Records == nil && twohop.IsJSON(a.ContentType) && len(recs.Ends) > 0 {
		return badItem(it, "text and base64 cannot go into JSON", "use records")
	}
	a.Data, a.Ends = recs.Data, recs.Ends
	return nil
}
