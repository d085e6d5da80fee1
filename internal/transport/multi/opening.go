package multi

import (
	"context"
	"strings"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/wire"
)

// opening is channels that a connection wants to follow, on their way. They are
// answered in their order; the connection is busy meanwhile.
type opening struct {
	k     *conn
	by    opener
	id    []byte // of the frame that asked, or nil
	list  []wire.Follow
	next  int       // the first that is not answered
	found []located // elsewhere, for list[next:]
}

// opener is who is told what becomes of its channels.
type opener interface {
	// follows tells that a cursor follows its channel, or awaits it; then info is
	// nil. It holds during the call only.
	follows(o *opening, f *wire.Follow, c *cursor, info *twohop.Info)
	// fails tells that a channel is not followed.
	fails(o *opening, f *wire.Follow, err error)
	// answered is called when all were.
	answered(o *opening)
}

// coming is how many are to be answered after the one that is.
func (o *opening) coming() int { return len(o.list) - o.next - 1 }

// located is a channel that was opened elsewhere, and where its cursor begins.
type located struct {
	ch  *hub.Channel
	at  twohop.Offset
	err error
}

// open begins to follow channels. It returns true if all were answered.
func (k *conn) open(by opener, id []byte, list []wire.Follow) bool {
	n := k.node
	o := n.opening
	if n.opening = nil; o == nil {
		o = &opening{}
	}
	*o = opening{k: k, by: by, id: append(o.id[:0], id...), list: list}
	if id == nil {
		o.id = nil
	}
	k.busy = true
	if o.Turn() {
		n.run.Post(o)
	}
	if k.busy {
		return false
	}
	*o = opening{id: o.id}
	n.opening = o // nobody else has it
	return true
}

// Turn implements task.
func (o *opening) Turn() bool {
	k := o.k
	defer k.node.forget()
	found := o.found
	o.found = nil
	for i := range found {
		if l := &found[i]; l.ch != nil {
			defer l.ch.Close()
		}
	}
	if k.closed {
		return false
	}
	for i := range found {
		f := &o.list[o.next]
		if !o.place(f, &found[i]) {
			o.elsewhere() // it left the hub this very moment
			return false
		}
		o.next++
	}
	for n := 0; o.next < len(o.list); n++ {
		if n == turnSize {
			return true
		}
		if !o.here(&o.list[o.next]) {
			o.elsewhere()
			return false
		}
		o.next++
	}
	k.busy = false
	o.by.answered(o)
	if !k.closed {
		k.serve()
	}
	return false
}

// refused says why a channel cannot be followed, whatever there is of it.
func (o *opening) refused(f *wire.Follow) error {
	h := o.k.node.h
	switch {
	case f.Err != nil:
		return f.Err
	case o.k.find(f.Channel) != nil:
		return &twohop.Error{Code: wire.CodeAlreadySubscribed, Channel: f.Channel, Message: "the connection follows the channel already",
			Hint: "unsubscribe first to follow it from elsewhere or with another budget"}
	case reservedForServer(f.Channel):
		return &twohop.Error{Code: twohop.CodeReserved, Channel: f.Channel, Message: "the channel is the server's own", Hint: "use another name"}
	}
	return twohop.CheckName(f.Channel, h.opts.NameBytes)
}

// here answers for a channel without asking the engine, if it can.
func (o *opening) here(f *wire.Follow) bool {
	if err := o.refused(f); err != nil {
		o.by.fails(o, f, err)
		return true
	}
	if f.TailRecords != nil || f.Since != nil {
		return false
	}
	h := o.k.node.h.hub
	ch := h.Peek([]byte(f.Channel))
	if ch == nil {
		if ch = h.TryOpen(f.Channel); ch != nil {
			defer ch.Close()
		}
	}
	return ch != nil && o.place(f, &located{ch: ch, at: ch.Locate(f.From)})
}

const openingSize = 256 // channels that are opened elsewhere at a time

// elsewhere opens the next channels in a goroutine.
func (o *opening) elsewhere() {
	h := o.k.node.h
	list := o.list[o.next:min(len(o.list), o.next+openingSize)]
	o.k.node.elsewhere(o, func() {
		found := make([]located, len(list))
		for i := range list {
			if f := &list[i]; f.Err == nil && f.Channel != "" {
				found[i] = h.locate(context.Background(), f) //nolint:forbidigo // the engine bounds its own time
			}
		}
		o.found = found
	})
}

// locate opens a channel and finds where a cursor begins.
func (h *Handler) locate(ctx context.Context, f *wire.Follow) (l located) {
	if l.err = twohop.CheckName(f.Channel, h.opts.NameBytes); l.err != nil || reservedForServer(f.Channel) {
		return l
	}
	if l.ch, l.err = h.hub.Open(ctx, f.Channel); l.err != nil {
		return l
	}
	switch {
	case f.TailRecords != nil && *f.TailRecords > 0:
		l.at, l.err = l.ch.Last(ctx, *f.TailRecords)
	case f.Since != nil:
		l.at, l.err = l.ch.Since(ctx, *f.Since)
	default:
		l.at = l.ch.Locate(f.From)
	}
	return l
}

// place answers for a channel that was opened, or could not be. It returns false
// if it has to be opened again.
func (o *opening) place(f *wire.Follow, l *located) bool {
	n, h := o.k.node, o.k.node.h
	err := o.refused(f)
	if err == nil {
		err = l.err
	}
	c := &cursor{name: f.Channel, at: l.at, base64: f.Base64}
	switch {
	case err == nil:
		g := n.group(l.ch, f.Budget)
		if g == nil {
			return false
		}
		c.name = l.ch.Name() // one text for all
		o.k.add(c)
		g.add(c)
		info := &n.info
		*info = l.ch.Info()
		tail, closed := info.Tail, info.Closed
		o.by.follows(o, f, c, info)
		if c.at != tail || closed || l.ch.Ahead(c.at) {
			c.push()
		}
	case absent(err) && h.opts.Rules.For(f.Channel).Create && !twohop.Reserved(f.Channel):
		c.state = awaiting
		if f.From.Kind == twohop.FromOffset {
			c.at = f.From.Offset
		}
		o.k.add(c)
		if err := n.await(c, f.Budget); err != nil {
			c.state = following // of nothing
			o.k.detach(c)
			o.k.shrink(c)
			o.by.fails(o, f, err)
			return true
		}
		o.by.follows(o, f, c, nil)
	default:
		o.by.fails(o, f, err)
	}
	return true
}

// reservedForServer reports whether a channel can only be read by the server.
func reservedForServer(name string) bool { return strings.HasPrefix(name, "$sys/") }
