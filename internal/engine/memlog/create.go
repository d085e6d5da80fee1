package memlog

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"twohop"
	"twohop/internal/engine"
)

// create makes a channel, or compares with the one that there is.
func (sh *shard) create(name string, spec *twohop.Spec) (twohop.Info, bool, error) {
	now := time.Now()
	ch, err := sh.claim(name, now)
	switch {
	case err != nil:
		return twohop.Info{}, false, engine.Exists(name) // the forks still need the name
	case ch != nil:
		defer ch.mu.Unlock()
		if !ch.state.Same(spec) {
			return twohop.Info{}, false, engine.Exists(name)
		}
		return ch.state.Info(twohop.LevelMemory), false, nil
	}
	ch, t, err := sh.build(name, spec, now)
	if err != nil {
		return twohop.Info{}, false, err
	}
	info := ch.state.Info(twohop.LevelMemory)
	sh.put(ch)
	for i := range t {
		t[i].to(sh)
	}
	return info, true, nil
}

// build makes a channel that nobody sees yet, and what to tell of it once it
// was put in its place.
func (sh *shard) build(name string, spec *twohop.Spec, now time.Time) (*channel, []telling, error) {
	ch := &channel{engine: sh.engine, name: name}
	ch.lastUse.Store(now.UnixNano())
	ch.state = engine.State{
		Name: name, ContentType: spec.ContentType, TTL: spec.TTL, ExpiresAt: spec.ExpiresAt, Created: now,
		Sync: spec.Sync, Retention: spec.Retention, Fork: spec.Fork,
	}
	if err := ch.reserveLocked(channelSize + int64(len(name))); err != nil {
		return nil, nil, err
	}
	initial := [2]struct {
		data []byte
		ends []uint32
	}{1: {spec.Data, spec.Ends}}
	if spec.Fork != nil {
		prefix, err := ch.inherit(spec, now)
		if err != nil {
			ch.discard()
			return nil, nil, err
		}
		if len(prefix) > 0 {
			initial[0].data, initial[0].ends = prefix, []uint32{uint32(len(prefix))} //nolint:gosec // part of a record
		}
	}
	ch.state.Epoch = sh.engine.nextEpoch(now) // after those of the ancestors
	created := ch.tellLocked()
	created.created = true
	tell := []telling{created}
	for i, b := range initial {
		a := &twohop.Append{Data: b.data, Ends: b.ends, Close: spec.Closed && i == len(initial)-1}
		t := ch.tellLocked()
		if _, err := ch.appendLocked(a, now, &t); err != nil {
			ch.discard()
			return nil, nil, err
		}
		tell = append(tell, t)
	}
	return ch, tell, nil
}

// inherit makes ch a fork of spec.Fork.Source. Of the record that the fork
// point cuts it returns the part before.
func (ch *channel) inherit(spec *twohop.Spec, now time.Time) (prefix []byte, err error) {
	name := spec.Fork.Source
	src := ch.engine.shardOf(name).lookup(name)
	if src == nil {
		return nil, engine.NotFound(name)
	}
	src.mu.Lock()
	defer src.mu.Unlock()
	if err := src.absentLocked(now); err != nil {
		if e, ok := errors.AsType[*twohop.Error](err); ok && e.Code == twohop.CodeGone {
			return nil, errForkSource(name)
		}
		return nil, err
	}
	if spec.ContentType != "" && !twohop.SameContentType(spec.ContentType, src.state.ContentType) {
		return nil, errForkType(name, src.state.ContentType, spec.ContentType)
	}
	base, prefix, err := src.forkPointLocked(spec.Fork)
	if err != nil {
		return nil, err
	}
	s := &ch.state
	s.ContentType = src.state.ContentType
	if s.TTL == 0 && s.ExpiresAt.IsZero() {
		s.TTL, s.ExpiresAt = src.state.TTL, src.state.ExpiresAt
	}
	s.Base, s.Tail = base, base
	if base > 0 {
		s.Start = src.state.Start
	}
	for i, seg := range append(slices.Clone(src.state.Parents), src.state.Own()) {
		if seg.From >= base {
			break
		}
		seg.To = min(seg.To, base)
		s.Parents = append(s.Parents, seg)
		ch.ancestors = append(ch.ancestors, src.keeperOf(i))
	}
	ch.readable = src.bytesLocked(s.Start, base)
	src.state.Refs++
	ch.parent = src
	return prefix, nil
}

// forkPointLocked is the position after the last whole record that a fork
// inherits, and what it inherits of the next record.
func (ch *channel) forkPointLocked(f *twohop.Fork) (base uint64, prefix []byte, err error) {
	s := &ch.state
	switch {
	case f.At == nil && f.Sub > 0:
		return 0, nil, errForkOffset(ch.name, "a sub-offset counts from an offset, and there is none")
	case f.At == nil:
		return s.Tail, nil, nil
	case f.At.IsZero() && (f.Sub == 0 || s.Start == 0):
		base = 0
	default:
		if base, err = s.Locate(*f.At); err != nil || f.At.IsZero() {
			return 0, nil, errForkOffset(ch.name, fmt.Sprintf("%s is not an offset at which the source can be read", f.At))
		}
	}
	switch {
	case f.Sub == 0:
		return base, nil, nil
	case twohop.IsJSON(s.ContentType) && f.Sub <= s.Tail-base:
		return base + f.Sub, nil, nil
	case !twohop.IsJSON(s.ContentType) && base < s.Tail:
		data, _ := gather(ch.spansLocked(base), base, 0)
		switch n := uint64(len(data)); {
		case f.Sub == n:
			return base + 1, nil, nil
		case f.Sub < n:
			return base, data[:f.Sub:f.Sub], nil
		}
	}
	return 0, nil, errForkOffset(ch.name, fmt.Sprintf("the sub-offset %d reaches beyond the next record", f.Sub))
}

// remove deletes the channel of a name for a client.
func (sh *shard) remove(name string) error {
	ch, err := sh.claim(name, time.Now())
	if err != nil {
		return err
	}
	if ch == nil {
		return engine.NotFound(name)
	}
	ch.mu.Unlock()
	sh.removeChannel(ch)
	return nil
}

// removeChannel deletes a channel that is there: forks of it keep its records.
func (sh *shard) removeChannel(ch *channel) {
	ch.mu.Lock()
	t := engine.Event{Kind: engine.Deleted, Channel: ch.name, Start: ch.state.Offset(ch.state.Start),
		Tail: ch.state.Offset(ch.state.Tail), Closed: ch.state.Closed}
	ch.state.Deleted = true
	ch.mu.Unlock()
	ch.collect()
	sh.tell(t)
}

// collect lets go of channels that are deleted and that no fork needs: this
// one, its source, and so on.
func (ch *channel) collect() {
	for ch != nil {
		ch.mu.Lock()
		if ch.gone || !ch.state.Deleted || ch.state.Refs > 0 {
			ch.releaseLocked(ch.cutLocked(false))
			ch.mu.Unlock()
			return
		}
		ch.gone = true
		ch.records = records{}
		ch.releaseLocked(ch.footprint)
		ch.mu.Unlock()
		ch.engine.shardOf(ch.name).drop(ch)
		ch = ch.leaveParent()
	}
}

// discard lets go of a channel that nobody saw.
func (ch *channel) discard() {
	ch.mu.Lock()
	ch.gone = true
	ch.releaseLocked(ch.footprint)
	ch.mu.Unlock()
	ch.leaveParent().collect()
}

func (ch *channel) leaveParent() *channel {
	if ch.parent != nil {
		ch.parent.mu.Lock()
		ch.parent.state.Refs--
		ch.parent.mu.Unlock()
	}
	return ch.parent
}

func errForkSource(name string) error {
	return &twohop.Error{Code: twohop.CodeForkSource, Channel: name,
		Message: "the source of the fork was deleted", Hint: "fork one of its forks, or another channel"}
}

func errForkOffset(name, message string) error {
	return &twohop.Error{Code: twohop.CodeForkOffset, Channel: name, Message: message,
		Hint: "fork at an offset of the source between its start and its tail; a sub-offset counts the JSON values, or the bytes of the one record, after it"}
}

func errForkType(name, is, asked string) error {
	return &twohop.Error{Code: twohop.CodeContentType, Channel: name,
		Message: fmt.Sprintf("the source keeps %s, the fork asks for %s", is, asked),
		Hint:    "leave out Content-Type, or send the source's"}
}
