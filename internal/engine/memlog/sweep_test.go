package memlog

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"twohop"
	"twohop/internal/engine"
)

const day = 24 * time.Hour

// queued is how many visits are planned. It checks that each is its channel's.
func queued(t *testing.T, e *Engine) int {
	t.Helper()
	s := &e.sweeper
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, v := range s.queue {
		if v.ch.visit != i+1 || v.ch.due.Load() != v.at {
			t.Fatalf("visit %d at %d is of a channel with visit %d at %d", i, v.at, v.ch.visit-1, v.ch.due.Load())
		}
	}
	return len(s.queue)
}

func remove(t testing.TB, e *Engine, name string) {
	t.Helper()
	if err := e.Delete(t.Context(), name); err != nil {
		t.Fatalf("Delete(%q): %v", name, err)
	}
}

func TestDeletedIsNotVisited(t *testing.T) {
	e := open(t, Options{})
	for range 1000 {
		create(t, e, "a", &twohop.Spec{TTL: day})
		remove(t, e, "a")
	}
	if n := queued(t, e); n > 0 {
		t.Errorf("%d visits of deleted channels are planned", n)
	}
}

// A rule creates a channel on publish, and the publish is refused.
func TestRefusedIsNotVisited(t *testing.T) {
	e := open(t, Options{})
	for i := range 1000 {
		a := one(fmt.Sprint(i), "x")
		a.Create, a.Producer = &twohop.Spec{TTL: day}, &twohop.Producer{ID: "p", Seq: 5}
		_, err := send(t, e, a)
		wantCode(t, err, twohop.CodeProducerSeq)
	}
	if n, used := queued(t, e), e.used.Load(); n > 0 || used != 0 {
		t.Errorf("%d visits of channels that never were are planned, %d bytes are kept", n, used)
	}
}

// Nothing holds a channel that is gone, not even until its visit would be due.
func TestGoneIsGarbage(t *testing.T) {
	e := open(t, Options{})
	create(t, e, "source", &twohop.Spec{})
	create(t, e, "a", &twohop.Spec{TTL: day, Fork: &twohop.Fork{Source: "source"}})
	a := one("a", "x")
	a.Key, a.Producer = "k", &twohop.Producer{ID: "p"}
	if _, err := send(t, e, a); err != nil {
		t.Fatal(err)
	}
	gone := []weak.Pointer[channel]{weak.Make(e.shardOf("source").lookup("source")), weak.Make(e.shardOf("a").lookup("a"))}
	remove(t, e, "source")
	remove(t, e, "a")
	runtime.GC()
	for i, p := range gone {
		if p.Value() != nil {
			t.Errorf("channel %d is still there", i)
		}
	}
}

// Who still holds a channel that is gone, a reader say, holds the channel alone.
func TestGoneKeepsNothing(t *testing.T) {
	e := open(t, Options{})
	create(t, e, "source", &twohop.Spec{Data: []byte("x"), Ends: []uint32{1}})
	create(t, e, "a", &twohop.Spec{Fork: &twohop.Fork{Source: "source"}})
	a := one("a", "x")
	a.Key, a.Producer = "k", &twohop.Producer{ID: "p"}
	if _, err := send(t, e, a); err != nil {
		t.Fatal(err)
	}
	ch := e.shardOf("a").lookup("a")
	remove(t, e, "a")
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.parent != nil || ch.ancestors != nil || ch.producers != nil || ch.keys.known != nil || ch.keys.order != nil || ch.records.newest() != nil {
		t.Errorf("it keeps %+v, %+v, %+v, %+v, %+v", ch.parent, ch.ancestors, ch.producers, ch.keys, ch.records)
	}
}

// A visit that moves leaves none behind where it was.
func TestOneVisitAChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, Options{})
		create(t, e, "a", &twohop.Spec{TTL: day})
		for i := range 20 {
			if _, err := send(t, e, &twohop.Append{Channel: "a", Key: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(6 * time.Minute)
			if n := queued(t, e); n != 1 {
				t.Fatalf("round %d: %d visits of one channel are planned", i, n)
			}
		}
	})
}

// obituaries are when channels were deleted.
type obituaries struct {
	sync.Mutex
	at map[string]time.Time
}

func (o *obituaries) Event(_ int, e *engine.Event) {
	if e.Kind == engine.Deleted {
		o.Lock()
		defer o.Unlock()
		o.at[e.Channel] = time.Now()
	}
}

// Whatever visits are moved and removed between them, each channel is looked at
// when it is due.
func TestVisitsKeepTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &obituaries{at: map[string]time.Time{}}
		e := Open(Options{IdempotencyWindow: time.Second})
		e.Follow(o)
		defer func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}()
		dice := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // a test's dice
		due := map[string]time.Time{}
		var names []string
		for i := range 2000 {
			switch dice.IntN(4) {
			case 0, 1:
				name, ttl := fmt.Sprint(i), time.Minute+time.Duration(dice.IntN(600))*time.Second
				create(t, e, name, &twohop.Spec{TTL: ttl})
				names, due[name] = append(names, name), time.Now().Add(ttl)
			case 2: // its visit moves up to the end of the key's window, and back
				if len(names) > 0 {
					name := names[dice.IntN(len(names))]
					info, err := e.Info(t.Context(), name)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := send(t, e, &twohop.Append{Channel: name, Key: fmt.Sprint(i)}); err != nil {
						t.Fatal(err)
					}
					due[name] = time.Now().Add(info.TTL)
				}
			case 3:
				if len(names) > 0 {
					j := dice.IntN(len(names))
					remove(t, e, names[j])
					due[names[j]] = time.Now()
					names = slices.Delete(names, j, j+1)
				}
			}
			if n := queued(t, e); n > len(names) {
				t.Fatalf("%d visits of %d channels are planned", n, len(names))
			}
			time.Sleep(time.Duration(dice.IntN(20)) * time.Millisecond)
		}
		time.Sleep(time.Hour)
		o.Lock()
		defer o.Unlock()
		for name, want := range due {
			if late := o.at[name].Sub(want); late < 0 || late > 2*time.Duration(grid) {
				t.Errorf("channel %s: deleted %v after it was due", name, late)
			}
		}
		if n, used := queued(t, e), e.used.Load(); n != 0 || used != 0 || len(o.at) != len(due) {
			t.Errorf("%d visits are left, %d bytes, %d of %d channels", n, used, len(due)-len(o.at), len(due))
		}
	})
}

// After a burst of keys nothing of it is left when their window is over.
func TestForgottenKeysAreGone(t *testing.T) {
	var k keys
	for i := range 1000 {
		k.put(fmt.Sprint(i), twohop.Offset{}, int64(i))
	}
	k.forget(900)
	for i, use := range k.order[:100] {
		if k.get(use.key) == nil || use.key != fmt.Sprint(900+i) {
			t.Errorf("%q is not the key that was used then", use.key)
		}
	}
	if k.forget(1000); k.known != nil || k.order != nil {
		t.Error("room is kept for keys that are forgotten")
	}
}
