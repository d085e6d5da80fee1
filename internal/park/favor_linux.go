package park

import (
	"slices"
	"time"
)

const (
	maxFavored = 64          // connections at a time
	favorFor   = time.Second // since it was asked for, and since there was need of it
)

// favored is a connection that is looked at first.
type favored struct {
	c     *Conn
	since time.Time
}

// Favor has the connection looked at in every round for a while, if there is
// more on the loop than a round takes up, where it would wait for its turn among
// thousands. It is for who is waited for, like publishers.
func (c *Conn) Favor() {
	p := c.loop
	if p.time.Sub(p.crowded) > favorFor {
		return
	}
	i := slices.IndexFunc(p.favored, func(f favored) bool { return f.c == c })
	switch {
	case i >= 0:
		p.favored[i].since = p.time
	case len(p.favored) < maxFavored:
		p.favored = append(p.favored, favored{c, p.time})
	}
}

// serveFavored looks at the favored connections, in a round that has all the
// events that it takes up. There is nothing to read on most.
func (p *Loop) serveFavored() {
	p.crowded = p.time
	p.favored = slices.DeleteFunc(p.favored, func(f favored) bool { return p.time.Sub(f.since) > favorFor })
	for _, f := range slices.Clone(p.favored) { // those that close leave it
		if f.c.Open() && !f.c.paused {
			p.handler.Readable(f.c)
			p.flushMany()
		}
	}
}
