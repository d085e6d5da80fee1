package disklog

import (
	"errors"
	"log/slog"
	"time"

	"twohop"
	"twohop/internal/engine"
)

// commitLoop is the committer.
func (e *Engine) commitLoop() {
	for items := e.queue.take(); items != nil; items = e.queue.take() {
		began := time.Now()
		rest := e.commitGroup(items)
		e.queue.landed(rest)
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

// commitGroup carries out as many of the items as can go into one group and
// returns the others.
func (e *Engine) commitGroup(items []*item) (rest []*item) {
	g := e.newGroup(items)
	defer func() {
		if err := g.close(); err != nil {
			e.opts.Logger.Error("a batch could not be closed", slog.Any("error", err))
		}
	}()
	results := make([]result, len(items))
	for i, it := range items {
		err := g.run(it, &results[i])
		if err == nil {
			continue
		}
		if errors.Is(err, errNextGroup) {
			items, rest = items[:i], items[i:]
			break
		}
		// A channel that cannot be read must not harm the others: they go again.
		e.opts.Logger.Error("a channel cannot be read", slog.String("channel", it.name), slog.Any("error", err))
		it.finish(&result{err: err})
		return append(items[:i:i], items[i+1:]...)
	}
	if err := g.commit(); err != nil {
		for i := range results {
			results[i] = result{err: err}
		}
	} else {
		g.show()
	}
	for i, it := range items {
		it.finish(&results[i])
	}
	e.stats.group(g, items)
	return rest
}

func (e *Engine) newGroup(items []*item) *group {
	e.clock = max(e.clock, time.Now().UnixMicro())
	g := &group{e: e, now: time.UnixMicro(e.clock), batch: e.db.NewBatch(), works: make(map[string]*work, len(items))}
	for _, it := range items {
		if it.kind == itemAppend || it.kind == itemCreate {
			g.full = e.space.check()
			break
		}
	}
	return g
}

// commit writes the batch and waits as long as the channels' levels ask for. It
// returns an error if nothing of the group must be shown.
func (g *group) commit() error {
	if err := g.seal(); err != nil {
		return storageFailed(err)
	}
	if err := g.e.write(g.batch, g.sync); err != nil || g.e.guard.isDead() {
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
		if w.wrote && w.ch != nil {
			g.retain(w)
		}
		if w.ch != w.was || w.used != 0 {
			g.e.cache.publish(w.entry, w.ch, w.used)
		}
	}
	if g.due != 0 {
		g.e.sweeper.wakeAt(g.due)
	}
	if g.e.sink == nil {
		return
	}
	for i := range g.events {
		g.e.sink.Event(0, &g.events[i])
	}
}

// retain moves the start of a channel after records were added.
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
