package httpstream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"twohop"
	"twohop/internal/wire"
)

// answer is what became of an item.
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
		it, err := wire.ParseItem(bytes.TrimSuffix(list.Record(i), []byte{','}))
		var a *twohop.Append
		if err == nil {
			a, err = it.Append(h.opts.NameBytes)
		}
		if err != nil {
			answers[i] = h.refused(r, it.Channel, err)
			continue
		}
		a.Create = h.opts.Rules.Spec(a.Channel, a.ContentType)
		pending.Add(1)
		h.hub.Engine().Append(detached(r), a, func(ack twohop.Ack, err error) {
			defer pending.Done()
			if err != nil {
				answers[i] = h.refused(r, a.Channel, err)
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

func (h *Handler) refused(r *http.Request, channel string, err error) answer {
	e := h.asError(r, err)
	a := answer{Channel: channel, Status: statusOf(e.Code), Error: errorBody(e)}
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
