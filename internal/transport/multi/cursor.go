package multi

import (
	"context"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/wire"
)

// state is how a channel stands on a connection.
type state uint8

const (
	following state = iota // in a group
	awaiting               // the channel does not exist yet
	gone                   // closed, deleted, or not followed any more
)

// cursor is a channel that a connection follows: where it stands.
type cursor struct {
	conn   *conn
	g      *group  // while following
	next   *cursor // in the list of those that are due
	name   string
	at     twohop.Offset
	ix     int32 // in the group's cursors, or in the await's
	slot   int32 // in the connection's cursors
	state  state
	base64 bool
	due    bool // in the list, or behind
}

// offer says that there may be something for a cursor. If nothing else can be
// due on its connection it gets that at once.
func (c *cursor) offer() {
	if c.due {
		return // its connection has a turn to come, or has no room
	}
	c.push()
	if k := c.conn; len(k.cursors) == 1 {
		k.serve()
	} else {
		k.node.enqueue(k)
	}
}

// push puts a cursor at the end of its connection's list of those that are due,
// which is a ring.
func (c *cursor) push() {
	if c.due {
		return
	}
	c.due = true
	k := c.conn
	if k.last == nil {
		c.next = c
	} else {
		c.next = k.last.next
		k.last.next = c
	}
	k.last = c
}

// pop takes the cursor that has been due for longest.
func (k *conn) pop() *cursor {
	c := k.last.next
	if c == k.last {
		k.last = nil
	} else {
		k.last.next = c.next
	}
	c.next, c.due = nil, false
	return c
}

// step gives a cursor its next page, as far as it is in memory.
func (c *cursor) step() {
	v := c.conn.node.read(c.g, c.at)
	if v == nil {
		c.fetch()
		return
	}
	c.give(v)
}

// give gives a cursor a page that begins where it stands.
func (c *cursor) give(v *hub.View) {
	if len(v.Data) == 0 && !v.Closed {
		return
	}
	k := c.conn
	k.end.page(c, v)
	c.at = v.Next
	k.node.h.delivered(v)
	switch {
	case v.Closed:
		k.drop(c)
	case !v.UpToDate:
		c.push()
	}
}

// fetch reads a page from the engine, elsewhere. Until it is there nothing else
// is given to the connection, so that it never holds two.
func (c *cursor) fetch() {
	k := c.conn
	k.reading = true
	d := &deep{c: c, g: c.g, at: c.at}
	ch := c.g.ch
	k.node.elsewhere(d, func() {
		d.view, d.err = ch.Read(context.Background(), d.at) //nolint:forbidigo // the engine bounds its own time
	})
}

// deep is a page from the depth of a log.
type deep struct {
	c    *cursor
	g    *group
	at   twohop.Offset
	view *hub.View
	err  error
}

// Turn implements task.
func (d *deep) Turn() bool {
	c, k := d.c, d.c.conn
	defer k.node.forget()
	k.reading = false
	switch {
	case k.closed:
		return false
	case c.state != following:
	case c.g != d.g: // it was opened again meanwhile
		c.push()
	case d.err != nil:
		c.fail(d.err)
	default:
		c.give(d.view)
	}
	k.serve()
	return false
}

// fail tells a client that a cursor's read failed. After a reset it goes on
// where the reset says, unless the channel is no more.
func (c *cursor) fail(err error) {
	k := c.conn
	e := k.node.h.asError(c.name, err)
	if e.Code != twohop.CodeReset {
		k.end.own(wire.AppendError(k.node.scratch(), nil, e))
		k.drop(c)
		return
	}
	k.node.h.stats.Resets.Add(1)
	c.at = e.Reset.Next()
	k.end.own(wire.AppendReset(k.node.scratch(), c.name, e.Reset))
	if e.Reset.Reason == twohop.ResetDeleted {
		k.drop(c)
		return
	}
	c.push()
}
