package enginetest

import (
	"context"
	"sync/atomic"

	"twohop"
)

func cancelled(f *fixture) context.Context {
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	return ctx
}

func appendCases() []testCase {
	return []testCase{
		{name: "Offsets", run: appendOffsets, both: true},
		{name: "EmptyRecords", run: appendEmptyRecords},
		{name: "Level", run: appendLevel},
		{name: "Cancelled", run: appendCancelled},
		{name: "NotFound", run: appendNotFound},
		{name: "FromDone", run: appendFromDone},
		{name: "ThenClose", run: appendThenClose},
		{name: "Healthy", run: healthy},
	}
}

func appendOffsets(f *fixture) {
	f.channel("a")
	last := f.info("a").Tail
	for _, recs := range [][]string{{"one"}, {"two", "three"}, {"four", "five", "six"}} {
		ack := f.append("a", recs...)
		if ack.Offset.String() <= last.String() || ack.Offset != f.info("a").Tail {
			f.Errorf("acknowledged %s after %s, the tail is %s", ack.Offset, last, f.info("a").Tail)
		}
		b := f.read("a", last, huge)
		if data, _ := batch(f.kind, recs...); string(b.Data) != string(data) || b.Len() != len(recs) || b.Next != ack.Offset {
			f.Errorf("after %s it reads %+v, want %q up to %s", last, b, recs, ack.Offset)
		}
		last = ack.Offset
	}
}

func appendEmptyRecords(f *fixture) {
	f.channel("a", "x")
	f.must(&twohop.Append{Channel: "a", ContentType: text, Data: []byte("ab"), Ends: []uint32{0, 1, 1, 2}})
	f.holds("a", "x", "", "a", "", "b")
}

func appendLevel(f *fixture) {
	for _, sync := range []twohop.Sync{twohop.SyncAlways, twohop.SyncInterval, twohop.SyncNever} {
		spec := f.spec()
		spec.Sync = sync
		f.create(sync.String(), spec)
		if ack := f.append(sync.String(), "x"); ack.Level != f.info(sync.String()).Level {
			f.Errorf("sync %s: acknowledged at level %s, Info says %s", sync, ack.Level, f.info(sync.String()).Level)
		}
	}
}

func appendCancelled(f *fixture) {
	f.channel("a", "x")
	if ack, err := f.sendIn(cancelled(f), f.appendOf("a", "y")); err == nil {
		f.Errorf("an append with a cancelled context = %+v", ack)
	}
	f.holds("a", "x")
}

func appendNotFound(f *fixture) {
	f.refused(f.appendOf("a", "x"), twohop.CodeNotFound)
	a := f.appendOf("a", "x")
	a.Producer, a.Key, a.If = &twohop.Producer{ID: "p"}, "k", &twohop.Offset{Epoch: 1, Pos: 1}
	f.refused(a, twohop.CodeNotFound)
}

// appendFromDone appends from the callback of an append, as often as it likes.
func appendFromDone(f *fixture) {
	f.channel("a")
	done := make(chan error)
	var next func(n int)
	next = func(n int) {
		f.eng.Append(f.Context(), f.appendOf("a", "x"), func(_ twohop.Ack, err error) {
			if err != nil || n == 1 {
				go func() { done <- err }()
				return
			}
			next(n - 1)
		})
	}
	next(50)
	if err := <-done; err != nil {
		f.Fatal(err)
	}
	for range 50 {
		f.logs["a"].recs = append(f.logs["a"].recs, record{data: encode(f.kind, "x")})
	}
	f.check("a")
}

// appendThenClose closes the engine while appends are under way.
func appendThenClose(f *fixture) {
	f.channel("a")
	const n = 100
	var answered atomic.Int64
	for range n {
		f.eng.Append(f.Context(), f.appendOf("a", "x"), func(twohop.Ack, error) { answered.Add(1) })
	}
	f.close()
	f.feed.stop()
	if got := answered.Load(); got != n {
		f.Errorf("%d of %d appends were answered when Close returned", got, n)
	}
	f.logs = nil
}

func healthy(f *fixture) {
	if err := f.eng.Healthy(); err != nil {
		f.Errorf("a new engine is not healthy: %v", err)
	}
}
