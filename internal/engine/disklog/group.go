package disklog

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"twohop"
	"twohop/internal/engine"
)

// errNextGroup says that an item needs records that this group has yet to
// commit.
var errNextGroup = errors.New("disklog: for the next group")

// errElsewhere says that an item may have to wait for the disk, which a group on a
// loop must not.
var errElsewhere = errors.New("disklog: for the committer")

// group is what is committed in one step. Items are judged in order against the
// channels as they are after the items before them.
type group struct {
	e       *Engine
	now     time.Time
	batch   *pebble.Batch
	onLoop  bool  // it must not wait
	sync    bool  // wait for the disk
	lazy    bool  // something was written that is to be synced soon
	full    error // appends and creations are refused with this
	works   map[string]*work
	order   []*work
	events  []engine.Event
	items   []*item  // that can be committed
	results []result // theirs
	rest    []*item  // for the next group
	made    bool     // an epoch was given out
	empty   bool     // the batch, when it was whole
	due     int64    // the sweeper is to be awake then; 0 is never
	err     error    // of the batch; nothing can be committed any more
}

// work is a channel in a group.
type work struct {
	entry     *entry
	was       *channel // as readers see it
	ch        *channel // as of the group so far; nil is absent
	used      int64    // last use
	save      bool     // ch is to be written
	wrote     bool     // records were added
	producers map[string]*engine.ProducerState
	keys      map[string]keyAnswer
}

// open finds the channel of an item.
func (g *group) open(name string) (*work, error) {
	if w := g.works[name]; w != nil {
		return w, nil
	}
	pin := g.e.cache.pin
	if g.onLoop {
		pin = g.e.cache.tryPin
	}
	entry, err := pin(name)
	if err != nil {
		return nil, err
	}
	ch, used := g.e.cache.read(entry)
	w := &work{entry: entry, was: ch, ch: ch, used: used}
	g.works[name] = w
	g.order = append(g.order, w)
	return w, nil
}

// live is open for an item that needs the channel to exist: it is nil if it
// does not. One that is due to expire goes first.
func (g *group) live(name string) (*work, *channel, error) {
	w, err := g.open(name)
	if err != nil || w.ch == nil {
		return w, nil, err
	}
	if w.ch.expired(w.used, g.now) {
		if g.onLoop {
			return w, nil, errElsewhere
		}
		if err := g.drop(w); err != nil || w.ch == nil {
			return w, nil, err
		}
	}
	if w.ch.Deleted {
		return w, nil, engine.Gone(name)
	}
	return w, w.ch, nil
}

// change returns the channel for writing.
func (w *work) change() *channel {
	if w.ch == w.was {
		w.ch = w.was.clone()
	}
	return w.ch
}

// close lets go of what the group holds. The next one has its room.
func (g *group) close() {
	for _, w := range g.order {
		g.e.cache.unpin(w.entry)
	}
	if err := g.batch.Close(); err != nil {
		g.e.opts.Logger.Error("a batch could not be closed", slog.Any("error", err))
	}
	if cap(g.results) <= maxSpare && cap(g.order) <= maxSpare && cap(g.events) <= maxSpare {
		clear(g.works)
		clear(g.order)
		clear(g.events)
		clear(g.results[:cap(g.results)])
		*g = group{e: g.e, works: g.works, order: g.order[:0], events: g.events[:0], results: g.results[:0]}
		g.e.spare = g
	}
}

const maxSpare = 256 // items, channels and events that the next group has room for

// epoch gives out a log epoch.
func (g *group) epoch() uint64 {
	g.made = true
	g.e.lastEpoch = max(g.e.lastEpoch+1, uint64(max(g.now.UnixMicro(), 0))) //nolint:gosec // not negative
	return g.e.lastEpoch
}

// seal puts what changed of the channels into the batch.
func (g *group) seal() error {
	if g.made {
		g.set(epochKey, binary.AppendUvarint(nil, g.e.lastEpoch))
	}
	for _, w := range g.order {
		if w.ch != nil && w.save {
			g.set(channelKey(w.ch.Name), w.ch.encode())
		}
	}
	g.empty = g.batch.Empty() // later the store may have taken what is in it
	return g.err
}

func (g *group) set(key, value []byte) { g.note(g.batch.Set(key, value, nil)) }

func (g *group) remove(key []byte) { g.note(g.batch.Delete(key, nil)) }

func (g *group) removeRange(from, to []byte) { g.note(g.batch.DeleteRange(from, to, nil)) }

func (g *group) note(err error) {
	if g.err == nil {
		g.err = err
	}
}

// run carries out an item. The error is one of the engine, after which nothing
// of the group may be committed; what the client is to be told is in r.
func (g *group) run(it *item, r *result) error {
	var err error
	switch it.kind {
	case itemAppend:
		err = g.append(it.add, &r.ack)
	case itemCreate:
		err = g.create(it.name, it.spec, r)
	case itemDelete:
		err = g.delete(it.name)
	case itemTouch:
		err = g.touch(it)
	case itemTrim:
		err = g.trim(it.name, it.id)
	case itemLook:
		err = g.look(it)
	case itemForget:
		err = g.forget(it.keys)
	case itemSync:
		g.sync = true
	case itemPass:
	}
	if e, ok := errors.AsType[*twohop.Error](err); ok && e.Code != twohop.CodeStorageFailed {
		r.err, err = err, nil
	}
	return err
}

// append judges an append and puts it into the batch.
func (g *group) append(a *twohop.Append, ack *twohop.Ack) error {
	w, ch, err := g.live(a.Channel)
	if err != nil {
		return err
	}
	if ch == nil {
		return g.appendNew(w, a, ack)
	}
	prod, err := g.producer(w, ch, a.Producer)
	if err != nil {
		return err
	}
	key, err := g.key(w, ch, a.Key)
	if err != nil {
		return err
	}
	dup, err := ch.Judge(a, prod, key, ch.level())
	if err != nil {
		return err
	}
	if dup != nil {
		*ack = *dup
		return nil
	}
	if g.full != nil {
		return g.full
	}
	if a.Producer != nil && prod == nil {
		prod = &engine.ProducerState{}
	}
	g.apply(w, a, prod, ack)
	if g.onLoop && w.ch.marksRunOut() {
		return errElsewhere
	}
	return nil
}

// appendNew is append where there is no such channel. One comes to be only if
// the append is let pass.
func (g *group) appendNew(w *work, a *twohop.Append, ack *twohop.Ack) error {
	if a.Create == nil {
		return engine.NotFound(a.Channel)
	}
	if g.full != nil {
		return g.full
	}
	d, err := g.draft(a.Channel, a.Create)
	if err != nil {
		return err
	}
	dup, err := d.state().Judge(a, nil, nil, d.ch.level())
	if err != nil {
		return err
	}
	g.found(w, d, &result{})
	if dup != nil { // it only closes what is created closed
		*ack = *dup
	} else {
		g.apply(w, a, &engine.ProducerState{}, ack)
	}
	ack.Created = true
	return nil
}

// apply carries out an append that was let pass.
func (g *group) apply(w *work, a *twohop.Append, prod *engine.ProducerState, ack *twohop.Ack) {
	ch := w.change()
	if len(a.Ends) > 0 && g.e.mayLack(ch) {
		g.renew(ch)
		w.save, g.sync = true, true
	}
	g.sync = g.sync || ch.Sync == twohop.SyncAlways || a.Close
	g.lazy = true
	from := ch.Offset(ch.Tail)
	g.put(ch, a.Data, a.Ends)
	*ack = ch.Apply(a, prod, ch.level())
	w.used = max(w.used, g.now.UnixMicro())
	w.wrote = true
	w.save = w.save || a.Seq != "" || a.Close
	if a.Producer != nil {
		g.keepProducer(w, ch, a.Producer.ID, prod)
	}
	if a.Key != "" {
		g.keepKey(w, ch, a.Key, ack.Offset)
	}
	if age := ch.Retention.Age; age > 0 && len(a.Ends) > 0 {
		g.lookAt(w, g.now.Add(age))
	}
	if len(a.Ends) > 0 || a.Close {
		g.tell(engine.Appended, ch, twohop.Batch{From: from, Next: ack.Offset, Data: a.Data, Ends: a.Ends})
	}
}

// mayLack reports whether a channel may have lost records that were shown.
func (e *Engine) mayLack(ch *channel) bool {
	return ch.run <= e.lastLost || ch.run <= e.lastUnclean && ch.Sync != twohop.SyncAlways
}

// renew begins a new log epoch in a channel that may have lost records that
// were shown, so that theirs offsets are not given again.
func (g *group) renew(ch *channel) {
	if ch.Tail > ch.Base || len(ch.Parents) == 0 {
		ch.earlier++
	}
	ch.Renew(g.epoch())
	ch.baseBytes, ch.baseTime, ch.run = ch.bytes, ch.time, g.e.runID
}

// put adds records to the batch, a large append in parts.
func (g *group) put(ch *channel, data []byte, ends []uint32) {
	ch.time = max(ch.time, g.now.UnixMicro())
	pos, base, part := ch.Tail, uint32(0), false
	for len(ends) > 0 {
		n := 1
		for n < len(ends) && ends[n]-base <= maxStored {
			n++
		}
		s := stored{first: pos, count: uint64(n), part: part, run: g.e.runID, time: ch.time, bytes: ch.bytes, data: data[base:ends[n-1]]}
		op := g.batch.SetDeferred(batchKeyLen, s.size(ends[:n], base))
		putBatchKey(op.Key[:0], ch.Epoch, pos)
		s.encode(op.Value[:0], ends[:n], base)
		g.note(op.Finish())
		ch.bytes += uint64(len(s.data))
		pos, base, part, ends = pos+uint64(n), ends[n-1], true, ends[n:]
	}
}

// producer is what is known of a producer as of the group so far.
func (g *group) producer(w *work, ch *channel, p *twohop.Producer) (*engine.ProducerState, error) {
	if p == nil || !ch.producers {
		return nil, nil
	}
	if known := w.producers[p.ID]; known != nil {
		return known, nil
	}
	value, closer, err := g.e.db.Get(ownedKey(kindProducer, ch.id, p.ID))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, readFailed(ch.Name, err)
	}
	prod, err := decodeProducer(value)
	if err = errors.Join(err, closer.Close()); err != nil {
		return nil, readFailed(ch.Name, err)
	}
	return prod, nil
}

func (g *group) keepProducer(w *work, ch *channel, id string, prod *engine.ProducerState) {
	if w.producers == nil {
		w.producers = map[string]*engine.ProducerState{}
	}
	w.producers[id] = prod
	if !ch.producers {
		ch.producers, w.save = true, true
	}
	g.set(ownedKey(kindProducer, ch.id, id), encodeProducer(prod))
}

// key is the answer that an idempotency key got within the window.
func (g *group) key(w *work, ch *channel, key string) (*twohop.Offset, error) {
	if key == "" || !ch.keys {
		return nil, nil
	}
	known, ok := w.keys[key]
	if !ok {
		var err error
		if known, ok, err = g.e.storedKey(ch.id, key); err != nil {
			return nil, readFailed(ch.Name, err)
		}
	}
	if !ok || g.e.keyOver(known, g.now) {
		return nil, nil
	}
	return &known.offset, nil
}

func (e *Engine) storedKey(id uint64, key string) (keyAnswer, bool, error) {
	value, closer, err := e.db.Get(ownedKey(kindKey, id, key))
	if errors.Is(err, pebble.ErrNotFound) {
		return keyAnswer{}, false, nil
	}
	if err != nil {
		return keyAnswer{}, false, err
	}
	k, err := decodeKeyAnswer(value)
	return k, true, errors.Join(err, closer.Close())
}

// keyOver reports whether the window of an idempotency key has passed.
func (e *Engine) keyOver(k keyAnswer, now time.Time) bool {
	return k.at+e.opts.IdempotencyWindow.Microseconds() <= now.UnixMicro()
}

func (g *group) keepKey(w *work, ch *channel, key string, o twohop.Offset) {
	if w.keys == nil {
		w.keys = map[string]keyAnswer{}
	}
	k := keyAnswer{g.now.UnixMicro(), o}
	w.keys[key] = k
	if !ch.keys {
		ch.keys, w.save = true, true
	}
	g.set(ownedKey(kindKey, ch.id, key), k.encode())
	g.forgetAt(ch.id, key, k.at)
}

// forgetAt has the sweeper forget a key when its window is over.
func (g *group) forgetAt(id uint64, key string, used int64) {
	due := used + g.e.opts.IdempotencyWindow.Microseconds()
	g.set(dueKey(kindKeyDue, due, id, key), nil)
	g.wake(due)
}

// tell adds an event to the feed, for after the commit.
func (g *group) tell(kind engine.EventKind, ch *channel, b twohop.Batch) {
	g.events = append(g.events, engine.Event{
		Kind: kind, Channel: ch.Name, Batch: b,
		Start: ch.Offset(ch.Start), Tail: ch.Offset(ch.Tail), Closed: ch.Closed,
	})
}
