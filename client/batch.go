package client

import "time"

// batch is the body of one request of a Publisher.
type batch struct {
	json    bool
	body    []byte // a JSON array without its last bracket, or bytes back to back
	records int
	since   time.Time // when its first record was taken

	// The sender's alone:
	seq     uint64
	sent    bool // a request is under way, or has succeeded
	first   bool // all before it were acknowledged when it was sent
	held    bool // it overtook one before it: to be sent when it is the first
	unknown bool // some try may have taken effect without an answer; its request's while that is under way
	acked   bool
	ack     Ack
}

// fits reports whether one more record may go in.
func (b *batch) fits(o *PublisherOptions, record []byte) bool {
	return b.records < o.MaxBatchRecords && len(b.body)+len(record)+1 <= o.MaxBatchBytes &&
		(b.json || b.body[len(b.body)-1] == '\n') // the next line would go on in this one
}

// full reports whether nothing more will go in.
func (b *batch) full(o *PublisherOptions) bool {
	return b.records >= o.MaxBatchRecords
}

func (b *batch) add(record []byte) {
	if b.json {
		separator := byte(',')
		if b.records == 0 {
			separator = '['
		}
		b.body = append(b.body, separator)
	}
	b.body = append(b.body, record...)
	b.records++
}

// bytes is the request's body.
func (b *batch) bytes() []byte {
	if b.json {
		return append(b.body, ']') // what is added is never kept: the next call does it again
	}
	return b.body
}
