package client

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"twohop"
	"twohop/internal/wire"
)

// PublisherOptions of a Publisher. The zero value publishes records of
// application/octet-stream to a channel that exists, under an id of its own.
type PublisherOptions struct {
	// ProducerID names the producer to the server, which knows its repetitions
	// by it. "" is a random one. With an id of one's own, the same records must
	// be published in the same batches again (see FixedBatches) for a repetition
	// to be known.
	ProducerID string

	// Epoch is the producer epoch. A larger one fences off older producers of
	// the same id.
	Epoch uint64

	// AutoClaim takes the id over, with a larger producer epoch, if the server
	// says at the first batch that another has it.
	AutoClaim bool

	// ContentType must be the channel's. "" is application/octet-stream.
	ContentType string

	// Lines says that records of a channel that is not JSON are lines, with
	// their line breaks, so that many fit into one request. Without it, and
	// outside JSON, a request carries one record. One that lacks its line break
	// is the last of its request.
	Lines bool

	// Create, if not nil, creates the channel when it is not there; also when it
	// is lost while the Publisher runs, as from a server that keeps it in memory
	// only. ContentType is taken from above.
	Create *CreateOptions

	// MaxBatchBytes and MaxBatchRecords bound a request. 1 MiB, 10,000.
	MaxBatchBytes, MaxBatchRecords int

	// Linger is how long a batch may wait for more records while nothing else is
	// under way. 0 sends at once; under load batches grow anyhow, since what
	// comes while a request is under way goes out together in the next.
	Linger time.Duration

	// FixedBatches sends batches that are full, and others only at Flush and
	// Close: the same records make the same batches, however they come.
	FixedBatches bool

	// MaxInFlight is how many requests may be under way, 1 to 5. 1.
	MaxInFlight int

	// OnAck, if not nil, is told of each acknowledged batch, in order. It must
	// not call the Publisher.
	OnAck func(Ack)

	// OnRetry, if not nil, is told of each failure before the wait that follows.
	// With several requests in flight it is called concurrently.
	OnRetry func(err error, wait time.Duration)
}

func (o *PublisherOptions) setDefaults() {
	if o.ProducerID == "" {
		o.ProducerID = rand.Text()
	}
	if o.ContentType == "" {
		o.ContentType = "application/octet-stream"
	}
	if o.MaxBatchBytes <= 0 {
		o.MaxBatchBytes = 1 << 20
	}
	if o.MaxBatchRecords <= 0 {
		o.MaxBatchRecords = 10_000
	}
	if !o.Lines && !twohop.IsJSON(o.ContentType) {
		o.MaxBatchRecords = 1
	}
	o.MaxInFlight = min(max(o.MaxInFlight, 1), 5)
}

// Publisher is an idempotent producer: it sends records in order, under one
// producer id, and repeats each request until it is acknowledged.
type Publisher struct {
	c       *Client
	channel string
	opts    PublisherOptions
	named   bool // the producer id is the caller's: an earlier run may have used it

	cancel context.CancelFunc
	done   chan struct{} // closed when the sender has ended

	mu struct { // guards what callers and the sender share; never held across a wait
		sync.Mutex
		queue   []*batch // closed or still filling (the last one), in order
		taken   uint64   // records taken from callers
		acked   uint64   // of those, acknowledged
		flush   uint64   // send all records up to this one without waiting for more
		closing bool
		err     error         // why the sender ended
		changed chan struct{} // closed, and made anew, whenever acked grows or queue shrinks
	}
	wake chan struct{} // to the sender: look at mu; holds at most one
}

// ErrPublisherClosed is returned by a Publisher that was closed.
var ErrPublisherClosed = errors.New("the publisher is closed")

// maxQueue is how many batches wait at most before Publish does.
const maxQueue = 4

// NewPublisher starts a publisher. Close ends it; so does the end of the
// context, which gives up what is not acknowledged.
func (c *Client) NewPublisher(ctx context.Context, channel string, o PublisherOptions) (*Publisher, error) {
	if _, err := c.URL(channel); err != nil {
		return nil, err
	}
	named := o.ProducerID != ""
	o.setDefaults()
	ctx, cancel := context.WithCancel(ctx)
	p := &Publisher{c: c, channel: channel, opts: o, named: named, cancel: cancel, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	p.mu.changed = make(chan struct{})
	s := newSender(ctx, p)
	go s.run()
	return p, nil
}

// Publish takes one record, to be sent as soon as may be; it waits only while
// too much is unsent. In a JSON channel the record is one JSON value, elsewhere
// at least one byte. The record's bytes are copied.
//
// With invalid_json or empty_body this record is none and was not taken; others
// may be published. With the context's error it was not taken either. Any other
// error is final: of the channel, or of what some earlier Publish took.
func (p *Publisher) Publish(ctx context.Context, record []byte) error {
	if err := p.check(record); err != nil {
		return err
	}
	for {
		full, err := p.offer(record)
		if err != nil || full == nil {
			return err
		}
		select {
		case <-full:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// check refuses what would spoil the batch that it goes into.
func (p *Publisher) check(record []byte) error {
	switch {
	case twohop.IsJSON(p.opts.ContentType):
		return checkJSON(p.channel, record)
	case len(record) == 0:
		return &twohop.Error{Code: twohop.CodeEmptyBody, Channel: p.channel,
			Message: "the record is empty", Hint: "publish at least one byte"}
	}
	return nil
}

// checkJSON refuses what is not one JSON value.
func checkJSON(channel string, text []byte) error {
	err := wire.CheckJSON(text)
	if e, ok := errors.AsType[*twohop.Error](err); ok {
		e.Channel = channel
		e.Hint = "publish one JSON value, as json.Marshal makes it"
	}
	return err
}

// offer takes the record, or returns what to wait for.
func (p *Publisher) offer(record []byte) (full <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.mu.err != nil:
		return nil, p.mu.err
	case p.mu.closing:
		return nil, ErrPublisherClosed
	}
	var last *batch
	if n := len(p.mu.queue); n > 0 && p.mu.queue[n-1].fits(&p.opts, record) {
		last = p.mu.queue[n-1]
	} else {
		if n >= maxQueue {
			return p.mu.changed, nil
		}
		last = &batch{json: twohop.IsJSON(p.opts.ContentType), since: time.Now()}
		p.mu.queue = append(p.mu.queue, last)
	}
	last.add(record)
	p.mu.taken++
	p.signal()
	return nil, nil
}

// signal makes the sender look.
func (p *Publisher) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Flush sends what was taken, and waits until it is acknowledged.
func (p *Publisher) Flush(ctx context.Context) error {
	p.mu.Lock()
	upTo := p.mu.taken
	p.mu.flush = max(p.mu.flush, upTo)
	p.mu.Unlock()
	p.signal()
	for {
		p.mu.Lock()
		acked, err, changed := p.mu.acked, p.mu.err, p.mu.changed
		p.mu.Unlock()
		switch {
		case acked >= upTo:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close flushes and ends the publisher. When the context is done first, what is
// not acknowledged yet is given up: it may be in the channel or not. Pending
// tells how much that is.
func (p *Publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	p.mu.closing = true
	p.mu.Unlock()
	err := p.Flush(ctx)
	p.cancel()
	<-p.done
	return err
}

// Stop is Close for records that are not all that belong under the producer's
// id: with FixedBatches a batch that is not full is given up, so that a publisher
// that gets all of them later sends it whole, under the number that is its. It
// returns how many records that were.
func (p *Publisher) Stop(ctx context.Context) (givenUp int, err error) {
	p.mu.Lock()
	p.mu.closing = true
	if n := len(p.mu.queue); n > 0 && p.opts.FixedBatches && !p.mu.queue[n-1].full(&p.opts) {
		last := p.mu.queue[n-1]
		if rest := p.mu.taken - uint64(last.records); p.mu.flush <= rest { //nolint:gosec // a count
			givenUp, p.mu.queue, p.mu.taken = last.records, p.mu.queue[:n-1], rest
		}
	}
	p.mu.Unlock()
	return givenUp, p.Close(ctx)
}

// Pending is the number of records that were taken and are not acknowledged.
func (p *Publisher) Pending() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.taken - p.mu.acked
}

// Done is closed when the publisher has ended: it was closed, or a batch was
// refused for good. Flush and Close return the error.
func (p *Publisher) Done() <-chan struct{} { return p.done }
