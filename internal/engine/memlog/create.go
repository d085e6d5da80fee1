package memlog

import (
	"bytes"
	"fmt"
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
	need := channelSize + int64(len(name))
	if spec.Fork == nil {
		need += int64(len(spec.ContentType))
	} else { // which shares the content type
		need += int64(len(spec.Fork.Source))
	}
	if err := ch.reserveLocked(need); err != nil {
		return nil, nil, err
	}
	var prefix []byte
	if spec.Fork == nil {
		ch.state = *engine.NewState(name, spec, sh.engine.nextEpoch(now), now)
	} else if err := ch.inherit(spec, &prefix, now); err != nil {
		ch.discard()
		return nil, nil, err
	}
	created := ch.tellLocked()
	created.created = true
	tell := []telling{created}
	initial := []twohop.Append{{Data: spec.Data, Ends: spec.Ends, Close: spec.Closed}}
	if n := len(prefix); n > 0 {
		initial = append([]twohop.Append{{Data: prefix, Ends: []uint32{uint32(n)}}}, initial...)
	}
	for i := range initial {
		t := ch.tellLocked()
		if _, err := ch.appendLocked(&initial[i], now, &t); err != nil {
			ch.discard()
			return nil, nil, err
		}
		tell = append(tell, t)
	}
	return ch, tell, nil
}

// inherit makes ch a fork of spec.Fork.Source. Of a record that the fork point
// cuts it sets prefix to the part before.
func (ch *channel) inherit(spec *twohop.Spec, prefix *[]byte, now time.Time) error {
	name := spec.Fork.Source
	src := ch.engine.shardOf(name).lookup(name)
	if src == nil {
		return engine.NotFound(name)
	}
	src.mu.Lock()
	defer src.mu.Unlock()
	absent := src.absentLocked(now)
	if absent != nil && src.state.Refs == 0 {
		return absent
	}
	view := src.state
	view.Deleted = absent != nil // or due to be
	base, sub, err := view.ForkPoint(spec.Fork)
	if err != nil {
		return err
	}
	if sub > 0 {
		data, _ := gather(src.spansLocked(base), base, 0)
		switch n := uint64(len(data)); {
		case sub > n:
			return engine.BadForkOffset(name, fmt.Sprintf("the next record has %d bytes, %d are asked for", n, sub))
		case sub == n:
			base++
		default:
			*prefix = bytes.Clone(data[:sub]) // the rest of data, maybe a whole block, is not to stay for it
		}
	}
	s, err := src.state.NewFork(ch.name, spec, base, ch.engine.nextEpoch(now), now)
	if err != nil {
		return err
	}
	n := len(s.Parents)
	if err := ch.reserveLocked(inheritedSize * int64(n)); err != nil {
		return err // a chain of forks takes the square of its length
	}
	ch.state = *s
	ch.ancestors = make([]*channel, n)
	if copy(ch.ancestors, src.ancestors) < n {
		ch.ancestors[n-1] = src
	}
	ch.readable = src.bytesLocked(s.Start, base)
	src.state.Refs++
	ch.parent = src
	return nil
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
		src := ch.letGoLocked()
		ch.mu.Unlock()
		ch.engine.shardOf(ch.name).drop(ch)
		src.unfork()
		ch = src
	}
}

// discard lets go of a channel that nobody saw.
func (ch *channel) discard() {
	ch.mu.Lock()
	src := ch.letGoLocked()
	ch.mu.Unlock()
	src.unfork()
	src.collect()
}

// letGoLocked gives up all that the channel keeps, whoever may still hold it,
// and returns its source, which has a fork less then. The state stays: who reads
// needs its offsets, without the lock.
func (ch *channel) letGoLocked() (src *channel) {
	src = ch.parent
	ch.gone = true
	ch.parent, ch.ancestors = nil, nil
	ch.records, ch.producers, ch.keys = records{}, nil, keys{}
	ch.releaseLocked(ch.footprint)
	ch.engine.sweeper.remove(ch)
	return src
}

// unfork counts a fork less.
func (ch *channel) unfork() {
	if ch != nil {
		ch.mu.Lock()
		ch.state.Refs--
		ch.mu.Unlock()
	}
}
