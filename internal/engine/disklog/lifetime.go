package disklog

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"twohop"
	"twohop/internal/engine"
)

// create makes a channel, or finds that it is there already.
func (g *group) create(name string, spec *twohop.Spec, r *result) error {
	w, ch, err := g.live(name)
	if e, ok := errors.AsType[*twohop.Error](err); ok && e.Code == twohop.CodeGone {
		return engine.Exists(name)
	}
	if err != nil {
		return err
	}
	if ch != nil {
		if !ch.Same(spec) {
			return engine.Exists(name)
		}
		r.info = ch.Info(ch.level())
		return nil
	}
	if g.full != nil {
		return g.full
	}
	d, err := g.draft(name, spec)
	if err != nil {
		return err
	}
	g.found(w, d, r)
	return nil
}

// draft is a channel that may come to be.
type draft struct {
	ch     *channel
	spec   *twohop.Spec
	source *work  // of a fork
	prefix []byte // a part of one of the source's records, which the fork begins with
}

// draft makes a channel of which nobody knows.
func (g *group) draft(name string, spec *twohop.Spec) (*draft, error) {
	d := &draft{spec: spec}
	if spec.Fork != nil {
		return d, g.fork(name, d)
	}
	d.ch = g.fresh(engine.NewState(name, spec, g.epoch(), g.now))
	return d, nil
}

// state is what the channel will be like with its first records.
func (d *draft) state() *engine.State {
	s := d.ch.State
	s.Tail += uint64(len(d.spec.Ends))
	if len(d.prefix) > 0 {
		s.Tail++
	}
	s.Closed = d.spec.Closed
	return &s
}

// found lets a new channel be, with its first records.
func (g *group) found(w *work, d *draft, r *result) {
	if d.source != nil {
		d.source.change().Refs++
		d.source.save = true
	}
	g.install(w, d.ch)
	if n := len(d.prefix); n > 0 {
		g.apply(w, &twohop.Append{Data: d.prefix, Ends: []uint32{uint32(n)}}, nil, &r.ack) //nolint:gosec // part of a record
	}
	if len(d.spec.Ends) > 0 || d.spec.Closed {
		g.apply(w, &twohop.Append{Data: d.spec.Data, Ends: d.spec.Ends, Close: d.spec.Closed}, nil, &r.ack)
	}
	if w.ch.Retention.Age > 0 && d.source != nil {
		g.lookAt(w, g.now) // which finds out how old what it inherits is
	}
	r.info, r.ack.Created = w.ch.Info(w.ch.level()), true
}

func (g *group) fresh(s *engine.State) *channel {
	s.Created = time.UnixMicro(g.now.UnixMicro()).UTC() // as it will be read back
	if !s.ExpiresAt.IsZero() {
		s.ExpiresAt = s.ExpiresAt.UTC().Round(0)
	}
	return &channel{State: *s, id: s.Epoch, run: g.e.runID, used: g.now.UnixMicro(), dueAge: s.Retention.Age, kept: s.Base}
}

// install makes a new channel part of the group. Creations are always synced:
// an epoch that was shown must never be given again.
func (g *group) install(w *work, ch *channel) {
	w.ch, w.used, w.save, g.sync = ch, g.now.UnixMicro(), true, true
	w.producers, w.keys = nil, nil
	g.tell(engine.Created, ch, twohop.Batch{From: ch.Offset(ch.Tail), Next: ch.Offset(ch.Tail)})
	if at := ch.Expiry(g.now); !at.IsZero() {
		g.lookAt(w, at)
	}
}

// fork makes a draft that inherits from another channel.
func (g *group) fork(name string, d *draft) error {
	fork := d.spec.Fork
	source, src, err := g.live(fork.Source)
	if e, ok := errors.AsType[*twohop.Error](err); ok && e.Code == twohop.CodeGone {
		_, _, err = source.ch.ForkPoint(fork)
	}
	if err != nil {
		return err
	}
	if src == nil {
		return engine.NotFound(fork.Source)
	}
	at, sub, err := src.ForkPoint(fork)
	if err != nil {
		return err
	}
	if source.wrote && (at < src.Tail || sub > 0) {
		return errNextGroup
	}
	if sub > 0 {
		if at, d.prefix, err = g.e.prefix(src, at, sub); err != nil {
			return g.notYet(err)
		}
	}
	s, err := src.NewFork(name, d.spec, at, g.epoch(), g.now)
	if err != nil {
		return err
	}
	ch := g.fresh(s)
	if ch.baseBytes, ch.baseTime, err = g.e.measure(src, at); err != nil {
		return g.notYet(readFailed(src.Name, err))
	}
	ch.bytes, ch.time, ch.keptBytes = ch.baseBytes, ch.baseTime, ch.baseBytes
	d.ch, d.source = ch, source
	return nil
}

// notYet has what met a hole tried again in the next group, if the records may be
// those of this one: an ancestor's.
func (g *group) notYet(err error) error {
	if errors.Is(err, errHole) && slices.ContainsFunc(g.order, func(w *work) bool { return w.wrote }) {
		return errNextGroup
	}
	return err
}

// prefix is the first sub bytes of the record at a position, if they are not
// all of it, and where the fork leaves its source then.
func (e *Engine) prefix(src *channel, at, sub uint64) (uint64, []byte, error) {
	b, err := e.records(src, at, 0)
	if err != nil {
		return 0, nil, readFailed(src.Name, err)
	}
	switch n := uint64(len(b.Data)); {
	case sub > n:
		return 0, nil, engine.BadForkOffset(src.Name, fmt.Sprintf("the next record has %d bytes, %d are asked for", n, sub))
	case sub == n:
		return at + 1, nil, nil
	}
	return at, b.Data[:sub:sub], nil
}

// delete removes a channel because a client said so.
func (g *group) delete(name string) error {
	w, ch, err := g.live(name)
	if err != nil {
		return err
	}
	if ch == nil {
		return engine.NotFound(name)
	}
	return g.drop(w)
}

// drop deletes a channel; what its forks inherit stays until they go.
func (g *group) drop(w *work) error {
	g.sync = true
	g.tell(engine.Deleted, w.ch, twohop.Batch{})
	if w.ch.Refs > 0 {
		w.change().Deleted = true
		w.save = true
		return nil
	}
	return g.erase(w)
}

// erase removes a channel from the disk, and its source too if that was only
// kept for it.
func (g *group) erase(w *work) error {
	for {
		ch := w.ch
		w.ch, w.save = nil, false
		g.eraseKeys(ch)
		if ch.Fork == nil {
			return nil
		}
		source, err := g.open(ch.Fork.Source)
		if err != nil {
			return err
		}
		if source.ch == nil {
			return readFailed(ch.Name, errCorrupt)
		}
		source.save = true
		src := source.change()
		if src.Refs--; src.Refs > 0 {
			return nil
		}
		if !src.Deleted {
			g.e.trimLater(src)
			return nil
		}
		w = source
	}
}

func (g *group) eraseKeys(ch *channel) {
	g.remove(channelKey(ch.Name))
	for _, s := range ch.owned() {
		if s.To > max(s.From, ch.kept) {
			g.removeRange(batchKey(s.Epoch, s.From), batchKey(s.Epoch, s.To))
		}
	}
	if ch.producers {
		g.removeRange(owned(kindProducer, ch.id))
	}
	if ch.keys {
		g.removeRange(owned(kindKey, ch.id))
	}
	if ch.due != 0 {
		g.remove(dueKey(kindDue, ch.due, ch.id, ""))
	}
}
