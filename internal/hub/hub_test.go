package hub

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/engine/memlog"
)

// Many that open a channel at once ask the engine once.
func TestOpenAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSlowEngine(t, 5*time.Millisecond)
		h := newTester(t, e, Options{})
		h.create("c")
		tail := h.append("c", "a")
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				c, err := h.Open(t.Context(), "c")
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				if c.Info().Tail != tail {
					t.Errorf("the tail is %s, want %s", c.Info().Tail, tail)
				}
			})
		}
		wg.Wait()
		if n := e.times("c"); n != 1 {
			t.Errorf("the engine was asked %d times", n)
		}
		if h.Live() != 1 || h.idle.Load() != 1 {
			t.Errorf("%d live, %d idle", h.Live(), h.idle.Load())
		}
	})
}

// What the feed tells before the engine's answer arrives is not missed.
func TestFeedIsAheadOfTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSlowEngine(t, 5*time.Millisecond)
		h := newTester(t, e, Options{})
		start := h.create("c")
		h.append("c", "a")
		e.late = sync.OnceFunc(func() {
			h.append("c", "b")
			if _, err := h.Append(t.Context(), &twohop.Append{Channel: "c", Data: []byte("c"), Ends: []uint32{1}, Close: true}); err != nil {
				t.Error(err)
			}
		})
		c := h.open("c")
		defer c.Close()
		if got, _, err := readAll(t.Context(), c, start); got != "abc" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		if !c.Info().Closed {
			t.Error("the closure was missed")
		}
		if v, err := c.ReadTail(); err != nil || !v.Closed || v.Len() != 0 {
			t.Errorf("at the tail is %+v, %v", v, err)
		}
	})
}

// A channel that was made while others were told that there is none is there
// for who comes after that.
func TestOpenAfterCreate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSlowEngine(t, 5*time.Millisecond)
		h := newTester(t, e, Options{})
		first := make(chan error)
		go func() {
			_, err := h.Open(t.Context(), "c")
			first <- err
		}()
		<-time.After(2 * time.Millisecond)
		h.create("c")
		c, err := h.Open(t.Context(), "c")
		if err != nil {
			t.Fatalf("after the creation was acknowledged: %v", err)
		}
		c.Close()
		if err := <-first; code(err) != twohop.CodeNotFound {
			t.Errorf("before the creation: %v", err)
		}
		if e.times("c") != 2 {
			t.Errorf("the engine was asked %d times", e.times("c"))
		}
	})
}

// Who asks for what is not there leaves nothing behind, and many ask twice at
// most.
func TestOpenOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSlowEngine(t, 5*time.Millisecond)
		h := newTester(t, e, Options{})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := h.Open(t.Context(), "c"); code(err) != twohop.CodeNotFound {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if e.times("c") > 2 || h.Live() != 0 || h.idle.Load() != 0 {
			t.Errorf("asked %d times; %d live, %d idle", e.times("c"), h.Live(), h.idle.Load())
		}
	})
}

func TestOpenIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSlowEngine(t, time.Hour)
		h := newTester(t, e, Options{})
		h.create("c")
		go func() {
			if c, err := h.Open(t.Context(), "c"); err == nil {
				c.Close()
			}
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if _, err := h.Open(ctx, "c"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		<-time.After(2 * time.Hour)
		if h.idle.Load() != int64(h.Live()) {
			t.Errorf("%d live, %d idle", h.Live(), h.idle.Load())
		}
	})
}

// A channel that is deleted and made anew while the engine is asked is opened as
// the one or the other, never as a mixture.
func TestDeletedWhileAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSlowEngine(t, 5*time.Millisecond)
		h := newTester(t, e, Options{})
		h.create("source")
		at := h.append("source", "s")
		fork := func() {
			if _, _, err := h.Create(t.Context(), "c", &twohop.Spec{Fork: &twohop.Fork{Source: "source", At: &at}}); err != nil {
				t.Error(err)
			}
		}
		fork()
		h.append("c", "old") // in an epoch that is larger than that of the new fork's tail
		e.late = sync.OnceFunc(func() {
			if err := h.Delete(t.Context(), "c"); err != nil {
				t.Error(err)
			}
			fork()
		})
		c := h.open("c")
		defer c.Close()
		if got, _, err := readAll(t.Context(), c, c.Locate(twohop.From{})); got != "s" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		h.append("c", "new")
		if got, _, err := readAll(t.Context(), c, at); got != "new" || err != nil {
			t.Errorf("read on %q, %v", got, err)
		}
	})
}

// News of the deletion of an earlier channel of the name is not taken for news
// of the present one.
func TestLateNewsOfADeletion(t *testing.T) {
	e := newSlowEngine(t, 0)
	h := newTester(t, e, Options{})
	h.create("c")
	old := h.append("c", "old")
	if err := h.Delete(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	h.create("c")
	c := h.open("c")
	defer c.Close()
	e.sink.Event(0, &engine.Event{Kind: engine.Deleted, Channel: "c", Tail: old})
	if c.Deleted() || h.Peek([]byte("c")) != c {
		t.Error("the present channel is taken for deleted")
	}
	if _, err := c.Read(t.Context(), old); code(err) != twohop.CodeReset {
		t.Errorf("an offset of the old one: %v", err)
	}
	if err := h.Delete(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if !c.Deleted() || h.Peek([]byte("c")) != nil {
		t.Error("the deletion was missed")
	}
	_, err := c.Read(t.Context(), c.Info().Tail)
	if e, ok := errors.AsType[*twohop.Error](err); !ok || e.Reset == nil || e.Reset.Reason != twohop.ResetDeleted {
		t.Errorf("reading on: %v", err)
	}
}

// Nor is other late news of an earlier channel.
func TestLateNewsOfAnEarlierChannel(t *testing.T) {
	e := newSlowEngine(t, 0)
	h := newTester(t, e, Options{})
	start := h.create("c")
	old := h.append("c", "old")
	if err := h.Delete(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	at := h.create("c")
	c := h.open("c")
	defer c.Close()
	for _, ev := range []engine.Event{
		{Kind: engine.Appended, Batch: twohop.Batch{From: start, Next: old, Data: []byte("old"), Ends: []uint32{3}}, Start: start, Tail: old},
		{Kind: engine.Appended, Batch: twohop.Batch{From: old, Next: old}, Start: start, Tail: old, Closed: true},
		{Kind: engine.Trimmed, Start: old, Tail: old, Closed: true},
	} {
		ev.Channel = "c"
		e.sink.Event(0, &ev)
		if info := c.Info(); info.Closed || info.Start != at || info.Tail != at {
			t.Errorf("after late news of kind %d: from %s to %s, closed %v", ev.Kind, info.Start, info.Tail, info.Closed)
		}
	}
	h.append("c", "new")
	if got, _, err := readAll(t.Context(), c, at); got != "new" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

// News that the engine's answer had in it already changes nothing: the start never
// moves back.
func TestLateNewsOfTheSameChannel(t *testing.T) {
	e := newSlowEngine(t, 0)
	h := newTester(t, e, Options{})
	h.create("c")
	a := h.append("c", "a")
	b := h.append("c", "b")
	c := h.open("c")
	defer c.Close()
	for _, ev := range []engine.Event{
		{Kind: engine.Trimmed, Start: b, Tail: b},
		{Kind: engine.Trimmed, Start: a, Tail: a},
		{Kind: engine.Trimmed, Start: a, Tail: b},
	} {
		ev.Channel = "c"
		e.sink.Event(0, &ev)
		if info := c.Info(); info.Start != b {
			t.Errorf("after news of a start at %s it is %s, want %s", ev.Start, info.Start, b)
		}
	}
}

// A page that retention dropped while it was on its way is given to who asked
// for it before, and to nobody later.
func TestTrimmedWhileRead(t *testing.T) {
	e := newSlowEngine(t, 0)
	h := newTester(t, e, Options{TailBytes: 1})
	start := h.create("c")
	h.append("c", "a")
	tail := h.append("c", "b")
	c := h.open("c")
	defer c.Close()
	e.read = func() {
		e.sink.Event(0, &engine.Event{Kind: engine.Trimmed, Channel: "c", Start: tail, Tail: tail})
	}
	if v, err := c.Read(t.Context(), start); err != nil || string(v.Data) != "ab" {
		t.Errorf("got %+v, %v", v, err)
	}
	if v := c.TryRead(start); v != nil {
		t.Errorf("what was dropped is kept as %q", v.Data)
	}
}

// After a break of the feed every channel is opened anew, and nobody sleeps on.
func TestBrokenFeed(t *testing.T) {
	e := newSlowEngine(t, 0)
	h := newTester(t, e, Options{})
	for _, name := range []string{"a", "b", "idle"} {
		h.create(name)
	}
	h.open("idle").Close()
	var woken sync.WaitGroup
	open := map[string]*Channel{"a": h.open("a"), "b": h.open("b")}
	for _, c := range open {
		woken.Add(3)
		for range 3 {
			if !c.Wait(&Waiter{Wake: woken.Done}, c.Info().Tail) {
				t.Fatal("there is something to read in an empty channel")
			}
		}
	}
	e.sink.Event(0, &engine.Event{Kind: engine.Broken})
	woken.Wait()
	for name, c := range open {
		if !c.Stale() || c.Wait(&Waiter{Wake: func() {}}, c.Info().Tail) {
			t.Errorf("%s: a reader may sleep on", name)
		}
		if again := h.open(name); again == c || again.Stale() || e.times(name) != 2 {
			t.Errorf("%s was not opened anew", name)
		} else {
			again.Close()
		}
		c.Close()
	}
	if h.Live() != 2 || h.idle.Load() != 2 {
		t.Errorf("%d live, %d idle", h.Live(), h.idle.Load())
	}
}

// A feed that breaks after it told of a deletion, before the engine's answer, is
// not forgotten: the channel left the hub with that.
func TestBrokenFeedWhileDeleted(t *testing.T) {
	e := newSlowEngine(t, 0)
	h := newTester(t, e, Options{})
	h.create("c")
	e.late = sync.OnceFunc(func() {
		if err := h.Delete(t.Context(), "c"); err != nil {
			t.Error(err)
		}
		h.create("c")
		e.sink.Event(0, &engine.Event{Kind: engine.Broken})
	})
	c := h.open("c")
	defer c.Close()
	if !c.Stale() || c.Wait(&Waiter{Wake: func() {}}, c.Info().Tail) {
		t.Error("a reader may sleep on")
	}
	again := h.open("c")
	defer again.Close()
	if again == c || again.Stale() {
		t.Error("it was not opened anew")
	}
}

// Channels that nobody reads leave after the idle time, others stay.
func TestIdleChannelsLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newSlowEngine(t, 0)
		h := newTester(t, e, Options{IdleKept: 10, IdleTime: 30 * time.Second})
		name := func(i int) string { return string(rune('a' + i)) }
		for i := range 20 {
			h.create(name(i))
		}
		read := h.open(name(0))
		defer read.Close()
		for i := range 20 {
			h.open(name(i)).Close()
		}
		if h.Live() != 11 || h.idle.Load() != 10 {
			t.Errorf("at first: %d live, %d idle", h.Live(), h.idle.Load())
		}
		for range 4 {
			<-time.After(20 * time.Second)
			h.open(name(1)).Close()
			h.Peek([]byte(name(2))) // counts as a use
		}
		if h.Live() != 3 || h.idle.Load() != 2 || e.times(name(1)) != 1 || e.times(name(0)) != 1 {
			t.Errorf("later: %d live, %d idle", h.Live(), h.idle.Load())
		}
		<-time.After(time.Hour)
		if h.Live() != 1 || h.idle.Load() != 0 || h.Peek([]byte(name(0))) != read {
			t.Errorf("at last: %d live, %d idle", h.Live(), h.idle.Load())
		}
	})
}

// What is kept counts itself right whatever is opened, closed, deleted and
// broken at the same time.
func TestCountsUnderConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &knower{slowEngine: newSlowEngine(t, 0)}
		h := newTester(t, e, Options{IdleKept: 3})
		names := strings.Split("abcdefgh", "")
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for n := range 300 {
					name := names[(n*7+i)%len(names)]
					switch {
					case i == 0:
						_ = h.Delete(t.Context(), name)
					case i == 1:
						_, _, _ = h.Create(t.Context(), name, &twohop.Spec{ContentType: "text/plain"})
					case i == 2 && n%50 == 0:
						e.sink.Event(0, &engine.Event{Kind: engine.Broken})
					case i == 3:
						if c := h.TryOpen(name); c != nil {
							c.Close()
						}
					default:
						if c, err := h.Open(t.Context(), name); err == nil {
							if h.Adopt(c) {
								c.Close()
							}
							c.Close()
						} else if c := code(err); c != twohop.CodeNotFound {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		synctest.Wait() // for what is loaded though nobody waits for it
		if int(h.idle.Load()) != h.Live() {
			t.Errorf("%d live, %d idle", h.Live(), h.idle.Load())
		}
	})
}

// An append whose caller leaves has an unknown outcome, and may take effect.
func TestAppendIsGivenUp(t *testing.T) {
	e := memlog.Open(memlog.Options{})
	t.Cleanup(func() { _ = e.Close() })
	h := newTester(t, &deafEngine{Engine: e}, Options{})
	h.create("c")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Append(ctx, &twohop.Append{Channel: "c", Data: []byte("a"), Ends: []uint32{1}}); code(err) != twohop.CodeUnknownOutcome {
		t.Errorf("got %v", err)
	}
}

// deafEngine never answers an append.
type deafEngine struct{ engine.Engine }

func (*deafEngine) Append(context.Context, *twohop.Append, func(twohop.Ack, error)) {}
