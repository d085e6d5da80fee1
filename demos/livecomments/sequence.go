package livecomments

// sequence is what one reader of a channel knows of it from the numbers of its
// records alone. The first record of a source that it sees sets where its
// numbers begin. It belongs to one goroutine.
type sequence struct {
	last    map[string]*uint64 // by pointer, so that counting allocates nothing
	records uint64
	missing uint64 // numbers that were skipped
	twice   uint64 // numbers that came again, or late
}

// maxSources bounds what a reader remembers; pages come and go.
const maxSources = 256

// take counts a record.
func (s *sequence) take(record []byte) {
	s.records++
	source, number, ok := mark(record)
	if !ok {
		return // the demo did not make it
	}
	last := s.last[string(source)]
	switch {
	case last == nil:
		if s.last == nil || len(s.last) >= maxSources {
			s.last = map[string]*uint64{}
		}
		first := number
		s.last[string(source)] = &first
	case number <= *last:
		s.twice++
	default:
		s.missing += number - *last - 1
		*last = number
	}
}
