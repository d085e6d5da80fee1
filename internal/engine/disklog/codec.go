package disklog

import (
	"encoding/binary"
	"errors"
	"time"

	"twohop"
	"twohop/internal/engine"
)

// formatVersion is the first byte of every channel's value.
const (
	formatVersion = 2
	formatCloser  = 1 // with the producer triple that closed the channel, which nobody needs
)

var errCorrupt = errors.New("disklog: a stored value cannot be decoded")

// encoder appends values to a buffer; decoder reads them back in order.
type encoder []byte

func (e *encoder) uint(v uint64)    { *e = binary.AppendUvarint(*e, v) }
func (e *encoder) int(v int64)      { *e = binary.AppendVarint(*e, v) }
func (e *encoder) string(s string)  { e.uint(uint64(len(s))); *e = append(*e, s...) }
func (e *encoder) time(t time.Time) { e.int(t.Unix()); e.uint(uint64(t.Nanosecond())) } //nolint:gosec // not negative

func (e *encoder) offset(o twohop.Offset) { e.uint(o.Epoch); e.uint(o.Pos) }

func (e *encoder) bool(b bool) {
	if b {
		e.uint(1)
	} else {
		e.uint(0)
	}
}

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	d.skip(n)
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	d.skip(n)
	return v
}

func (d *decoder) skip(n int) {
	if n <= 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return
	}
	d.b = d.b[n:]
}

func (d *decoder) string() string {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

// count reads a number of things that take at least one byte each.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n) //nolint:gosec // at most the length of a slice
}

func (d *decoder) bool() bool            { return d.uint() != 0 }
func (d *decoder) offset() twohop.Offset { return twohop.Offset{Epoch: d.uint(), Pos: d.uint()} }

func (d *decoder) time() time.Time {
	sec := d.int()
	return time.Unix(sec, int64(d.count0())).UTC()
}

func (d *decoder) err() error {
	if d.bad {
		return errCorrupt
	}
	return nil
}

// encode makes the stored form of a channel. The tail is not in it: the last
// stored batch tells it, or kept where there is none. Of the retention it has the age that due was set for:
// a start finds by it who is to be looked at.
func (ch *channel) encode() []byte {
	e := append(make(encoder, 0, 256), formatVersion)
	e.uint(ch.id)
	e.uint(ch.Epoch)
	e.string(ch.ContentType)
	e.int(int64(ch.TTL))
	e.time(ch.ExpiresAt)
	e.time(ch.Created)
	e.uint(uint64(ch.Sync))
	e.int(int64(ch.dueAge))
	e.uint(ch.Retention.Records)
	e.uint(ch.Retention.Bytes)
	e.uint(ch.Base)
	e.uint(ch.Start)
	e.bool(ch.Closed)
	e.string(ch.Seq)
	e.bool(ch.Fork != nil)
	if f := ch.Fork; f != nil {
		e.string(f.Source)
		e.uint(f.Sub)
		e.bool(f.At != nil)
		if f.At != nil {
			e.offset(*f.At)
		}
	}
	e.uint(uint64(len(ch.Parents)))
	for _, p := range ch.Parents {
		e.uint(p.Epoch)
		e.uint(p.From)
		e.uint(p.To)
	}
	e.uint(uint64(ch.Refs)) //nolint:gosec // not negative
	e.bool(ch.Deleted)
	e.uint(uint64(ch.earlier)) //nolint:gosec // not negative
	e.uint(ch.run)
	e.uint(ch.baseBytes)
	e.int(ch.baseTime)
	e.int(ch.used)
	e.int(ch.due)
	e.uint(ch.kept)
	e.uint(ch.keptBytes)
	e.bool(ch.producers)
	e.bool(ch.keys)
	return e
}

// decodeChannel reads what encode made; the tail stands at the base.
func decodeChannel(name string, value []byte) (*channel, error) {
	if len(value) == 0 || value[0] != formatVersion && value[0] != formatCloser {
		return nil, errCorrupt
	}
	d := decoder{b: value[1:]}
	ch := &channel{State: engine.State{Name: name}}
	ch.id = d.uint()
	ch.Epoch = d.uint()
	ch.ContentType = d.string()
	ch.TTL = time.Duration(d.int())
	ch.ExpiresAt = d.time()
	ch.Created = d.time()
	ch.Sync = twohop.Sync(d.uint()) //nolint:gosec // was one
	ch.Retention = twohop.Retention{Age: time.Duration(d.int()), Records: d.uint(), Bytes: d.uint()}
	ch.dueAge = ch.Retention.Age
	ch.Base = d.uint()
	ch.Start = d.uint()
	ch.Closed = d.bool()
	if value[0] == formatCloser {
		_, _, _ = d.string(), d.uint(), d.uint()
	}
	ch.Seq = d.string()
	if d.bool() {
		ch.Fork = &twohop.Fork{Source: d.string(), Sub: d.uint()}
		if d.bool() {
			at := d.offset()
			ch.Fork.At = &at
		}
	}
	for range d.count() {
		ch.Parents = append(ch.Parents, engine.Segment{Epoch: d.uint(), From: d.uint(), To: d.uint()})
	}
	ch.Refs = int(d.uint()) //nolint:gosec // was one
	ch.Deleted = d.bool()
	ch.earlier = d.count0()
	ch.run = d.uint()
	ch.baseBytes = d.uint()
	ch.baseTime = d.int()
	ch.used = d.int()
	ch.due = d.int()
	ch.kept = d.uint()
	ch.keptBytes = d.uint()
	ch.producers = d.bool()
	ch.keys = d.bool()
	ch.Tail, ch.bytes, ch.time = ch.Base, ch.baseBytes, ch.baseTime
	if ch.earlier > len(ch.Parents) {
		d.bad = true
	}
	return ch, d.err()
}

// count0 reads a small number that counts nothing in the buffer.
func (d *decoder) count0() int {
	n := d.uint()
	if n > 1<<30 {
		d.bad = true
		return 0
	}
	return int(n) //nolint:gosec // checked
}

func encodeProducer(p *engine.ProducerState) []byte {
	e := make(encoder, 0, 32)
	e.uint(p.Epoch)
	e.uint(p.Seq)
	e.uint(uint64(len(p.Acks)))
	for _, o := range p.Acks {
		e.offset(o)
	}
	return e
}

func decodeProducer(value []byte) (*engine.ProducerState, error) {
	d := decoder{b: value}
	p := &engine.ProducerState{Epoch: d.uint(), Seq: d.uint()}
	for range d.count() {
		p.Acks = append(p.Acks, d.offset())
	}
	return p, d.err()
}

// keyAnswer is what an idempotency key was answered, and when.
type keyAnswer struct {
	at     int64
	offset twohop.Offset
}

func (k keyAnswer) encode() []byte {
	e := make(encoder, 0, 24)
	e.int(k.at)
	e.offset(k.offset)
	return e
}

func decodeKeyAnswer(value []byte) (keyAnswer, error) {
	d := decoder{b: value}
	k := keyAnswer{at: d.int(), offset: d.offset()}
	return k, d.err()
}
