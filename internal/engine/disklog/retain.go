package disklog

import (
	"errors"
	"time"

	"twohop"
)

// marksRead is how many appends are looked ahead for retention.
const marksRead = 64

// A channel is trimmed on the disk when this many of its records or bytes are
// below its start, and half as many as above it.
const (
	trimRecords = 64
	trimBytes   = 64 << 10
)

// applyRetention moves the start of a channel up to what its retention keeps at
// a time; at the zero time age does not count. What is below the start stays on
// the disk until a trim. A start that follows from records and bytes is found
// here again when the channel is loaded; one that follows from age is persisted
// by look, which alone counts it.
func (e *Engine) applyRetention(ch *channel, now time.Time) error {
	r := ch.Retention
	if r == (twohop.Retention{}) || ch.Deleted {
		return nil
	}
	for ch.Start < ch.Tail {
		if !ch.mayDrop(now) {
			return nil
		}
		if len(ch.marks) == 0 {
			if err := e.readMarks(ch); err != nil || len(ch.marks) == 0 {
				return err
			}
		}
		m := ch.marks[0]
		if !ch.droppable(m, now) {
			return nil
		}
		ch.Start, ch.startBytes, ch.marks = m.end, m.bytes, ch.marks[1:]
	}
	return nil
}

// mayDrop reports whether retention may let the oldest records go.
func (ch *channel) mayDrop(now time.Time) bool {
	r := ch.Retention
	return r.Age > 0 && !now.IsZero() || r.Records > 0 && ch.Tail-ch.Start > r.Records || r.Bytes > 0 && ch.bytes-ch.startBytes > r.Bytes
}

// marksRunOut reports whether applyRetention at the zero time might have to read.
func (ch *channel) marksRunOut() bool {
	n := len(ch.marks)
	return ch.mayDrop(time.Time{}) && (n == 0 || ch.droppable(ch.marks[n-1], time.Time{}))
}

// droppable reports whether at least what retention keeps is left without the
// records before a mark.
func (ch *channel) droppable(m mark, now time.Time) bool {
	r := ch.Retention
	return r.Records > 0 && ch.Tail-m.end >= r.Records ||
		r.Bytes > 0 && ch.bytes-m.bytes >= r.Bytes ||
		r.Age > 0 && !now.IsZero() && !time.UnixMicro(m.time).Add(r.Age).After(now)
}

// readMarks finds the ends of the oldest appends that are committed.
func (e *Engine) readMarks(ch *channel) error {
	s, err := e.scan(ch, ch.Start)
	if err != nil {
		return err
	}
	first := true
	for len(ch.marks) <= marksRead {
		b, to, err := s.next()
		if errors.Is(err, errHole) && !first {
			break // the rest is yet to be committed
		}
		if err != nil {
			return errors.Join(err, s.close())
		}
		if to == 0 {
			return s.close()
		}
		if first {
			ch.startBytes = b.bytesBefore(ch.Start)
			first = false
		}
		m := mark{end: to, bytes: b.bytesBefore(to), time: b.time}
		if n := len(ch.marks); b.part && n > 0 {
			ch.marks[n-1] = m
		} else {
			ch.marks = append(ch.marks, m)
		}
	}
	ch.marks = ch.marks[:min(len(ch.marks), marksRead)] // the last one may go on
	return s.close()
}

// trimLater has a channel trimmed on the disk if that is worth it.
func (e *Engine) trimLater(ch *channel) {
	own := ch.owned()
	gone := ch.Start - min(ch.Start, max(ch.kept, own[0].From))
	if ch.Refs > 0 || gone == 0 || e.trimming[ch.id] {
		return
	}
	bytes := ch.startBytes - min(ch.startBytes, ch.keptBytes)
	if gone >= max(trimRecords, (ch.Tail-ch.Start)/2) || bytes >= max(trimBytes, (ch.bytes-ch.startBytes)/2) {
		if e.queue.add(&item{kind: itemTrim, name: ch.Name, id: ch.id}) == nil {
			e.trimming[ch.id] = true
		}
	}
}

// trim removes from the disk what is below the start of a channel, unless a fork
// may need it.
func (g *group) trim(name string, id uint64) error {
	delete(g.e.trimming, id)
	w, err := g.open(name)
	if err != nil || w.ch == nil || w.ch.id != id || w.ch.Refs > 0 || w.ch.Start <= w.ch.kept {
		return err
	}
	ch := w.change()
	for _, s := range ch.owned() {
		if from, to := max(s.From, ch.kept), min(s.To, ch.Start); from < to {
			g.removeRange(batchKey(s.Epoch, from), batchKey(s.Epoch, to))
		}
	}
	ch.kept, ch.keptBytes = ch.Start, ch.startBytes
	ch.used = max(ch.used, ch.time) // which nothing else may tell any more
	w.save, g.lazy = true, true
	return nil
}
