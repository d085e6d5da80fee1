package engine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"twohop"
)

// State is what an engine in this process keeps of a channel besides its
// records. It holds the rules of the log (who may append, what is a duplicate,
// what an offset means), and does no I/O: engines persist it as they like.
// It is not safe for concurrent use.
type State struct {
	Name        string
	Epoch       uint64 // the log epoch; unique for ever, larger than that of any older channel
	ContentType string
	TTL         time.Duration
	ExpiresAt   time.Time
	Created     time.Time
	Sync        twohop.Sync
	Retention   twohop.Retention

	Base   uint64 // position at which the channel's own records begin
	Start  uint64 // position of the oldest record that may be read
	Tail   uint64 // position after the newest record
	Closed bool
	Seq    string // the last Stream-Seq

	Fork    *twohop.Fork // as asked for at creation, nil if this is no fork
	Parents []Segment    // what a fork inherits, oldest first; ends at Base
	Refs    int          // forks that inherit from this channel directly
	Deleted bool         // deleted, but kept for its forks
}

// Segment is a run of positions that belong to one log epoch.
type Segment struct {
	Epoch    uint64
	From, To uint64 // positions
}

// ProducerState is what is remembered of an idempotent producer.
type ProducerState struct {
	Epoch, Seq uint64
	Acks       []twohop.Offset // of Seq and the up to four before it, newest last
}

const (
	acksKept           = 5
	defaultContentType = "application/octet-stream"
)

// Own is the segment of the channel's own records.
func (s *State) Own() Segment { return Segment{s.Epoch, s.Base, s.Tail} }

// Offset is the canonical offset at a position of the lineage.
func (s *State) Offset(pos uint64) twohop.Offset {
	if pos > s.Base || len(s.Parents) == 0 {
		return twohop.Offset{Epoch: s.Epoch, Pos: pos}
	}
	for i := len(s.Parents) - 1; ; i-- {
		if p := s.Parents[i]; pos > p.From || i == 0 {
			return twohop.Offset{Epoch: p.Epoch, Pos: pos}
		}
	}
}

// Segments calls f for each segment of the lineage that holds positions after
// pos, in order, until f returns false.
func (s *State) Segments(pos uint64, f func(Segment) bool) {
	for _, p := range s.Parents {
		if p.To > pos && !f(p) {
			return
		}
	}
	if own := s.Own(); own.To > pos {
		f(own)
	}
}

// Locate turns an offset into a position, or into a reset.
func (s *State) Locate(o twohop.Offset) (uint64, error) {
	if o.IsZero() {
		return s.Start, nil
	}
	reason := s.misplaced(o)
	if reason == "" {
		return o.Pos, nil
	}
	reset := &twohop.Reset{Reason: reason, Start: s.Offset(s.Start), Tail: s.Offset(s.Tail)}
	if reason == twohop.ResetTrimmed {
		reset.Missed = s.Start - o.Pos
	}
	return 0, reset.Error(s.Name, o)
}

// misplaced is why an offset is not one that can be read from, or "".
func (s *State) misplaced(o twohop.Offset) twohop.ResetReason {
	seg := s.Own()
	if o.Epoch != s.Epoch {
		i := slices.IndexFunc(s.Parents, func(p Segment) bool { return p.Epoch == o.Epoch })
		if i < 0 {
			return twohop.ResetEpoch
		}
		seg = s.Parents[i]
	}
	switch {
	case o.Pos > seg.To && o.Epoch != s.Epoch:
		return twohop.ResetEpoch // the source's records after the fork
	case o.Pos > seg.To:
		return twohop.ResetAhead
	case o.Pos < seg.From && o.Pos >= s.Start:
		return twohop.ResetEpoch // no such offset was ever given
	case o.Pos < s.Start:
		return twohop.ResetTrimmed
	}
	return ""
}

// Info is the state as others see it.
func (s *State) Info(level twohop.Level) twohop.Info {
	return twohop.Info{
		Name: s.Name, ContentType: s.ContentType, TTL: s.TTL, ExpiresAt: s.ExpiresAt, Created: s.Created,
		Start: s.Offset(s.Start), Tail: s.Offset(s.Tail), Closed: s.Closed, Level: level,
	}
}

// Expiry is when the channel expires if it was last used at the given time;
// zero is never.
func (s *State) Expiry(used time.Time) time.Time {
	if s.TTL > 0 {
		return used.Add(s.TTL)
	}
	return s.ExpiresAt
}

// Same reports whether a Create with spec asks for the channel that exists.
func (s *State) Same(spec *twohop.Spec) bool {
	forks := (s.Fork == nil) == (spec.Fork == nil)
	if forks && s.Fork != nil {
		a, b := s.Fork, spec.Fork
		forks = a.Source == b.Source && a.Sub == b.Sub && (b.At == nil || a.At != nil && *a.At == *b.At)
	}
	inherits := spec.Fork != nil // a fork may leave out what it inherits
	contentType := cmp.Or(spec.ContentType, defaultContentType)
	return forks && s.Closed == spec.Closed &&
		(twohop.SameContentType(s.ContentType, contentType) || inherits && spec.ContentType == "") &&
		(s.TTL == spec.TTL && s.ExpiresAt.Equal(spec.ExpiresAt) || inherits && spec.TTL == 0 && spec.ExpiresAt.IsZero())
}

// Judge decides on an append. prod is what is known of a.Producer, key the
// answer that a.Key got before; nil where there is none. It returns an Ack when
// the append is a duplicate, an error when it is refused, and neither when it
// is to be carried out, by Apply.
func (s *State) Judge(a *twohop.Append, prod *ProducerState, key *twohop.Offset, level twohop.Level) (*twohop.Ack, error) {
	p := a.Producer
	if p != nil && prod != nil {
		if p.Epoch < prod.Epoch {
			return nil, &twohop.Error{Code: twohop.CodeProducerEpoch, Channel: s.Name, Epoch: prod.Epoch,
				Message: fmt.Sprintf("producer %q is at epoch %d, this request is of epoch %d", p.ID, prod.Epoch, p.Epoch),
				Hint:    "another instance took over; stop, or go on with a larger Producer-Epoch and Producer-Seq 0"}
		}
		if p.Epoch == prod.Epoch && p.Seq <= prod.Seq {
			back, o := prod.Seq-p.Seq, twohop.Offset{}
			if n := uint64(len(prod.Acks)); back < n {
				o = prod.Acks[n-1-back]
			}
			return &twohop.Ack{Offset: o, Level: level, Duplicate: true, Closed: s.Closed, Seq: prod.Seq}, nil
		}
	}
	if key != nil {
		return &twohop.Ack{Offset: *key, Level: level, Duplicate: true, Closed: s.Closed}, nil
	}
	if s.Closed {
		if a.Close && len(a.Ends) == 0 && p == nil {
			return &twohop.Ack{Offset: s.Offset(s.Tail), Level: level, Duplicate: true, Closed: true}, nil
		}
		return nil, s.closedError()
	}
	if len(a.Ends) > 0 && a.ContentType != "" && !twohop.SameContentType(a.ContentType, s.ContentType) {
		return nil, &twohop.Error{Code: twohop.CodeContentType, Channel: s.Name,
			Message: fmt.Sprintf("the channel keeps %s, the request brings %s", s.ContentType, a.ContentType),
			Hint:    "send Content-Type: " + s.ContentType}
	}
	if p != nil {
		switch {
		case (prod == nil || p.Epoch > prod.Epoch) && p.Seq != 0:
			if prod == nil {
				return nil, seqGap(s.Name, p, 0)
			}
			return nil, &twohop.Error{Code: twohop.CodeProducerStart, Channel: s.Name,
				Message: fmt.Sprintf("producer %q begins epoch %d with sequence number %d", p.ID, p.Epoch, p.Seq),
				Hint:    "a new Producer-Epoch begins with Producer-Seq 0"}
		case prod != nil && p.Epoch == prod.Epoch && p.Seq > prod.Seq+1:
			return nil, seqGap(s.Name, p, prod.Seq+1)
		}
	}
	if a.Seq != "" && a.Seq <= s.Seq {
		return nil, &twohop.Error{Code: twohop.CodeSeqRegression, Channel: s.Name,
			Message: fmt.Sprintf("Stream-Seq %q is not larger than %q, the channel's last", a.Seq, s.Seq),
			Hint:    "send sequence numbers that grow, compared byte by byte"}
	}
	if a.If != nil && *a.If != s.Offset(s.Tail) && (!a.If.IsZero() || s.Tail != 0) {
		return nil, s.tailMoved(*a.If)
	}
	return nil, nil
}

// Apply carries out an append that Judge let pass and returns its answer.
// prod is changed to the producer's new state; it is nil where a.Producer is.
func (s *State) Apply(a *twohop.Append, prod *ProducerState, level twohop.Level) twohop.Ack {
	s.Tail += uint64(len(a.Ends))
	if a.Seq != "" {
		s.Seq = a.Seq
	}
	ack := twohop.Ack{Offset: s.Offset(s.Tail), Level: level}
	if p := a.Producer; p != nil {
		if prod.Epoch != p.Epoch {
			prod.Acks = nil
		}
		prod.Epoch, prod.Seq = p.Epoch, p.Seq
		if len(prod.Acks) == acksKept {
			prod.Acks = append(prod.Acks[:0], prod.Acks[1:]...)
		}
		prod.Acks = append(prod.Acks, ack.Offset)
		ack.Seq = p.Seq
	}
	s.Closed = s.Closed || a.Close
	ack.Closed = s.Closed
	return ack
}

func (s *State) tailMoved(want twohop.Offset) error {
	tail := s.Offset(s.Tail)
	return &twohop.Error{Code: twohop.CodeTailMoved, Channel: s.Name, Tail: &tail,
		Message: fmt.Sprintf("the tail is %s, the request wants it at %s", tail, want),
		Hint:    "read what came in between and try again with If-Match on the new tail"}
}

func (s *State) closedError() error {
	tail := s.Offset(s.Tail)
	return &twohop.Error{Code: twohop.CodeClosed, Channel: s.Name, Tail: &tail,
		Message: "the channel is closed", Hint: "a closed channel takes no more records; publish to another one"}
}

func seqGap(channel string, p *twohop.Producer, want uint64) error {
	return &twohop.Error{Code: twohop.CodeProducerSeq, Channel: channel, Expect: want, Got: p.Seq,
		Message: fmt.Sprintf("producer %q sent sequence number %d, %d is due", p.ID, p.Seq, want),
		Hint:    "send the missing requests first; each request of a producer has the number after the one before"}
}

// NotFound is the error of a channel that does not exist.
func NotFound(name string) error {
	return &twohop.Error{Code: twohop.CodeNotFound, Channel: name, Message: "there is no such channel",
		Hint: "create it with PUT, or let a rule create it: create: on-publish"}
}

// Gone is the error of a channel that was deleted while forks need its records.
func Gone(name string) error {
	return &twohop.Error{Code: twohop.CodeGone, Channel: name, Message: "the channel was deleted; forks of it still live",
		Hint: "read one of the forks, or use another name"}
}

// Exists is the error of a Create that asks for another channel than there is.
func Exists(name string) error {
	return &twohop.Error{Code: twohop.CodeExists, Channel: name, Message: "the channel exists with another configuration",
		Hint: "HEAD tells how it is; delete it first, or create it with the same content type, lifetime and closure"}
}
