package crash

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"twohop"
)

// oracle knows what clients were told, and so what must be true.
type oracle struct {
	t    *testing.T
	huge bool // records are large enough for the store to write tables meanwhile

	mu       sync.Mutex
	crashed  bool
	run      int  // generations so far
	clean    bool // the last one ended in good order
	ops      int  // answers in this generation
	deed     bool // the answer is one to the owner
	end      *end // of this generation
	channels map[string]*channel
	facts    map[twohop.Offset]string // what each offset names, for ever
	sent     map[string]bool          // every record that was ever sent
	records  int
	forks    int
}

// channel is what is known of a name.
type channel struct {
	name   string
	json   bool
	lazy   bool // acknowledged at level memory
	short  bool // with retention
	fork   *fork
	exists bool
	closed bool
	busy   bool   // the owner is about to change whether it exists or is closed
	turn   int    // counts what the owner did to it
	epoch  uint64 // the first log epoch of this incarnation; 0 for forks

	acked twohop.Offset          // the newest acknowledgement's
	shown map[twohop.Offset]bool // offsets after records that clients of this name know of
	dead  []twohop.Offset        // some that must never be served again
}

// fork is how a channel came to be one.
type fork struct {
	source string
	at     twohop.Offset
	sub    int
	whole  string // the record that follows at, if it is known
}

func newOracle(t *testing.T, huge bool) *oracle {
	o := &oracle{
		t: t, huge: huge, crashed: true, channels: map[string]*channel{},
		facts: map[twohop.Offset]string{}, sent: map[string]bool{},
	}
	for _, name := range []string{"kept/a", "kept/b", "kept/text", "short/a", "lazy/interval/a", "lazy/text", "auto/a"} {
		o.add(name, strings.Contains(name, "text"), nil)
	}
	return o
}

func (o *oracle) add(name string, text bool, f *fork) *channel {
	c := &channel{
		name: name, json: !text, lazy: strings.HasPrefix(name, "lazy/"), short: strings.HasPrefix(name, "short/"),
		fork: f, shown: map[twohop.Offset]bool{},
	}
	o.channels[name] = c
	return c
}

// end is when a generation ends: with an answer.
type end struct {
	ops   int  // answers that come before it
	deed  bool // it is one to the owner
	cut   func()
	ended chan struct{}
}

// begin starts a generation.
func (o *oracle) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.crashed, o.ops = false, 0
	o.run++
}

// await waits until an answer, and whether it is one to the owner, has come
// after so many. cut, if there is one, is called in the same moment, and ends
// the generation: nothing that comes after it was ever answered.
func (o *oracle) await(ops int, deed bool, cut func()) {
	e := &end{ops, deed, cut, make(chan struct{})}
	o.mu.Lock()
	e.ops += o.ops
	o.end = e
	o.mu.Unlock()
	<-e.ended
}

// stopped ends a generation in good order.
func (o *oracle) stopped() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.crashed, o.clean = true, true
}

// told takes an answer, under the lock: update is not called, and the answer
// counts as never sent, when the power has failed.
func (o *oracle) told(update func()) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.crashed {
		return false
	}
	o.deed = false
	update()
	o.ops++
	if e := o.end; e != nil && o.ops > e.ops && (o.deed || !e.deed) {
		if e.cut != nil {
			o.crashed, o.clean = true, false
			e.cut()
		}
		o.end = nil
		close(e.ended)
	}
	return true
}

// mark is what was true when a request was sent.
type mark struct {
	turn, run      int
	stable         bool // the owner was not at work on the channel
	exists, closed bool
	acked, newest  twohop.Offset // acknowledged, and acknowledged or shown
}

func (o *oracle) mark(c *channel) mark {
	o.mu.Lock()
	defer o.mu.Unlock()
	return mark{c.turn, o.run, !c.busy, c.exists, c.closed, c.acked, c.newest()}
}

// same reports whether the channel stayed as it was since the mark.
func (m mark) same(c *channel) bool { return m.stable && m.turn == c.turn }

// newest is the newest offset that is known of a channel's incarnation.
func (c *channel) newest() (newest twohop.Offset) {
	for at := range c.shown {
		if at.Epoch >= c.epoch && at.Compare(newest) > 0 {
			newest = at
		}
	}
	return newest
}

// someOffset is one that clients know of a channel, or the zero offset.
func (o *oracle) someOffset(c *channel, random *rand.Rand) twohop.Offset {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := c.alive()
	if len(all) == 0 {
		return twohop.Offset{}
	}
	return all[random.IntN(len(all))]
}

// alive are the known offsets of the channel's incarnation, in order.
func (c *channel) alive() (all []twohop.Offset) {
	for at := range c.shown {
		if at.Epoch >= c.epoch {
			all = append(all, at)
		}
	}
	slices.SortFunc(all, twohop.Offset.Compare)
	return all
}

// pick is a channel that exists, as far as is known, or any.
func (o *oracle) pick(random *rand.Rand, wanted func(*channel) bool) *channel {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []*channel
	for _, c := range o.channels {
		if wanted(c) {
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *channel) int { return strings.Compare(a.name, b.name) })
	return all[random.IntN(len(all))]
}

// record makes one that was never sent before.
func (o *oracle) record(c *channel, random *rand.Rand) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.records++
	pad := strings.Repeat("x", random.IntN(30))
	if o.huge && random.IntN(3) == 0 {
		pad = strings.Repeat(fmt.Sprint(random.Uint64()), 10_000)
	}
	r := fmt.Sprintf("<%d %s>\n", o.records, pad)
	if c.json {
		r = fmt.Sprintf(`{"n":%d,"pad":%q}`, o.records, pad)
	}
	o.sent[r] = true
	return r
}

// saw notes, under the lock, that somebody was shown records between two
// offsets; from is zero where it is not known.
func (o *oracle) saw(c *channel, from, next twohop.Offset, records []string) {
	o.t.Helper()
	n := uint64(len(records))
	if n == 0 {
		return
	}
	if !from.IsZero() && next.Pos-from.Pos != n || next.Pos < n {
		o.t.Errorf("%s: %d records between %s and %s", c.name, n, from, next)
		return
	}
	for i, r := range records {
		at := twohop.Offset{Epoch: next.Epoch, Pos: next.Pos - n + 1 + uint64(i)} //nolint:gosec // an index
		if at != next && from.Epoch != next.Epoch {
			continue // it may be of an older epoch
		}
		if was, ok := o.facts[at]; ok && was != r {
			o.t.Errorf("%s: offset %s names %.60q, it named %.60q", c.name, at, r, was)
		}
		if !o.sent[r] && c.fork == nil {
			o.t.Errorf("%s: %.60q at %s was never sent", c.name, r, at)
		}
		o.facts[at] = r
		c.shown[at] = true
	}
}

// inherit notes, under the lock, what a new fork has of its source.
func (o *oracle) inherit(c *channel) {
	source := o.channels[c.fork.source]
	end := c.fork.at.Pos
	if source.json {
		end += uint64(c.fork.sub) //nolint:gosec // not negative
	}
	for _, at := range source.alive() {
		if at.Pos <= end {
			c.shown[at] = true
		}
		if at.Pos == c.fork.at.Pos+1 {
			c.fork.whole = o.facts[at]
		}
	}
}
