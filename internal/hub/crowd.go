package hub

import (
	"sync/atomic"
	"time"
)

// Crowd is the readers of a channel that one loop serves. To the channel they
// are one watcher: what happens there costs it a note, and the loop a round, in
// which each of them is looked at. A round takes as many turns as it needs, so
// that the loop's other work goes on meanwhile.
//
// News during a round makes it begin again, so that it is seen by all that were
// not looked at yet. From there on turns are short: whoever publishes is answered
// sooner, and what he publishes next goes out with what came before, in one write.
// With a budget it waits for the next round: each reader would
// be looked at again for a record or two.
//
// Note may be called from anywhere, all else by the loop only.
type Crowd[M Member] struct {
	Budget time.Duration

	news    atomic.Bool // something happened since the round began
	due     atomic.Bool // a turn is to come
	members []M
	pos     int  // where the next turn begins
	left    int  // members to look at from pos on until all were
	busy    bool // the round began again
	began   time.Time
}

// Member is a reader in a crowd.
type Member interface {
	comparable
	// Place is where the crowd notes which of its members this is.
	Place() *int32
}

// Note takes note of news. It returns true if a turn has to be scheduled for it.
func (c *Crowd[M]) Note() bool {
	c.news.Store(true)
	return c.due.CompareAndSwap(false, true)
}

// Due reports whether a turn is to come.
func (c *Crowd[M]) Due() bool { return c.due.Load() }

// Begin begins a round if there is news for one. It returns false if there is
// none, or if it has to wait for the end of this round.
func (c *Crowd[M]) Begin(now time.Time) bool {
	if c.left > 0 && c.Budget > 0 || !c.news.Swap(false) {
		return false
	}
	c.busy = c.left > 0
	c.left = len(c.members)
	c.began = now
	return true
}

// Began is when the last round did.
func (c *Crowd[M]) Began() time.Time { return c.began }

// Again makes the round begin again: who is looked at was given less than there
// is. It is called while Look looks.
func (c *Crowd[M]) Again() { c.left = len(c.members) + 1 } // this look, which is counted when it is over, and one at each

// Look has a turn of the round: it looks at some members, who may leave
// meanwhile. It returns true if others are left.
func (c *Crowd[M]) Look(some int, at func(M)) bool {
	if c.busy {
		some = max(1, some/4)
	}
	for ; some > 0 && c.left > 0 && len(c.members) > 0; some-- {
		if c.pos >= len(c.members) {
			c.pos = 0
		}
		m := c.members[c.pos]
		at(m)
		// If the member left, another stands in its place: the last one, who may
		// not have been among those to look at, so there are as many left.
		if c.pos < len(c.members) && c.members[c.pos] == m {
			c.pos++
			c.left--
		}
	}
	return c.left > 0 && len(c.members) > 0
}

// Rest ends the round. It returns true if a turn has to be scheduled for what
// happened meanwhile, after so much time.
func (c *Crowd[M]) Rest() (after time.Duration, more bool) {
	c.left = 0
	c.due.Store(false)
	if !c.news.Load() || !c.due.CompareAndSwap(false, true) {
		return 0, false
	}
	if c.Budget > 0 {
		after = max(0, c.Budget-time.Since(c.began)) // it came since
	}
	return after, true
}

// Len is how many there are.
func (c *Crowd[M]) Len() int { return len(c.members) }

// Last is one of them, who leaves at the least cost.
func (c *Crowd[M]) Last() M { return c.members[len(c.members)-1] }

// Add adds a member.
func (c *Crowd[M]) Add(m M) {
	if c.left > 0 {
		c.left++ // a round may go past the end of the list, where it stands now
	}
	*m.Place() = int32(len(c.members)) //nolint:gosec // connections are bounded by descriptors
	c.members = append(c.members, m)
}

// Remove takes a member out. Another takes its place, so a round begins again
// unless it was the one that is looked at.
func (c *Crowd[M]) Remove(m M) {
	ix, last := int(*m.Place()), len(c.members)-1
	c.members[ix] = c.members[last]
	*c.members[ix].Place() = int32(ix) //nolint:gosec // as above
	var none M
	c.members[last] = none
	c.members = c.members[:last]
	if c.left > 0 && ix != c.pos {
		c.left = last
	}
	*m.Place() = -1
}
