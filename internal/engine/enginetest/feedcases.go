package enginetest

import (
	"sync/atomic"
	"testing/synctest"
	"time"

	"twohop"
)

func feedCases() []testCase {
	return []testCase{
		{name: "Story", run: feedStory, both: true},
		{name: "Nothing", run: feedNothing, bubble: true},
		{name: "Fork", run: feedFork, both: true},
		{name: "VisibleInDone", run: feedReads},
		{name: "AfterClose", run: feedAfterClose, bubble: true},
		{name: "CloseWaits", run: closeWaits, bubble: true},
	}
}

// feedStory follows one channel from its creation to its end and beyond. That
// batches, offsets and order are right is checked after each step.
func feedStory(f *fixture) {
	f.create("a", f.spec("initial", "two"))
	f.append("a", "x")
	f.append("a", "y", "z")
	f.must(f.closing(f.appendOf("a", "last")))
	f.remove("a")
	c := f.feed.await(f, "a", "deleted once", func(c *told) bool { return c.deleted == 1 })
	if len(c.recs) != 6 || !c.closed {
		f.Errorf("the feed told %q, closed %v", datas(c.recs), c.closed)
	}
	f.channel("a", "new")
	f.must(f.closing(f.appendOf("a")))
	f.remove("a")
	f.feed.await(f, "a", "deleted twice", func(c *told) bool { return c.deleted == 2 })
}

// feedNothing does what changes no channel: the feed has nothing to tell.
func feedNothing(f *fixture) {
	f.channel("a", "x")
	a := f.produce("a", "p", 0, 0, "y")
	a.Key = "k"
	ack := f.must(a)
	synctest.Wait()
	before := f.feed.count()
	f.repeated(a, ack.Offset)
	f.refused(f.produce("a", "p", 0, 5, "no"), twohop.CodeProducerSeq)
	f.refused(f.appendOf("b", "no"), twohop.CodeNotFound)
	f.compares("a", f.spec(), true)
	f.forkRefused(&twohop.Spec{Fork: &twohop.Fork{Source: "a", Sub: 1}}, twohop.CodeForkOffset)
	f.eng.Touch("a")
	f.pass(lazy)
	synctest.Wait()
	if n := f.feed.count() - before; n != 0 {
		f.Errorf("the feed told %d events, but nothing happened", n)
	}
}

// feedFork checks that a fork begins in the feed where it leaves its source.
func feedFork(f *fixture) {
	f.channel("a", "x", "y")
	at := f.walk("a")[0].after
	f.fork("f", "a", &at, 0)
	f.append("f", "own")
	c := f.feed.await(f, "f", "created", func(c *told) bool { return len(c.recs) == 1 })
	if c.base != at || c.start != f.info("a").Start || c.recs[0].data != encode(f.kind, "own") {
		f.Errorf("the feed told of the fork: from %s, inherited up to %s, then %q", c.start, c.base, datas(c.recs))
	}
	f.remove("a")
	f.feed.awaitDeleted(f, "a") // gone for readers
}

// feedReads reads in done what was appended: it must be visible by then.
func feedReads(f *fixture) {
	f.channel("a")
	from := f.info("a").Tail
	for range 20 {
		got := make(chan twohop.Batch, 1)
		f.eng.Append(f.Context(), f.appendOf("a", "x"), func(_ twohop.Ack, err error) {
			b, errRead := f.eng.Read(f.Context(), "a", from, huge)
			if err != nil || errRead != nil {
				f.Errorf("Append: %v, Read: %v", err, errRead)
			}
			got <- b
		})
		b := <-got
		if b.Len() != 1 {
			f.Fatalf("in done it reads %+v after %s", b, from)
		}
		f.logs["a"].add(b.Data, b.Ends, b.Next)
		from = b.Next
	}
}

// feedAfterClose lets things become due once the engine is closed.
func feedAfterClose(f *fixture) {
	f.create("a", &twohop.Spec{ContentType: f.kind, TTL: time.Minute})
	f.append("a", "x")
	f.close()
	f.feed.stop()
	f.logs = nil
	f.pass(time.Hour)
	synctest.Wait()
}

// closeWaits closes the engine while it tells the feed of an append: that is
// finished first.
func closeWaits(f *fixture) {
	f.channel("a")
	f.feed.hold = make(chan struct{})
	var answered, closed atomic.Bool
	go f.eng.Append(f.Context(), f.appendOf("a", "x"), func(_ twohop.Ack, err error) {
		if answered.Store(true); err != nil {
			f.Errorf("append: %v", err)
		}
	})
	synctest.Wait()
	go func() {
		f.close()
		closed.Store(true)
	}()
	synctest.Wait()
	if closed.Load() || answered.Load() {
		f.Errorf("while the feed is told: closed %v, answered %v", closed.Load(), answered.Load())
	}
	close(f.feed.hold)
	synctest.Wait()
	if !closed.Load() || !answered.Load() {
		f.Fatalf("after the feed was told: closed %v, answered %v", closed.Load(), answered.Load())
	}
	f.feed.stop()
	f.logs = nil
}
