package crash

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"twohop"
)

// verify compares what a crash left with what clients know. Nobody else is at
// work.
func (o *oracle) verify(s *site) {
	s.engine.single.Store(true)
	defer s.engine.single.Store(false)
	for _, c := range o.channels {
		o.verifyChannel(s, c)
	}
}

func (o *oracle) verifyChannel(s *site, c *channel) {
	head := s.do(s.ctx, http.MethodHead, "/v1/stream/"+c.name, "")
	if c.name == "auto/a" && head.status == http.StatusOK {
		c.exists = true // by a publish that was not answered
	}
	switch {
	case head.status == http.StatusOK && !c.exists && !c.busy:
		o.t.Errorf("%s is there, though it was deleted or never created", c.name)
	case head.status != http.StatusOK && c.exists && !c.busy:
		o.t.Errorf("%s is lost: %s", c.name, head)
	case head.status == http.StatusOK && c.exists:
		if closed := head.header.Get("Stream-Closed") == "true"; closed != c.closed && !c.busy {
			o.t.Errorf("%s: closed is %v, it was %v", c.name, closed, c.closed)
		}
		o.verifyRecords(s, c)
	}
	for _, at := range c.dead {
		if a := s.do(s.ctx, http.MethodGet, "/v1/stream/"+c.name+"?offset="+at.String(), ""); a.status != http.StatusGone && a.status != http.StatusNotFound {
			o.t.Errorf("%s: offset %s is of what was deleted or lost, and is answered %s", c.name, at, a)
		}
	}
}

// verifyRecords looks for every record that was acknowledged or shown.
func (o *oracle) verifyRecords(s *site, c *channel) {
	start, tail, got := o.readAll(s, c)
	if kept := tail.Pos - start.Pos; !c.short && start.Pos != 0 || c.short && kept < min(tail.Pos, shortRecords) {
		o.t.Errorf("%s: begins at %s, its tail is %s", c.name, start, tail)
	}
	var lost []twohop.Offset
	for _, at := range c.alive() {
		switch _, ok := got[at]; {
		case ok || at.Pos <= start.Pos:
		case c.lazy && !o.clean:
			lost = append(lost, at)
			delete(c.shown, at)
			c.acked = twohop.Offset{}
		default:
			o.t.Errorf("%s: %.60q was acknowledged or shown, with offset %s; it is lost. What is left ends at %s", c.name, o.facts[at], at, tail)
			delete(c.shown, at)
		}
	}
	c.dead = append(c.dead, lost...) // answered with a reset, now and when the log has grown again
	if f := c.fork; f != nil {
		o.verifyFork(c, got)
	}
	o.verifyOffsets(s, c, start)
}

// verifyOffsets wants reads to go on where acknowledgements and readers stand.
func (o *oracle) verifyOffsets(s *site, c *channel, start twohop.Offset) {
	all := c.alive()
	for i, at := range all {
		a := s.do(s.ctx, http.MethodGet, "/v1/stream/"+c.name+"?offset="+at.String(), "")
		if at.Pos < start.Pos {
			if a.header.Get("Stream-Reset") != "trimmed" {
				o.t.Errorf("%s: offset %s is below the start %s, and is answered %s", c.name, at, start, a)
			}
			continue
		}
		if a.status != http.StatusOK {
			o.t.Errorf("%s: offset %s is answered %s", c.name, at, a)
			continue
		}
		if i == len(all)-1 {
			continue
		}
		if next := all[i+1]; next.Pos == at.Pos+1 && !slices.Equal(split(c, a.body), []string{o.facts[next]}) {
			o.t.Errorf("%s: after %s comes %.60q, want %.60q", c.name, at, a.body, o.facts[next])
		}
	}
}

// verifyFork wants a part of a record that a fork begins with to be of that
// record.
func (o *oracle) verifyFork(c *channel, got map[twohop.Offset]string) {
	f := c.fork
	if c.json || f.sub == 0 {
		return
	}
	for at, r := range got {
		if at.Pos == f.at.Pos+1 && f.whole != "" && (len(r) != f.sub || !strings.HasPrefix(f.whole, r)) {
			o.t.Errorf("%s: at %s it has %.60q, want %d bytes of %.60q", c.name, at, r, f.sub, f.whole)
		}
	}
}

// readAll reads a channel from its start to its tail, one record a page.
func (o *oracle) readAll(s *site, c *channel) (start, tail twohop.Offset, got map[twohop.Offset]string) {
	got = map[twohop.Offset]string{}
	where := map[string]twohop.Offset{} // of each record
	from := "-1"
	for {
		a := s.do(s.ctx, http.MethodGet, "/v1/stream/"+c.name+"?offset="+from, "")
		if a.status != http.StatusOK {
			o.t.Fatalf("%s: reading at %s is answered %s", c.name, from, a)
		}
		next := a.offset(o.t)
		if from == "-1" {
			var err error
			if start, err = twohop.ParseOffset(a.header.Get("Stream-Start-Offset")); err != nil {
				o.t.Error(err)
			}
			tail = start
		}
		for _, r := range split(c, a.body) {
			if other, twice := where[r]; twice && o.sent[r] { // parts of records may be alike
				o.t.Errorf("%s: %.60q is there twice, at %s and %s", c.name, r, other, next)
			}
			where[r], got[next] = next, r
		}
		if n := next.Pos - tail.Pos; n != uint64(len(split(c, a.body))) || n > 1 {
			o.t.Errorf("%s: from %s to %s there are %d records", c.name, tail, next, n)
		}
		o.saw(c, twohop.Offset{}, next, split(c, a.body))
		tail = next
		if a.header.Get("Stream-Up-To-Date") == "true" {
			return start, tail, got
		}
		from = next.String()
	}
}

func (m mark) String() string {
	return fmt.Sprintf("exists %v, closed %v, settled %v, turn %d, run %d", m.exists, m.closed, m.stable, m.turn, m.run)
}
