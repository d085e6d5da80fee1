package disklog

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"twohop"
	"twohop/internal/engine"
)

// errHole says that records are missing which should be there: the channel was
// trimmed or deleted meanwhile, or the store is corrupt.
var errHole = errors.New("disklog: records are missing")

// scan walks the stored batches of a lineage. All it sees is of one moment.
type scan struct {
	it   *pebble.Iterator
	segs []engine.Segment // from where it stands
	pos  uint64           // of the next record
	seek bool
}

func (e *Engine) scan(ch *channel, pos uint64) (*scan, error) {
	s := &scan{pos: pos, seek: true}
	ch.Segments(pos, func(seg engine.Segment) bool {
		s.segs = append(s.segs, seg)
		return true
	})
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: batchKey(0, 0), UpperBound: batchKey(math.MaxUint64, 0)})
	s.it = it
	return s, err
}

// next returns the batch that holds the next record, and up to which position
// it belongs to the lineage; that is 0 at the end. The slices in the batch are
// valid until the next call.
func (s *scan) next() (b stored, to uint64, err error) {
	for len(s.segs) > 0 && s.pos >= s.segs[0].To {
		s.segs, s.seek = s.segs[1:], true
	}
	if len(s.segs) == 0 {
		return b, 0, nil
	}
	seg, found := s.segs[0], false
	if s.seek {
		s.it.SetBounds(batchKey(seg.Epoch, seg.From), batchKey(seg.Epoch, seg.To))
		found = s.it.SeekLT(batchKey(seg.Epoch, s.pos+1))
	} else {
		found = s.it.Next()
	}
	s.seek = false
	if !found {
		return b, 0, errors.Join(errHole, s.it.Error())
	}
	if b, err = lastStored(s.it); err != nil {
		return b, 0, err
	}
	if b.first > s.pos || b.end() <= s.pos {
		return b, 0, errHole
	}
	s.pos = min(b.end(), seg.To)
	return b, s.pos, nil
}

func (s *scan) close() error { return s.it.Close() }

// records reads a page of a channel from a position that is within it. What it
// returns shares nothing with the store.
func (e *Engine) records(ch *channel, pos uint64, maxBytes int) (b twohop.Batch, err error) {
	s, err := e.scan(ch, pos)
	if err != nil {
		return b, err
	}
	at := pos
	for whole := true; whole && (len(b.Ends) == 0 || len(b.Data) < maxBytes); {
		part, to, err := s.next()
		if err != nil && len(b.Ends) == 0 {
			return b, errors.Join(err, s.close())
		}
		if err != nil || to == 0 {
			break // what was read is good
		}
		b.Data, b.Ends, whole = part.cut(at-part.first, to-part.first, b.Data, b.Ends, maxBytes)
		at = pos + uint64(len(b.Ends))
	}
	b.From, b.Next = ch.Offset(pos), ch.Offset(at)
	return b, s.close()
}

// measure tells the bytes of the lineage before a position and the time of the
// record before it.
func (e *Engine) measure(ch *channel, pos uint64) (bytes uint64, at int64, err error) {
	if pos == ch.Tail {
		return ch.bytes, ch.time, nil
	}
	s, err := e.scan(ch, pos)
	if err != nil {
		return 0, 0, err
	}
	b, _, err := s.next()
	if err == nil {
		bytes, at = b.bytesBefore(pos), b.time
	}
	return bytes, at, errors.Join(err, s.close())
}

// since is the position of the first record that was appended at t or later.
func (e *Engine) since(ch *channel, t int64) (pos uint64, err error) {
	if ch.time < t || ch.Start == ch.Tail {
		return ch.Tail, nil
	}
	s, err := e.scan(ch, ch.Start)
	if err != nil {
		return 0, err
	}
	pos = ch.Tail
	for _, seg := range s.segs {
		lo, hi := max(seg.From, ch.Start), seg.To
		for lo < hi {
			mid := lo + (hi-lo)/2
			s.segs, s.pos, s.seek = []engine.Segment{seg}, mid, true
			b, to, err := s.next()
			if err != nil {
				return 0, errors.Join(err, s.close())
			}
			if b.time >= t {
				pos, hi = max(b.first, lo), max(b.first, lo)
			} else {
				lo = to
			}
		}
		if pos < ch.Tail {
			break
		}
	}
	return pos, s.close()
}

// view is a channel as readers see it now.
func (e *Engine) view(ctx context.Context, name string) (*channel, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ch, used, err := e.cache.get(name)
	if err != nil {
		return nil, err
	}
	return ch.seen(name, used, time.Now())
}

// passes bounds how often one read waits for the committer.
const passes = 5

// reading does a read again if the channel was changed under it. The store shows
// what a group removed a moment before the channel's state does, so a hole is
// one only if it is still there when the group has been shown.
func (e *Engine) reading(ctx context.Context, name string, read func(*channel) error) error {
	if err := e.begin(name); err != nil {
		return err
	}
	defer e.ops.Done()
	for pass := 0; ; pass++ {
		ch, err := e.view(ctx, name)
		if err != nil {
			return err
		}
		err = read(ch)
		if err == nil {
			return nil
		}
		if _, ok := errors.AsType[*twohop.Error](err); ok {
			return err
		}
		if !errors.Is(err, errHole) || pass == passes {
			return readFailed(name, err)
		}
		if r := e.do(ctx, &item{kind: itemPass, name: name}); r.err != nil {
			return r.err
		}
	}
}

// Info implements engine.Engine.
func (e *Engine) Info(ctx context.Context, name string) (info twohop.Info, err error) {
	err = e.reading(ctx, name, func(ch *channel) error {
		info = ch.Info(ch.level())
		return nil
	})
	return info, err
}

// Known implements engine.Knower.
func (e *Engine) Known(name string) (info twohop.Info, ok bool) {
	if e.begin(name) != nil {
		return info, false
	}
	defer e.ops.Done()
	ch, used, ok := e.cache.peek(name)
	if !ok {
		return info, false
	}
	if ch, err := ch.seen(name, used, time.Now()); err == nil {
		return ch.Info(ch.level()), true
	}
	return info, false
}

// Read implements engine.Engine.
func (e *Engine) Read(ctx context.Context, name string, from twohop.Offset, maxBytes int) (b twohop.Batch, err error) {
	err = e.reading(ctx, name, func(ch *channel) error {
		pos, err := ch.Locate(from)
		if err != nil {
			return err
		}
		if pos == ch.Tail {
			b = twohop.Batch{From: ch.Offset(pos), Next: ch.Offset(pos)}
			return nil
		}
		b, err = e.records(ch, pos, maxBytes)
		return err
	})
	return b, err
}

// Last implements engine.Engine.
func (e *Engine) Last(ctx context.Context, name string, n uint64) (o twohop.Offset, err error) {
	err = e.reading(ctx, name, func(ch *channel) error {
		o = ch.Offset(ch.Tail - min(n, ch.Tail-ch.Start))
		return nil
	})
	return o, err
}

// Since implements engine.Engine.
func (e *Engine) Since(ctx context.Context, name string, t time.Time) (o twohop.Offset, err error) {
	err = e.reading(ctx, name, func(ch *channel) error {
		pos, err := e.since(ch, ceilMicro(t))
		o = ch.Offset(pos)
		return err
	})
	return o, err
}

// ceilMicro is t in Unix microseconds, rounded up as commit times are rounded
// down.
func ceilMicro(t time.Time) int64 {
	n := t.UnixMicro()
	if t.Nanosecond()%1000 != 0 {
		n++
	}
	return n
}
