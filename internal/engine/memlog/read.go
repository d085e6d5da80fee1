package memlog

import (
	"context"
	"iter"
	"math"
	"sort"
	"time"

	"twohop"
	"twohop/internal/engine"
)

// lock finds a channel that is there and locks it for reading.
func (e *Engine) lock(name string) (*channel, error) {
	if e.closed.Load() {
		return nil, errClosed(name)
	}
	ch := e.shardOf(name).lookup(name)
	if ch == nil {
		return nil, engine.NotFound(name)
	}
	ch.mu.RLock()
	if err := ch.absentLocked(time.Now()); err != nil {
		ch.mu.RUnlock()
		return nil, err
	}
	return ch, nil
}

// Info implements engine.Engine.
func (e *Engine) Info(_ context.Context, name string) (twohop.Info, error) { return e.info(name) }

func (e *Engine) info(name string) (twohop.Info, error) {
	ch, err := e.lock(name)
	if err != nil {
		return twohop.Info{}, err
	}
	defer ch.mu.RUnlock()
	return ch.state.Info(twohop.LevelMemory), nil
}

// Known implements engine.Knower.
func (e *Engine) Known(name string) (twohop.Info, bool) {
	info, err := e.info(name)
	return info, err == nil
}

// Touch implements engine.Engine.
func (e *Engine) Touch(name string) {
	if ch, err := e.lock(name); err == nil {
		ch.use(time.Now())
		ch.mu.RUnlock()
	}
}

// Read implements engine.Engine.
func (e *Engine) Read(_ context.Context, name string, from twohop.Offset, maxBytes int) (twohop.Batch, error) {
	ch, err := e.lock(name)
	if err != nil {
		return twohop.Batch{}, err
	}
	pos, err := ch.state.Locate(from)
	if err != nil {
		ch.mu.RUnlock()
		return twohop.Batch{}, err
	}
	spans := ch.spansLocked(pos)
	ch.mu.RUnlock()

	b := twohop.Batch{}
	b.Data, b.Ends = gather(spans, pos, maxBytes)
	// The state's offsets of positions up to the tail of now never change, and
	// the fields that they come from are set once.
	b.From, b.Next = ch.state.Offset(pos), ch.state.Offset(pos+uint64(len(b.Ends)))
	return b, nil
}

// Last implements engine.Engine.
func (e *Engine) Last(_ context.Context, name string, n uint64) (twohop.Offset, error) {
	ch, err := e.lock(name)
	if err != nil {
		return twohop.Offset{}, err
	}
	defer ch.mu.RUnlock()
	s := &ch.state
	return s.Offset(s.Tail - min(n, s.Tail-s.Start)), nil
}

// Since implements engine.Engine.
func (e *Engine) Since(_ context.Context, name string, t time.Time) (twohop.Offset, error) {
	ch, err := e.lock(name)
	if err != nil {
		return twohop.Offset{}, err
	}
	defer ch.mu.RUnlock()
	s := &ch.state
	for _, sp := range ch.spansLocked(s.Start) {
		if e := sp.since(t); e != nil && e.first < sp.to {
			return s.Offset(max(e.first, sp.from)), nil
		}
	}
	return s.Offset(s.Tail), nil
}

// span is the entries of one log epoch that hold the records from a position up
// to another, and maybe more.
type span struct {
	entries
	from, to uint64
}

// spansLocked finds the records after pos. What it returns stays as it is when
// the lock is given up.
func (ch *channel) spansLocked(pos uint64) []span {
	if pos == ch.state.Tail {
		return nil
	}
	spans := make([]span, 0, len(ch.state.Parents)+1)
	for i, p := range ch.state.Parents {
		if p.To > pos {
			a := ch.ancestors[i]
			a.mu.RLock() // a fork is locked before its ancestors
			spans = append(spans, span{a.records.entries, max(pos, p.From), p.To})
			a.mu.RUnlock()
		}
	}
	if ch.state.Tail > max(pos, ch.state.Base) {
		spans = append(spans, span{ch.records.entries, pos, ch.state.Tail})
	}
	return spans
}

// bytesLocked is the number of bytes of the records between two positions.
func (ch *channel) bytesLocked(from, to uint64) (n uint64) {
	for i, p := range ch.state.Parents {
		if lo, hi := max(from, p.From), min(to, p.To); lo < hi {
			a := ch.ancestors[i]
			a.mu.RLock()
			n += a.records.bytes(lo, hi)
			a.mu.RUnlock()
		}
	}
	if lo := max(from, ch.state.Base); lo < to {
		n += ch.records.bytes(lo, to)
	}
	return n
}

// piece is n records of an entry, from the lo-th on.
type piece struct {
	*entry
	lo, n uint64
}

// pieces goes through the records of the spans after pos, entry by entry.
func pieces(spans []span, pos uint64) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		for _, sp := range spans {
			for e := range sp.entries.from(sp.from) {
				if e.first >= sp.to {
					break
				}
				p := piece{e, pos - e.first, min(e.last(), sp.to) - pos}
				if !yield(p) {
					return
				}
				pos += p.n
			}
		}
	}
}

// fit is how many of the records take at most limit bytes.
func (p piece) fit(limit uint64) uint64 {
	base, ends := p.upTo(p.lo), p.ends[p.lo:p.lo+p.n]
	if uint64(ends[p.n-1]-base) <= limit {
		return p.n
	}
	return uint64(sort.Search(len(ends), func(i int) bool { return uint64(ends[i]-base) > limit }))
}

// bytes are those of the records.
func (p piece) bytes(u *unpacker) []byte {
	from, to := p.upTo(p.lo), p.upTo(p.lo+p.n)
	return u.bytes(p.entry)[from:to:to]
}

// gather joins the records of the spans after pos: at least one, and more as
// long as they are maxBytes at most. What lies in one entry is not copied.
func gather(spans []span, pos uint64, maxBytes int) ([]byte, []uint32) {
	limit := uint64(min(max(maxBytes, 0), math.MaxInt32))
	var size, count uint64
	var first piece
	for p := range pieces(spans, pos) {
		if size > limit {
			break
		}
		all := p.n
		p.n = p.fit(limit - size)
		if count == 0 {
			p.n = max(p.n, 1)
			first = p
		}
		size += uint64(p.upTo(p.lo+p.n) - p.upTo(p.lo))
		count += p.n
		if p.n < all {
			break
		}
	}
	var u unpacker
	switch count {
	case 0:
		return nil, nil
	case first.n:
		if first.lo == 0 {
			return first.bytes(&u), first.ends[:count:count]
		}
		return first.bytes(&u), rebased(make([]uint32, 0, count), 0, first)
	}
	data, ends := make([]byte, 0, size), make([]uint32, 0, count)
	for p := range pieces(spans, pos) {
		p.n = min(p.n, count-uint64(len(ends)))
		ends = rebased(ends, uint32(len(data)), p)
		data = append(data, p.bytes(&u)...)
		if uint64(len(ends)) == count {
			break
		}
	}
	return data, ends
}

// rebased appends the ends of the records, counted from at.
func rebased(ends []uint32, at uint32, p piece) []uint32 {
	base := p.upTo(p.lo)
	for _, end := range p.ends[p.lo : p.lo+p.n] {
		ends = append(ends, at+end-base)
	}
	return ends
}
