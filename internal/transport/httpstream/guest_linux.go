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
	// after the request, fields are header lines that every answer has. The host
	// gets the connection back for further requests, if the guest keeps it.
	Take(c *park.Conn, r *wire.Request, body, rest []byte, fields string, host park.Host) (taken, keepsHost bool)
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
	if !ok || int64(p.req.ContentLength) > p.h.opts.BodyBytes || !p.fields(&a) {
		r.handOver(b)
		return
	}
	r.in, r.eof = nil, false
	r.c.Pause(false) // the peer's end, if it has come, is the guest's to see
	if second := p.today(); p.fieldsOf != second {
		p.fieldsOf, p.allFields = second, string(p.common(nil))
	}
	switch taken, kept := g.Take(r.c, &p.req, b[head:size], b[size:], p.allFields+a.cors, r); {
	case !taken:
		r.handOver(b)
	case !kept:
		p.unused = r
	}
}

// Back implements park.Host.
func (r *reader) Back(rest []byte) {
	r.c.State = r
	r.rest()
	if len(rest) > 0 && r.c.Open() && r.state == idle {
		r.feed(rest)
	}
}
