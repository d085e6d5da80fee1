package disklog

// A group on a loop is small, so that the loop's other work is not kept waiting.
// A larger one is worth being handed over.
const (
	swiftItems = 64
	swiftBytes = 128 << 10
)

// swift reports whether the item may be carried out without waiting.
func (it *item) swift() bool {
	if it.kind == itemAppend {
		return it.add.Producer == nil && it.add.Key == ""
	}
	return it.kind == itemSync || it.kind == itemPass
}

// moveIn has the loop asked from now on.
func (q *queue) moveIn(ask func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.ask, q.mu.away = ask, true // until the committer, who may be at work, has landed
	q.signal()
}

// moveOut has the committer asked from now on.
func (q *queue) moveOut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.ask, q.mu.away = nil, false
	q.signal()
}

// begin is the loop's turn, if it was asked.
func (q *queue) begin() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.asked = false
	q.mu.onLoop = q.mu.onLoop || q.mu.ask != nil && !q.mu.away
	return q.mu.onLoop
}

// swiftTake is take on the loop. None is that there is nothing to do, or that it
// is for the committer: then the turn is over.
func (q *queue) swiftTake() []*item {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.ask == nil || !q.swiftLocked() {
		q.endLocked()
		return nil
	}
	items := q.takeLocked()
	if items == nil {
		q.mu.onLoop = false
	}
	return items
}

// swiftLocked reports whether the next group is one for a loop.
func (q *queue) swiftLocked() bool {
	if len(q.mu.items) > swiftItems || q.mu.bytes > swiftBytes {
		return false
	}
	for _, it := range q.mu.items {
		if !it.swift() {
			return false
		}
	}
	return true
}

// hand ends the loop's turn: the committer is to deal with items that were taken,
// or to end a group.
func (q *queue) hand(items []*item, half *group) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if half == nil {
		q.backLocked(items)
	}
	q.mu.half = half
	q.endLocked()
}

// endLocked makes it the committer's turn.
func (q *queue) endLocked() {
	q.mu.onLoop = false
	q.mu.away = q.mu.ask != nil
	q.signal()
}

// swiftLanded is landed on the loop, whose turn goes on.
func (q *queue) swiftLanded(rest []*item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.backLocked(rest)
}

// waiting reports whether there are items for a next group.
func (q *queue) waiting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.mu.items) > 0
}
