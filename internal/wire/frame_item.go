package wire

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"twohop"
)

// Item is one publish, in a frame or in a list of them (PROTOCOL.md section 6).
type Item struct {
	Channel        string
	Records        []byte // an array of JSON as it came, nil if it is missing
	Bytes          []byte // of text or base64
	HasText        bool
	HasBase64      bool
	ContentType    string
	IdempotencyKey string
	If             *twohop.Offset // of ifMatch
	Close          bool
	Producer       *twohop.Producer
	Err            *twohop.Error // what is wrong with it beyond types
}

const (
	itemHint     = `send {"channel":"a","records":[...]}; PROTOCOL.md section 6 shows all members`
	producerHint = `send {"id":"p","epoch":0,"seq":0}`
	maxKeyBytes  = 255
)

// ParseItem reads an element of a POST /v1/publish by the rules of frames. What
// it returns of one that is malformed has its channel at most.
func ParseItem(b []byte) (it Item, err error) {
	if len(b) == 0 || b[0] != '{' {
		return it, badFrame("the item is not an object", itemHint)
	}
	var o object
	if err = o.read(b); err == nil {
		err = it.read(&o)
	} else {
		it.Channel, _, _ = o.text(mChannel) // as far as it was read
	}
	if e, ok := err.(*twohop.Error); ok && e.Code == CodeInvalidFrame { //nolint:errorlint // made right here
		e.Code, e.Hint, e.Channel = twohop.CodeInvalidRequest, itemHint, it.Channel
	}
	return it, err
}

func (it *Item) read(o *object) (err error) {
	if it.Channel, _, err = o.text(mChannel); err != nil {
		return err
	}
	if it.Records = o.v[mRecords]; it.Records != nil && it.Records[0] != '[' {
		return wrongType(mRecords, "an array")
	}
	text, has, err := o.text(mText)
	if err != nil {
		return err
	}
	if it.HasText = has; has {
		it.Bytes = []byte(text)
	}
	if text, has, err = o.text(mBase64); err != nil {
		return err
	}
	if it.HasBase64 = has; has {
		if it.Bytes, err = base64.StdEncoding.DecodeString(text); err != nil {
			at, _ := errors.AsType[base64.CorruptInputError](err)
			it.fail(fmt.Sprintf("base64 is malformed at byte %d", int64(at)), itemHint)
		}
	}
	if it.ContentType, _, err = o.text(mContentType); err != nil {
		return err
	}
	if err = it.conditions(o); err != nil {
		return err
	}
	if it.Close, err = o.flag(mClose); err != nil {
		return err
	}
	if v := o.v[mProducer]; v != nil {
		return it.producer(v)
	}
	return nil
}

// conditions reads what a publish depends on. What is there but empty is refused:
// who sent it meant one, and without it the publish would be carried out anyhow.
func (it *Item) conditions(o *object) error {
	key, has, err := o.text(mIdempotencyKey)
	if err != nil {
		return err
	}
	if it.IdempotencyKey = key; has && (key == "" || len(key) > maxKeyBytes) {
		it.fail(fmt.Sprintf("idempotencyKey has %d bytes, 1 to %d are possible", len(key), maxKeyBytes), "give another key, or leave it out")
	}
	match, has, err := o.text(mIfMatch)
	if err != nil || !has {
		return err
	}
	if it.If, err = ParseIfMatch(match); err != nil {
		e, _ := err.(*twohop.Error) //nolint:errorlint // ParseIfMatch has no other
		it.refuse(e)
	}
	return nil
}

// ParseIfMatch reads an item's ifMatch or the header of a publish, with or without
// quotes.
func ParseIfMatch(s string) (*twohop.Offset, error) {
	o, err := twohop.ParseOffset(strings.Trim(strings.TrimSpace(s), `"`))
	if err == nil {
		return &o, nil
	}
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	return nil, &twohop.Error{Code: twohop.CodeInvalidOffset, Message: fmt.Sprintf("ifMatch %q is not an offset", s),
		Hint: "use the offset that the tail has to be at, as the server gave it, or leave ifMatch out"}
}

func (it *Item) fail(message, hint string) { it.refuse(badFrame(message, hint)) }

// refuse notes what is wrong with it, unless something was before.
func (it *Item) refuse(e *twohop.Error) {
	if it.Err == nil {
		e.Channel = it.Channel
		it.Err = e
	}
}

func (it *Item) producer(v []byte) error {
	if v[0] != '{' {
		return wrongType(mProducer, "an object")
	}
	var o object
	if err := o.read(v); err != nil {
		return err
	}
	id, hasID, err := o.text(mID)
	if err != nil {
		return err
	}
	epoch, hasEpoch, err := o.number(mEpoch)
	if err != nil {
		return err
	}
	seq, hasSeq, err := o.number(mSeq)
	if err != nil {
		return err
	}
	if !hasID || !hasEpoch || !hasSeq {
		it.fail("the producer lacks one of id, epoch and seq", producerHint)
		return nil
	}
	if id == "" || len(id) > maxKeyBytes || epoch < 0 || epoch > maxSafe || seq < 0 || seq > maxSafe {
		it.fail("the producer is malformed", producerHint)
		return nil
	}
	it.Producer = &twohop.Producer{ID: id, Epoch: uint64(epoch), Seq: uint64(seq)}
	return nil
}

// Append makes an append of the item, which keeps nothing of the message.
// Whether and how it creates its channel is the caller's.
func (it *Item) Append(nameBytes int) (*twohop.Append, error) {
	if err := twohop.CheckName(it.Channel, nameBytes); err != nil {
		return nil, err
	}
	if twohop.Reserved(it.Channel) {
		return nil, &twohop.Error{Code: twohop.CodeReserved, Channel: it.Channel, Message: "the channel belongs to the server",
			Hint: "use a name that begins neither with $ nor with __ds/"}
	}
	if it.Err != nil {
		return nil, it.Err
	}
	a := &twohop.Append{Channel: it.Channel, ContentType: it.ContentType, Key: it.IdempotencyKey, If: it.If, Producer: it.Producer, Close: it.Close}
	recs, err := it.records(a)
	if err != nil {
		return nil, err
	}
	a.Data, a.Ends = recs.Data, recs.Ends
	return a, nil
}

// records takes the one of records, text and base64 that is there.
func (it *Item) records(a *twohop.Append) (recs Records, err error) {
	n, standard := 0, ""
	for _, kind := range [...]struct {
		has         bool
		contentType string
	}{{it.Records != nil, "application/json"}, {it.HasText, "text/plain"}, {it.HasBase64, "application/octet-stream"}} {
		if kind.has {
			n++
			standard = kind.contentType
		}
	}
	if n > 1 || n == 0 && !it.Close {
		it.fail(fmt.Sprintf("%d of records, text and base64 are given", n), "give one of them")
		return recs, it.Err
	}
	if it.Records != nil {
		if recs, err = JSONRecords(it.Records); err != nil {
			return recs, err
		}
	} else if len(it.Bytes) > 0 {
		recs = OneRecord(it.Bytes)
	}
	if len(recs.Ends) == 0 {
		a.ContentType = ""
		if !it.Close {
			it.fail("there are no records", "give at least one record with at least one byte")
			return recs, it.Err
		}
		return recs, nil
	}
	if a.ContentType == "" {
		a.ContentType = standard
	} else if err := twohop.CheckContentType(a.ContentType); err != nil {
		return recs, err
	}
	if it.Records == nil && twohop.IsJSON(a.ContentType) {
		it.fail("text and base64 cannot go into JSON", "use records")
		return recs, it.Err
	}
	if it.Records != nil && !twohop.IsJSON(a.ContentType) {
		it.fail("records are JSON and go into nothing else", "use text or base64, or leave out contentType")
		return recs, it.Err
	}
	return recs, nil
}
