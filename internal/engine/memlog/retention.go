package memlog

import (
	"time"

	"twohop"
)

// run is what the channel keeps of one append, its own or an inherited one:
// the unit that retention drops.
type run struct {
	end   uint64 // the position after it
	bytes uint64
	at    int64
}

// runLocked is the run that begins at pos, which must be before the tail.
func (ch *channel) runLocked(pos uint64) run {
	for i, p := range ch.state.Parents {
		if p.To > pos {
			a := ch.ancestors[i]
			a.mu.RLock()
			defer a.mu.RUnlock()
			return runOf(&a.records.entries, pos, p.To)
		}
	}
	return runOf(&ch.records.entries, pos, ch.state.Tail)
}

func runOf(s *entries, pos, to uint64) run {
	e := s.holding(pos)
	end := min(e.last(), to)
	return run{end, uint64(e.upTo(end-e.first) - e.upTo(pos-e.first)), e.at}
}

// trimPointLocked is where retention wants the start once so many records and
// bytes more are there, and how many bytes lie below it.
func (ch *channel) trimPointLocked(now time.Time, records, bytes uint64) (start, dropped uint64) {
	s := &ch.state
	start = s.Start
	limit := s.Retention
	if limit == (twohop.Retention{}) {
		return start, 0
	}
	for start < s.Tail {
		r := ch.runLocked(start)
		over := limit.Records > 0 && s.Tail+records-r.end >= limit.Records ||
			limit.Bytes > 0 && ch.readable+bytes-dropped-r.bytes >= limit.Bytes ||
			limit.Age > 0 && now.Sub(time.Unix(0, r.at)) >= limit.Age
		if !over {
			break
		}
		start, dropped = r.end, dropped+r.bytes
	}
	return start, dropped
}

// trimLocked carries out the retention and reports whether the start moved.
func (ch *channel) trimLocked(now time.Time) bool {
	start, dropped := ch.trimPointLocked(now, 0, 0)
	if start == ch.state.Start {
		return false
	}
	ch.state.Start = start
	ch.readable -= dropped
	ch.releaseLocked(ch.cutLocked(ch.engine.used.Load() > ch.engine.max))
	return true
}

// droppableLocked is how many bytes retention sets free once a is appended.
func (ch *channel) droppableLocked(a *twohop.Append, now time.Time) (free int64) {
	if ch.state.Refs > 0 {
		return 0
	}
	start, _ := ch.trimPointLocked(now, uint64(len(a.Ends)), uint64(len(a.Data)))
	for e := range ch.records.live() {
		if e.last() > start {
			break
		}
		free += e.size()
	}
	return free
}
