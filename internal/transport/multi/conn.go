package multi

import (
	"time"

	"twohop/internal/hub"
)

// port is how bytes leave a connection: a socket in a loop, or one that has a
// goroutine. All of it is used in tasks of the connection's node.
type port interface {
	// Queue sends b soon, with all else that is queued. It must not change
	// afterwards.
	Queue(b []byte)
	// QueueCopy is Queue for bytes that will be overwritten.
	QueueCopy(b []byte)
	// Flush sends what is queued at once, as far as the peer takes it.
	Flush()
	// Blocked reports whether nothing more should be queued until the connection
	// is told that it has room.
	Blocked() bool
	// Unsent is how many bytes wait for a peer that is slow.
	Unsent() int
	// Pause stops or resumes the reading of what the peer sends.
	Pause(on bool)
	// Favor has what the peer sends read before that of others, for a while.
	Favor()
	// SetDue has the connection told once d has gone by; 0 is never.
	SetDue(d time.Duration)
	// CloseWrite tells the peer, after what is queued, that nothing more comes.
	// If it is blocked that has to be done again when there is room.
	CloseWrite()
	// Close closes the connection, after what is queued.
	Close()
}

// ending is what a connection does with what its cursors are given.
type ending interface {
	// own takes a frame that is for this connection only. It is overwritten
	// afterwards.
	own(frame []byte)
	// page takes the next page of a cursor, which stands before it.
	page(c *cursor, v *hub.View)
	// full reports whether the connection has enough for now.
	full() bool
	// flush is called when nothing more comes in this turn.
	flush()
	// dropped tells that a cursor is followed no more.
	dropped(c *cursor)
	// drain ends the connection, as this node leaves.
	drain()
}

// conn is a connection and its cursors.
type conn struct {
	port    port
	node    *node
	end     ending
	cursors []*cursor
	byName  map[string]*cursor // of those that are followed, where there are many
	last    *cursor            // of the ring of those that are due
	alive   int32              // cursors that are followed or awaited
	pos     int32              // in the node's conns
	queued  bool               // has a turn to come
	reading bool               // waits for a page of the engine
	busy    bool               // channels are being opened for it
	closed  bool
}

// few is how many cursors are found by looking at each.
const few = 8

// find finds a cursor that is followed or awaited.
func (k *conn) find(name string) *cursor {
	if k.byName != nil {
		return k.byName[name]
	}
	for _, c := range k.cursors {
		if c.name == name && c.state != gone {
			return c
		}
	}
	return nil
}

func (k *conn) add(c *cursor) {
	c.conn = k
	c.slot = int32(len(k.cursors)) //nolint:gosec // limits.channels is smaller
	if k.cursors == nil {
		k.cursors = make([]*cursor, 0, 1)
	}
	k.cursors = append(k.cursors, c)
	k.alive++
	k.node.h.stats.Subscriptions.Add(1)
	switch {
	case k.byName != nil:
		k.byName[c.name] = c
	case len(k.cursors) > few:
		k.byName = make(map[string]*cursor, 4*few)
		for _, c := range k.cursors {
			if c.state != gone {
				k.byName[c.name] = c
			}
		}
	}
}

// detach takes a cursor off its channel.
func (k *conn) detach(c *cursor) {
	switch c.state {
	case following:
		if c.g != nil {
			c.g.remove(c)
		}
	case awaiting:
		k.node.awaits[c.name].remove(c)
	case gone:
		return
	}
	c.state = gone
	k.alive--
	delete(k.byName, c.name)
	k.node.h.stats.Subscriptions.Add(-1)
}

// drop ends the following of a channel.
func (k *conn) drop(c *cursor) {
	k.detach(c)
	k.end.dropped(c)
}

// shrink forgets a cursor that is followed no more.
func (k *conn) shrink(c *cursor) {
	last := len(k.cursors) - 1
	k.cursors[c.slot] = k.cursors[last]
	k.cursors[c.slot].slot = c.slot
	k.cursors[last] = nil
	k.cursors = k.cursors[:last]
	if last == 0 {
		k.cursors, k.byName = nil, nil
	}
}

// serve gives a connection what is due on it, one page of each channel in turn,
// for as long as it has room.
func (k *conn) serve() {
	for !k.closed && k.last != nil && !k.reading && !k.port.Blocked() && !k.end.full() {
		if c := k.pop(); c.state == following {
			c.step()
		}
	}
	if !k.closed {
		k.end.flush()
	}
}

// serveAlone is serve where no other connection is served in the same turn: what
// was read is not kept, as more may have come when the next one reads.
func (k *conn) serveAlone() {
	k.serve()
	k.node.forget()
}

// hasten makes due what waits for a budget, or for its turn: the connection ends
// before that.
func (k *conn) hasten() {
	for _, c := range k.cursors {
		if c.state == following && c.g.Due() {
			c.push()
		}
	}
}

// release takes all cursors off their channels: the connection is no more.
func (k *conn) release() {
	k.closed = true
	for _, c := range k.cursors {
		k.detach(c)
	}
	k.cursors, k.byName, k.last = nil, nil, nil
	k.node.leave(k)
}
