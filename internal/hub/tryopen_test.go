package hub

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
)

// knower is a slow engine that knows its channels.
type knower struct {
	*slowEngine
	before func() // each Known
}

func (k *knower) Known(name string) (twohop.Info, bool) {
	if k.before != nil {
		k.before()
	}
	info, err := k.Engine.Info(nil, name) //nolint:staticcheck // the memory engine needs no context
	return info, err == nil
}

func newKnower(t testing.TB) *knower {
	return &knower{slowEngine: newSlowEngine(t, 5*time.Millisecond)}
}

func TestTryOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newKnower(t)
		h := newTester(t, e, Options{})
		h.create("c")
		at := h.append("c", "a")
		if h.TryOpen("none") != nil || h.Live() != 0 {
			t.Error("what is not there was opened, or left a trace")
		}
		a, b := h.TryOpen("c"), h.TryOpen("c")
		if a == nil || a != b || a.Info().Tail != at || e.times("c") != 0 {
			t.Fatalf("opened %p and %p, asked %d times", a, b, e.times("c"))
		}
		next := h.append("c", "b")
		if got, _, err := readAll(t.Context(), a, at); got != "b" || err != nil || a.Info().Tail != next {
			t.Errorf("read %q, %v", got, err)
		}
		a.Close()
		if h.idle.Load() != 0 {
			t.Error("who was opened twice and closed once is idle")
		}
		b.Close()
		if h.idle.Load() != 1 {
			t.Error("who was closed is not idle")
		}
		b = h.TryOpen("c")
		if b != a || h.idle.Load() != 0 {
			t.Error("an idle channel was not opened")
		}
		b.Close()
	})
}

// A channel that ends by itself is opened and looked at without waiting as long as
// it lives, and lives on because it is.
func TestTryOpenRenewsALifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newKnower(t)
		h := newTester(t, e, Options{})
		if _, _, err := h.Create(t.Context(), "c", &twohop.Spec{ContentType: "text/plain", TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		look := map[string]func() bool{
			"opened": func() bool {
				c := h.TryOpen("c")
				if c != nil {
					c.Close()
				}
				return c != nil
			},
			"peeked at": func() bool { return h.Peek([]byte("c")) != nil },
		}
		time.Sleep(50 * time.Minute)
		if c := h.TryOpen("c"); c == nil {
			t.Fatal("it was not opened")
		} else {
			defer c.Close() // a live channel is not looked for anew
		}
		for range 3 {
			for _, what := range []string{"opened", "peeked at"} {
				time.Sleep(50 * time.Minute)
				began := time.Now()
				if !look[what]() || e.times("c") != 0 || !time.Now().Equal(began) {
					t.Fatalf("it was not %s at once", what)
				}
			}
		}
		time.Sleep(61 * time.Minute)
		if look["peeked at"]() || look["opened"]() {
			t.Error("it was looked at after its end")
		}
	})
}

// An engine that knows nothing is to be asked, by those who may wait.
func TestTryOpenWithoutKnowledge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTester(t, newSlowEngine(t, 0), Options{})
		h.create("c")
		if h.TryOpen("c") != nil || h.Live() != 0 {
			t.Error("was opened")
		}
	})
}

// A channel that is on its way for somebody else is not waited for.
func TestTryOpenDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newKnower(t)
		h := newTester(t, e, Options{})
		h.create("c")
		done := make(chan *Channel)
		go func() { done <- h.open("c") }()
		synctest.Wait()
		began := time.Now()
		if h.TryOpen("c") != nil || !time.Now().Equal(began) {
			t.Error("did not go away at once")
		}
		c := <-done
		if c.Close(); h.idle.Load() != 1 {
			t.Error("is not idle")
		}
	})
}

// A channel that is deleted, and maybe made anew, the moment that it is opened
// is as it is afterwards, for all that opened it.
func TestTryOpenWhileDeleted(t *testing.T) {
	for _, again := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			e := newKnower(t)
			h := newTester(t, e, Options{})
			h.create("c")
			h.append("c", "old")
			var joined sync.WaitGroup
			asked := 0
			e.before = func() {
				if asked++; asked != 2 {
					return
				}
				joined.Go(func() {
					c, err := h.Open(t.Context(), "c")
					if (err == nil) != again || err != nil && code(err) != twohop.CodeNotFound {
						t.Error(err)
					}
					if err == nil {
						defer c.Close()
						if got, _, err := readAll(t.Context(), c, c.Locate(twohop.From{Kind: twohop.FromStart})); got != "new" || err != nil {
							t.Errorf("read %q, %v", got, err)
						}
					}
				})
				synctest.Wait() // until it waits for us
				if err := h.Delete(t.Context(), "c"); err != nil {
					t.Error(err)
				}
				if again {
					h.create("c")
					h.append("c", "new")
				}
			}
			if c := h.TryOpen("c"); c != nil {
				t.Error("was opened")
			}
			joined.Wait()
			synctest.Wait()
			if n := h.Live(); (n == 1) != again || int(h.idle.Load()) != n {
				t.Errorf("%d live, %d idle", h.Live(), h.idle.Load())
			}
		})
	}
}
