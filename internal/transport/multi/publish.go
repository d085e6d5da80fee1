package multi

import (
	"context"

	"twohop"
	"twohop/internal/wire"
)

// published is a publish on its way to its answer.
type published struct {
	s   *socket
	id  []byte
	a   *twohop.Append
	ack twohop.Ack
	err error
}

// publish carries out a publish frame. The engine keeps the order of a channel's
// appends.
func (s *socket) publish(f *wire.ClientFrame) {
	n, h := s.node, s.node.h
	a, err := f.Item.Append(h.opts.NameBytes)
	if err != nil {
		s.own(wire.AppendError(n.scratch(), f.ID, h.asError(f.Item.Channel, err)))
		return
	}
	a.Create = h.opts.Rules.Spec(a.Channel, a.ContentType)
	u := &published{s: s, a: a}
	if f.ID != nil {
		u.id = append(u.id, f.ID...)
	}
	s.publishing++
	n.away++
	s.publishes = true
	s.port.Favor()
	s.settle()
	s.did = n.time
	h.stats.Publishing.Add(1)
	h.hub.Engine().Append(context.Background(), a, func(ack twohop.Ack, err error) { //nolint:forbidigo // what was taken on is carried out
		u.ack, u.err = ack, err
		n.run.Post(u)
	})
}

// Turn implements task.
func (u *published) Turn() bool {
	s, n, h := u.s, u.s.node, u.s.node.h
	s.publishing--
	n.away--
	h.stats.Publishing.Add(-1)
	if u.err == nil && !u.ack.Duplicate {
		h.stats.Published.Add(int64(len(u.a.Ends)))
	}
	if s.closed {
		return false
	}
	n.time = now()
	s.did = n.time
	if u.err != nil {
		s.own(wire.AppendError(n.scratch(), u.id, h.asError(u.a.Channel, u.err)))
	} else {
		s.own(wire.AppendPublished(n.scratch(), u.id, u.a.Channel, &u.ack, h.hub.Readers(u.a.Channel)))
	}
	s.resume()
	return false
}
