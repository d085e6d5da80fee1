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
	IfMatch        string
	Close          bool
	Producer       *twohop.Producer
	Err            *twohop.Error // what is wrong with it beyond types
}

const (
	itemHint    = `send {"channel":"a","records":[...]}; PROTOCOL.md section 6 shows all members`
	maxKeyBytes = 255
)

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
	for _, t := range [...]struct {
		m  member
		to *string
	}{{mContentType, &it.ContentType}, {mIdempotencyKey, &it.IdempotencyKey}, {mIfMatch, &it.IfMatch}} {
		if o.v[t.m] == nil {
			continue
		}
		if *t.to, _, err = o.text(t.m); err != nil {
			return err
		}
	}
	if it.Close, err = o.flag(mClose); err != nil {
		return err
	}
	if v := o.v[mProducer]; v != nil {
		return it.producer(v)
	}
	return nil
}

func (it *Item) fail(message, hint string) {
	if it.Err == nil {
		it.Err = badFrame(message, hint)
		it.Err.Channel = it.Channel
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
	id, _, err := o.text(mID)
	if err != nil {
		return err
	}
	epoch, _, err := o.number(mEpoch)
	if err != nil {
		return err
	}
	seq, _, err := o.number(mSeq)
	if err != nil {
		return err
	}
	if id == "" || len(id) > maxKeyBytes || epoch < 0 || epoch > maxSafe || seq < 0 || seq > maxSafe {
		it.fail("the producer is malformed", `send {"id":"p","epoch":0,"seq":0}`)
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
	if len(it.IdempotencyKey) > maxKeyBytes {
		it.fail("idempotencyKey has more than 255 bytes", "use a shorter key")
	}
	if it.Err != nil {
		return nil, it.Err
	}
	a := &twohop.Append{Channel: it.Channel, ContentType: it.ContentType, Key: it.IdempotencyKey, Producer: it.Producer, Close: it.Close}
	if it.IfMatch != "" {
		o, err := twohop.ParseOffset(strings.Trim(strings.TrimSpace(it.IfMatch), `"`))
		if err != nil {
			return nil, err
		}
		a.If = &o
	}
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
	return recs, nil
}
