package client

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"twohop"
)

// sender is the one goroutine of a Publisher that numbers batches, sends them
// and settles what comes of it. Each request runs in a goroutine of its own,
// which ends by putting its outcome into outcomes.
type sender struct {
	p        *Publisher
	ctx      context.Context // until the publisher is closed
	outcomes chan outcome

	window   []*batch // taken from the queue and not acknowledged, in order
	inFlight int      // requests under way
	epoch    uint64
	seq      uint64 // of the next new batch
	sent     uint64 // records of all batches that were taken from the queue
	anyAck   bool
	settled  bool   // the server knows this epoch: batches may be pipelined
	claimed  bool   // the epoch is one that this publisher took
	tail     string // the offset after all that is acknowledged in this channel

	restarts backoff // that no acknowledgement followed
}

// outcome is what came of one batch's request, or tries of it.
type outcome struct {
	b    *batch
	ack  Ack
	fail *failure // nil where it is acknowledged
}

func newSender(ctx context.Context, p *Publisher) *sender {
	return &sender{p: p, ctx: ctx, epoch: p.opts.Epoch, outcomes: make(chan outcome, p.opts.MaxInFlight), restarts: p.c.backoff()}
}

// run sends until the publisher is closed or a batch is refused for good.
func (s *sender) run() {
	err := s.loop()
	s.p.cancel()
	s.drain()
	p := s.p
	p.mu.Lock()
	p.mu.err = err
	close(p.mu.changed)
	p.mu.changed = make(chan struct{})
	p.mu.Unlock()
	close(p.done)
}

func (s *sender) loop() error {
	linger := time.NewTimer(time.Hour)
	defer linger.Stop()
	for {
		linger.Reset(s.launch())
		select {
		case <-s.p.wake:
		case <-linger.C:
		case o := <-s.outcomes:
			s.inFlight--
			if err := s.settle(o); err != nil {
				return err
			}
		case <-s.ctx.Done():
			return ErrPublisherClosed
		}
	}
}

// launch sends what may be sent now, and returns when to look again for a batch
// that lingers.
func (s *sender) launch() time.Duration {
	limit := 1
	if s.settled {
		limit = s.p.opts.MaxInFlight
	}
	for i, b := range s.window {
		if s.inFlight < limit && !b.sent && (i == 0 || !b.held) {
			s.send(b)
		}
	}
	for s.inFlight < limit && !slices.ContainsFunc(s.window, func(b *batch) bool { return !b.sent }) {
		b, wait := s.take()
		if b == nil {
			return wait
		}
		b.seq = s.seq
		s.seq++
		s.window = append(s.window, b)
		s.send(b)
	}
	return time.Hour
}

// take takes the next batch from the queue, if it is due; else it returns how
// long to wait for that.
func (s *sender) take() (*batch, time.Duration) {
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.queue) == 0 {
		return nil, time.Hour
	}
	b := p.mu.queue[0]
	wait := time.Duration(0)
	if len(p.mu.queue) == 1 && !b.full(&p.opts) && p.mu.flush <= s.sent {
		wait = p.opts.Linger - time.Since(b.since)
		if p.opts.FixedBatches {
			wait = time.Hour
		}
	}
	if wait > 0 {
		return nil, wait
	}
	p.mu.queue = p.mu.queue[1:]
	s.sent += uint64(b.records) //nolint:gosec // a count
	close(p.mu.changed)
	p.mu.changed = make(chan struct{})
	return b, 0
}

// send starts a batch's request.
func (s *sender) send(b *batch) {
	b.sent, b.first = true, b == s.window[0]
	s.inFlight++
	h := publishHeader(s.p.opts.ContentType, s.p.opts.Lines)
	h.Set("Producer-Id", s.p.opts.ProducerID)
	h.Set("Producer-Epoch", strconv.FormatUint(s.epoch, 10))
	h.Set("Producer-Seq", strconv.FormatUint(b.seq, 10))
	go func() {
		ack, fail := s.try(b, h)
		s.outcomes <- outcome{b, ack, fail} // has room for all that are in flight
	}()
}

// try sends a batch until it is acknowledged or refused for good.
func (s *sender) try(b *batch, h http.Header) (Ack, *failure) {
	wait := s.p.c.backoff()
	body, unknown := b.bytes(), false
	for {
		ack, err := s.p.c.append(s.ctx, s.p.channel, h, body)
		if err == nil {
			ack.Records = b.records
			return ack, nil
		}
		fail := asFailure(err)
		unknown = unknown || fail.unknown
		b.unknown = b.unknown || unknown
		if !fail.retry || s.ctx.Err() != nil {
			fail.unknown = unknown
			return Ack{}, fail
		}
		d := wait.next(fail.retryAfter)
		s.p.c.opts.Logger.DebugContext(s.ctx, "publish failed, trying again", "channel", s.p.channel, "seq", b.seq, "wait", d, "error", fail.err)
		if s.p.opts.OnRetry != nil {
			s.p.opts.OnRetry(fail.err, d)
		}
		if sleep(s.ctx, d) != nil {
			return Ack{}, fail
		}
	}
}

// settle takes an outcome. An error is the publisher's end.
func (s *sender) settle(o outcome) error {
	if o.fail == nil {
		err := s.acknowledge(o)
		s.advance()
		return err
	}
	if s.ctx.Err() != nil {
		return ErrPublisherClosed
	}
	opts := &s.p.opts
	creates := opts.Create != nil && (!s.anyAck || !opts.FixedBatches)
	switch code := o.fail.err.Code; {
	case code == twohop.CodeProducerSeq && !o.b.first:
		o.b.sent, o.b.held = false, true // it overtook one before it
		return nil
	case code == twohop.CodeNotFound && creates:
		return s.restart(o.fail, s.create)
	case code == twohop.CodeProducerSeq && o.fail.err.Expect == 0 && creates: // another was quicker to create the channel anew
		return s.restart(o.fail, func() (bool, error) { return true, nil })
	case code == twohop.CodeProducerEpoch && opts.AutoClaim && !s.settled && !o.fail.unknown:
		return s.restart(o.fail, func() (bool, error) {
			s.epoch, s.claimed = o.fail.err.Epoch+1, true
			return true, nil
		})
	}
	return o.fail.err
}

// acknowledge takes an acknowledgement. It fails if that is of other records.
func (s *sender) acknowledge(o outcome) error {
	if o.ack.Duplicate && !s.mayRepeat(o) {
		return &twohop.Error{
			Code: twohop.CodeProducerSeq, Channel: s.p.channel, Got: o.b.seq,
			Message: fmt.Sprintf("under number %d of producer %q, epoch %d, the channel has other records than these", o.b.seq, s.p.opts.ProducerID, s.epoch),
			Hint:    "what is not acknowledged is not in the channel: publish it by another Publisher, under an id that nothing else uses",
		}
	}
	s.restarts.reset()
	o.b.ack, o.b.acked = o.ack, true
	s.settled, s.anyAck = true, true
	return nil
}

// mayRepeat reports whether a duplicate may be of the same records: from a try
// whose answer was lost, or an earlier run under the caller's id. Where neither
// can be, something in between may have sent the request twice, but then the
// records are behind all that was acknowledged before them.
func (s *sender) mayRepeat(o outcome) bool {
	switch {
	case o.b.unknown, s.p.named && !s.claimed:
		return true
	case s.tail == "":
		return !s.claimed // or another took the same epoch at the same moment
	}
	return o.ack.Offset > s.tail
}

// advance tells of the batches at the window's front that are acknowledged.
func (s *sender) advance() {
	n := 0
	var records uint64
	for n < len(s.window) && s.window[n].acked {
		ack := s.window[n].ack
		s.tail = max(s.tail, ack.Offset)
		if s.p.opts.OnAck != nil {
			s.p.opts.OnAck(ack)
		}
		records += uint64(s.window[n].records) //nolint:gosec // a count
		n++
	}
	s.window = s.window[n:]
	p := s.p
	p.mu.Lock()
	p.mu.acked += records
	close(p.mu.changed)
	p.mu.changed = make(chan struct{})
	p.mu.Unlock()
}

// restart sends again what is not acknowledged, after prepare has seen to it
// that the server takes that. Where prepare says that the server knows nothing
// of this producer, the numbering begins anew; else the numbers must stay, or
// the server would take new records for those that it has under the same.
func (s *sender) restart(why *failure, prepare func() (unknown bool, err error)) error {
	if err := s.await(); err != nil {
		return err
	}
	if s.restarts.fails++; s.restarts.fails > 1 { // the last one has not helped
		if err := s.pause(why, &s.restarts); err != nil {
			return err
		}
	}
	anew, err := prepare()
	if err != nil {
		return err
	}
	if anew {
		s.seq, s.settled, s.tail = 0, false, ""
	}
	for _, b := range s.window {
		if b.acked {
			continue
		}
		b.sent, b.held = false, false
		if anew {
			b.seq = s.seq
			s.seq++
		}
	}
	return nil
}

// await waits for all requests under way before a restart.
func (s *sender) await() error {
	for s.inFlight > 0 {
		o := <-s.outcomes
		s.inFlight--
		switch {
		case o.fail == nil:
			if err := s.acknowledge(o); err != nil {
				return err
			}
		case o.fail.err.Code != twohop.CodeNotFound && o.fail.err.Code != twohop.CodeProducerSeq:
			return o.fail.err
		}
	}
	s.advance()
	return nil
}

// create creates the channel, however long it takes, and reports whether it did.
// If the channel is there, a lost answer or another publisher may have created
// it just now, or it never was away: the next publish tells.
func (s *sender) create() (created bool, err error) {
	o := *s.p.opts.Create
	o.ContentType = s.p.opts.ContentType
	wait := s.p.c.backoff()
	for {
		info, err := s.p.c.create(s.ctx, s.p.channel, o)
		fail, failed := err.(*failure) //nolint:errorlint // create returns it bare
		switch {
		case err == nil || failed && fail.err.Code == twohop.CodeExists:
			return info.Created, nil
		case s.ctx.Err() != nil:
			return false, ErrPublisherClosed
		case !failed:
			return false, err
		case fail.err.Code == twohop.CodeNotFound && !fail.told && s.anyAck: // a balancer says so that has no server at the moment
		case !fail.retry:
			return false, fail.err
		}
		if err := s.pause(fail, &wait); err != nil {
			return false, err
		}
	}
}

// pause waits after a failure of the channel's.
func (s *sender) pause(fail *failure, b *backoff) error {
	d := b.next(fail.retryAfter)
	if s.p.opts.OnRetry != nil {
		s.p.opts.OnRetry(fail.err, d)
	}
	if sleep(s.ctx, d) != nil {
		return ErrPublisherClosed
	}
	return nil
}

// drain waits for the requests under way, which the context ends.
func (s *sender) drain() {
	for ; s.inFlight > 0; s.inFlight-- {
		<-s.outcomes
	}
}
