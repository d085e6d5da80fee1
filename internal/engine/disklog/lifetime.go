package disklog

import (
	"errors"
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
	var prefix []byte
	var source *work
	if spec.Fork == nil {
		ch = g.plain(name, spec, "")
	} else if ch, source, prefix, err = g.fork(name, spec); err != nil {
		return err
	}
	g.found(w, ch, source, prefix, spec, r)
	return nil
}

// found lets a new channel be, with its first records.
func (g *group) found(w *work, ch *channel, source *work, prefix []byte, spec *twohop.Spec, r *result) {
	if source != nil {
		source.change().Refs++
		source.save = true
	}
	g.install(w, ch)
	if len(prefix) > 0 {
		g.apply(w, &twohop.Append{Data: prefix, Ends: []uint32{uint32(len(prefix))}}, nil, &r.ack) //nolint:gosec // a record is below 4 GiB
	}
	if len(spec.Ends) > 0 || spec.Closed {
		g.apply(w, &twohop.Append{Data: spec.Data, Ends: spec.Ends, Close: spec.Closed}, nil, &r.ack)
	}
	r.info, r.ack.Created = w.ch.Info(ch.level()), true
}

// plain is a new channel that is not a fork.
func (g *group) plain(name string, spec *twohop.Spec, contentType string) *channel {
	s := *spec
	if s.ContentType == "" {
		s.ContentType = contentType
	}
	epoch := g.epoch()
	return g.fresh(engine.NewState(name, &s, epoch, g.now))
}

func (g *group) fresh(s *engine.State) *channel {
	s.Created = time.UnixMicro(g.now.UnixMicro()).UTC() // as it will be read back
	if !s.ExpiresAt.IsZero() {
		s.ExpiresAt = s.ExpiresAt.UTC().Round(0)
	}
	return &channel{State: *s, id: s.Epoch, run: g.e.runID, used: g.now.UnixMicro(), kept: s.Base}
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

// fork is a new channel that inherits from another. For bytes it may begin with
// a part of one of the source's records.
func (g *group) fork(name string, spec *twohop.Spec) (*channel, *work, []byte, error) {
	source, src, err := g.live(spec.Fork.Source)
	if e, ok := errors.AsType[*twohop.Error](err); ok && e.Code == twohop.CodeGone {
		_, _, err = source.ch.ForkPoint(spec.Fork)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if src == nil {
		return nil, nil, nil, engine.NotFound(spec.Fork.Source)
	}
	at, sub, err := src.ForkPoint(spec.Fork)
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := src.NewFork(name, spec, at, g.epoch(), g.now)
	if err != nil {
		return nil, nil, nil, err
	}
	ch := g.fresh(s)
	if source.wrote && (at < src.Tail || sub > 0) {
		return nil, nil, nil, errNextGroup
	}
	var prefix []byte
	if sub > 0 {
		if prefix, err = g.e.prefix(src, at, sub); err != nil {
			return nil, nil, nil, err
		}
	}
	if ch.baseBytes, ch.baseTime, err = g.e.measure(src, at); err != nil {
		return nil, nil, nil, readFailed(src.Name, err)
	}
	ch.bytes, ch.time, ch.keptBytes = ch.baseBytes, ch.baseTime, ch.baseBytes
	return ch, source, prefix, nil
}

// prefix is the first sub bytes of the record at a position.
func (e *Engine) prefix(src *channel, at, sub uint64) ([]byte, error) {
	b, err := e.records(src, at, 0)
	if err != nil {
		return nil, readFailed(src.Name, err)
	}
	if sub > uint64(len(b.Data)) {
		return nil, engine.BadForkOffset(src.Name, "the record after the fork offset is shorter than the sub-offset")
	}
	return b.Data[:sub], nil
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
