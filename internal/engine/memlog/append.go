package memlog

import (
	"time"

	"twohop"
	"twohop/internal/engine"
)

// append judges an append and carries it out. It is called by the goroutine
// that drains the shard.
func (sh *shard) append(a *twohop.Append) (twohop.Ack, error) {
	now := time.Now()
	ch, err := sh.claim(a.Channel, now)
	if err != nil {
		return twohop.Ack{}, err
	}
	if ch == nil {
		return sh.appendNew(a, now)
	}
	t := ch.tellLocked()
	ack, err := ch.appendLocked(a, now, &t)
	ch.mu.Unlock()
	if err == nil {
		t.to(sh)
	}
	return ack, err
}

// appendNew is append where there is no such channel. A channel comes to be
// only if the append is accepted.
func (sh *shard) appendNew(a *twohop.Append, now time.Time) (twohop.Ack, error) {
	if a.Create == nil {
		return twohop.Ack{}, engine.NotFound(a.Channel)
	}
	ch, t, err := sh.build(a.Channel, a.Create, now)
	if err != nil {
		return twohop.Ack{}, err
	}
	first := ch.tellLocked()
	ack, err := ch.appendLocked(a, now, &first)
	if err != nil {
		ch.discard()
		return twohop.Ack{}, err
	}
	ack.Created = true
	sh.put(ch)
	for _, t := range append(t, first) {
		t.to(sh)
	}
	return ack, nil
}

// claim is the channel of a name, locked, or nil if there is none. One that is
// due to expire does so here.
func (sh *shard) claim(name string, now time.Time) (*channel, error) {
	ch := sh.lookup(name)
	if ch == nil {
		return nil, nil
	}
	ch.mu.Lock()
	if !ch.gone && !ch.state.Deleted && ch.expiredLocked(now) {
		ch.mu.Unlock()
		sh.removeChannel(ch)
		ch.mu.Lock()
	}
	if ch.absentLocked(now) == nil {
		return ch, nil
	}
	defer ch.mu.Unlock()
	if ch.state.Refs > 0 {
		return nil, engine.Gone(name)
	}
	return nil, nil
}

// appendLocked judges an append, carries it out and says in t what to tell the
// feed of it.
func (ch *channel) appendLocked(a *twohop.Append, now time.Time, t *telling) (twohop.Ack, error) {
	ns := now.UnixNano()
	var prod *engine.ProducerState
	if a.Producer != nil {
		prod = ch.producers[a.Producer.ID]
	}
	var key *twohop.Offset
	if len(ch.keys.order) > 0 {
		ch.releaseLocked(ch.keys.forget(ns - int64(ch.engine.window)))
		key = ch.keys.get(a.Key)
	}
	if ack, err := ch.state.Judge(a, prod, key, twohop.LevelMemory); err != nil {
		return twohop.Ack{}, err
	} else if ack != nil {
		return *ack, nil
	}
	if err := ch.makeRoomLocked(a, prod == nil, now); err != nil {
		return twohop.Ack{}, err
	}
	if a.Producer != nil && prod == nil {
		prod = &engine.ProducerState{}
		if ch.producers == nil {
			ch.producers = map[string]*engine.ProducerState{}
		}
		ch.producers[a.Producer.ID] = prod
	}
	from := ch.state.Tail
	t.batch.From = ch.state.Offset(from)
	ack := ch.state.Apply(a, prod, twohop.LevelMemory)
	if a.Key != "" {
		ch.keys.put(a.Key, ack.Offset, ns)
	}
	ch.addLocked(from, a.Data, a.Ends, ns)
	ch.use(now)
	t.appended = len(a.Ends) > 0 || a.Close
	t.batch.Next, t.batch.Data, t.batch.Ends = ack.Offset, a.Data, a.Ends
	t.tail, t.closed = ack.Offset, ack.Closed
	if ch.trimLocked(now) {
		t.trimmed, t.newStart = true, ch.state.Offset(ch.state.Start)
	}
	ch.scheduleLocked()
	return ack, nil
}

// makeRoomLocked reserves what an append takes.
func (ch *channel) makeRoomLocked(a *twohop.Append, newProducer bool, now time.Time) error {
	var need int64
	if len(a.Ends) > 0 {
		need += sizeOf(a.Data, a.Ends)
	}
	if a.Key != "" {
		need += keySize + int64(len(a.Key))
	}
	if a.Producer != nil && newProducer {
		need += producerSize + int64(len(a.Producer.ID))
	}
	if a.Seq != "" {
		need += int64(len(a.Seq) - len(ch.state.Seq))
	}
	err := ch.reserveLocked(need)
	if err == nil {
		return nil
	}
	// What this append lets retention drop makes room for it.
	drops := ch.droppableLocked(a, now)
	for used := ch.engine.used.Load(); used+need-drops <= ch.engine.max; used = ch.engine.used.Load() {
		if ch.engine.used.CompareAndSwap(used, used+need) {
			ch.footprint += need
			return nil
		}
	}
	return err
}

// addLocked stores records that state.Tail already counts, for which room was
// reserved.
func (ch *channel) addLocked(first uint64, data []byte, ends []uint32, at int64) {
	if len(ends) > 0 {
		ch.records.add(&ch.engine.chunking, first, data, ends, at)
		ch.readable += uint64(len(data))
	}
}

// telling is what the feed is to be told of one change, once no lock is held.
type telling struct {
	name        string
	batch       twohop.Batch
	start, tail twohop.Offset
	newStart    twohop.Offset
	closed      bool
	created     bool
	appended    bool
	trimmed     bool
}

// tellLocked begins a telling with the channel as it is.
func (ch *channel) tellLocked() telling {
	s := &ch.state
	return telling{name: ch.name, start: s.Offset(s.Start), tail: s.Offset(s.Tail), closed: s.Closed}
}

func (t *telling) to(sh *shard) {
	if t.created {
		sh.tell(engine.Event{Kind: engine.Created, Channel: t.name, Start: t.start, Tail: t.tail})
	}
	if t.appended {
		sh.tell(engine.Event{Kind: engine.Appended, Channel: t.name, Batch: t.batch, Start: t.start, Tail: t.tail, Closed: t.closed})
	}
	if t.trimmed {
		sh.tell(engine.Event{Kind: engine.Trimmed, Channel: t.name, Start: t.newStart, Tail: t.tail, Closed: t.closed})
	}
}
