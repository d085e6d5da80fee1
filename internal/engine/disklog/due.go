package disklog

import (
	"time"

	"twohop"
	"twohop/internal/engine"
)

// touch persists when a channel was read last.
func (g *group) touch(it *item) error {
	w, err := g.open(it.name)
	if err != nil {
		return err
	}
	_, used := g.e.cache.read(w.entry)
	ch := w.ch
	if ch == w.was {
		w.used = max(w.used, used)
	}
	if ch == nil || ch.Deleted || ch.expired(w.used, time.UnixMicro(it.used)) {
		return nil
	}
	w.used = max(w.used, it.used)
	if ch.TTL > 0 && w.used > ch.persistedUse() {
		w.change().used = w.used
		w.save, g.lazy = true, true
	}
	return nil
}

// look deletes a channel that expired, drops records that are too old, and
// says when to look again.
func (g *group) look(it *item) error {
	w, err := g.open(it.name)
	if err != nil {
		return err
	}
	if w.ch == nil || w.ch.id != it.due.id || w.ch.due != it.due.at && !it.any {
		g.remove(dueKey(kindDue, it.due.at, it.due.id, ""))
		return nil
	}
	if w.wrote && w.ch.Retention.Age > 0 {
		return errNextGroup // it reads how old the records are
	}
	if w.ch == w.was {
		_, used := g.e.cache.read(w.entry)
		w.used = max(w.used, used)
	}
	if w.ch.expired(w.used, g.now) {
		return g.drop(w)
	}
	ch := w.change()
	g.remove(dueKey(kindDue, ch.due, ch.id, ""))
	ch.due, ch.dueAge = 0, ch.Retention.Age
	w.save, g.lazy = true, true
	if at := ch.Expiry(time.UnixMicro(w.used)); !at.IsZero() && !ch.Deleted {
		g.lookAt(w, at)
	}
	if ch.Retention.Age == 0 || ch.Tail == ch.Start || ch.Deleted {
		return nil
	}
	before := ch.Start
	if err := g.e.applyRetention(ch, g.now); err != nil {
		return readFailed(ch.Name, err)
	}
	if ch.Start > before {
		g.tell(engine.Trimmed, ch, twohop.Batch{})
		g.e.trimLater(ch)
	}
	if len(ch.marks) > 0 {
		g.lookAt(w, time.UnixMicro(ch.marks[0].time).Add(ch.Retention.Age))
	}
	return nil
}

// lookAt has the sweeper look at a channel at a time, if not before.
func (g *group) lookAt(w *work, at time.Time) {
	due := max(at.UnixMicro(), 1)
	ch := w.ch
	if ch.due != 0 && ch.due <= due {
		return
	}
	ch = w.change()
	if ch.due != 0 {
		g.remove(dueKey(kindDue, ch.due, ch.id, ""))
	}
	ch.due, w.save = due, true
	g.set(dueKey(kindDue, due, ch.id, ""), []byte(ch.Name))
	g.wake(due)
}

// wake has the sweeper awake at a time.
func (g *group) wake(due int64) {
	if g.due == 0 || due < g.due {
		g.due = due
	}
}

// forget removes idempotency keys whose window is over. It is done first in a
// group: a key that is used anew must not be removed.
func (g *group) forget(keys []due) error {
	if !g.batch.Empty() {
		return errNextGroup
	}
	for _, k := range keys {
		known, ok, err := g.e.storedKey(k.id, k.rest)
		if err != nil {
			return readFailed("", err)
		}
		g.remove(dueKey(kindKeyDue, k.at, k.id, k.rest))
		switch {
		case !ok:
		case g.e.keyOver(known, g.now):
			g.remove(ownedKey(kindKey, k.id, k.rest))
		default: // the window is longer now
			g.forgetAt(k.id, k.rest, known.at)
		}
	}
	g.lazy = true
	return nil
}
