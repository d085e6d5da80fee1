package disklog

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"twohop"
	"twohop/internal/engine"
)

// commitLoop is the committer.
func (e *Engine) commitLoop() {
	for {
		items, half, ok := e.queue.take()
		if !ok {
			return
		}
		began := time.Now()
		var rest []*item
		if half != nil {
			rest = half.end(half.commitRest())
		} else {
			rest = e.commitGroup(items)
		}
		if e.queue.landed(rest) {
			continue // on the loop
		}
		if wait := min(time.Since(began)/4, maxGather); wait > minGather && len(rest) == 0 {
			e.queue.gather(len(items), wait)
		}
	}
}

// A sync that is shared by twice as many costs each of them half. It is worth
// waiting a quarter of its time for that, unless it is hardly longer than the
// waiting itself.
const (
	minGather = 20 * time.Microsecond
	maxGather = time.Millisecond
)

// judge takes the items into the group and runs them. When one of them cannot go
// with those before it, it is left, with all behind it, and the error tells why.
func (g *group) judge(items []*item) error {
	g.results = slices.Grow(g.results, len(items))[:len(items)]
	g.items = items
	for i, it := range items {
		if err := g.run(it, &g.results[i]); err != nil {
			g.items, g.rest = items[:i], items[i:]
			return err
		}
	}
	return nil
}

// end shows what was committed, or not if there is an error, and answers. It
// returns the items that are left.
func (g *group) end(err error) (rest []*item) {
	if err != nil {
		for i := range g.results {
			g.results[i] = result{err: err}
		}
	} else {
		g.show()
	}
	g.e.stats.group(g) // before anybody can ask
	for i, it := range g.items {
		it.finish(&g.results[i])
	}
	rest = g.rest
	g.close()
	return rest
}

// commitGroup carries out as many of the items as can go into one group and
// returns the others.
func (e *Engine) commitGroup(items []*item) (rest []*item) {
	g := e.newGroup()
	for _, it := range items {
		if it.kind == itemAppend || it.kind == itemCreate {
			g.full = e.space.check()
			break
		}
	}
	err := g.judge(items)
	if err != nil && !errors.Is(err, errNextGroup) {
		// A channel that cannot be read must not harm the others: they go again.
		n, it := len(g.items), g.rest[0]
		g.close()
		e.opts.Logger.Error("a channel cannot be read", slog.String("channel", it.name), slog.Any("error", err))
		it.finish(&result{err: err})
		return append(items[:n:n], items[n+1:]...)
	}
	return g.end(g.commit())
}

func (e *Engine) newGroup() *group {
	e.clock = max(e.clock, time.Now().UnixMicro())
	g := e.spare
	if e.spare = nil; g == nil {
		g = &group{e: e, works: map[string]*work{}}
	}
	g.now, g.batch = time.UnixMicro(e.clock), e.db.NewBatch()
	return g
}

// commit writes the batch and waits as long as the channels' levels ask for. It
// returns an error if nothing of the group must be shown.
func (g *group) commit() error {
	if err := g.seal(); err != nil {
		return storageFailed(err)
	}
	return g.written(g.e.write(g.batch, g.sync))
}

// commitRest is commit for a batch that is in the journal, but not synced.
func (g *group) commitRest() error {
	return g.written(g.e.keep(g.batch, g.e.journal.sync()))
}

// written is what came of writing the batch.
func (g *group) written(err error) error {
	if err != nil || g.e.guard.isDead() {
		return unknown("", g.e.guard.trouble())
	}
	if g.lazy && !g.sync {
		g.e.syncSoon()
	}
	return nil
}

// show lets readers see what was committed and tells the feed.
func (g *group) show() {
	for _, w := range g.order {
		if w.ch != nil && (w.wrote || w.ch.Fork != nil && (w.was == nil || w.was.id != w.ch.id)) {
			g.retain(w)
		}
		if w.ch != w.was || w.used != 0 {
			g.e.cache.publish(w.entry, w.ch, w.used)
		}
	}
	if g.due != 0 {
		g.e.sweeper.wakeAt(g.due)
	}
	sink := g.e.sink.Load()
	if sink == nil {
		return
	}
	for i := range g.events {
		(*sink).Event(0, &g.events[i])
	}
}

// retain moves the start of a channel after records were added, or inherited.
func (g *group) retain(w *work) {
	if w.ch.Retention == (twohop.Retention{}) {
		return
	}
	ch := w.change()
	before := ch.Start
	if err := g.e.applyRetention(ch, time.Time{}); err != nil {
		g.e.opts.Logger.Error("retention failed", slog.String("channel", ch.Name), slog.Any("error", err))
		return
	}
	if ch.Start > before {
		g.tell(engine.Trimmed, ch, twohop.Batch{})
		g.e.trimLater(ch)
	}
}

// syncSoon has what is not synced yet synced within the interval.
func (e *Engine) syncSoon() {
	select {
	case e.dirty <- struct{}{}:
	default:
	}
}

// syncLoop has what was not synced at once synced. Some of it is only in the
// process until then, so this is for channels that never ask for a sync, too.
func (e *Engine) syncLoop() {
	for {
		select {
		case <-e.dirty:
		case <-e.stop:
			return
		}
		timer := time.NewTimer(e.opts.SyncInterval)
		select {
		case <-timer.C:
		case <-e.stop: // endRun syncs
			timer.Stop()
			return
		}
		_ = e.queue.add(&item{kind: itemSync}) // else endRun does
	}
}

// unknown is the error of something that may have been carried out or not.
func unknown(channel string, err error) error {
	return &twohop.Error{Code: twohop.CodeUnknownOutcome, Channel: channel, Message: "the outcome is not known",
		Hint: "repeat it with the same producer triple or idempotency key, or look what the channel holds", Err: err}
}
