package httpstream

import (
	"twohop/internal/park"
	"twohop/internal/wire"
)

// guest is Options.Many, where it can serve on loops.
type guest interface {
	// Take takes over the connection of a request, or returns false and has done
	// nothing: then a full HTTP server gets it. Who takes a connection sets its
	// State to a hosted. The slices hold during the call only: rest is what came
	// after the request, fields are header lines that every answer has. back takes
	// the connection back for further requests, with what came meanwhile.
	Take(c *park.Conn, r *wire.Request, body, rest []byte, fields string, back func(rest []byte)) bool
}

// hosted is the State of a connection that is a guest's.
type hosted interface {
	Readable(c *park.Conn)
	Writable(c *park.Conn)
	Due(c *park.Conn)
	Closed(c *park.Conn)
}

// invite gives the request at the start of b to the guest. The connection is not
// to be read on for now.
func (r *reader) invite(b []byte, head, size int) {
	p := r.p
	var a ask
	g, ok := p.h.opts.Many.(guest)
	if !ok || !p.fields(&a) {
		r.handOver(b)
		return
	}
	r.in = nil
	if second := p.today(); p.fieldsOf != second {
		p.fieldsOf, p.allFields = second, string(p.common(nil))
	}
	if !g.Take(r.c, &p.req, b[head:size], b[size:], p.allFields+a.cors, r.host) {
		r.handOver(b)
	}
}

// host takes a connection back from its guest, and serves what arrived since.
func (r *reader) host(rest []byte) {
	r.c.State = r
	r.rest()
	if len(rest) > 0 && r.c.Open() && r.state == idle {
		r.feed(rest)
	}
}
