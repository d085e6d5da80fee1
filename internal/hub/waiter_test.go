package hub

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
)

// Readers that read, wait and are woken, or give up and try again, miss nothing,
// whatever the publishers do meanwhile.
func TestNoWakeIsLost(t *testing.T) {
	const readers, publishers, each = 40, 4, 150
	e := newSlowEngine(t, 0)
	h := newTester(t, e, Options{PageBytes: 64, TailBytes: 2000})
	start := h.create("c")
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			c, err := h.Open(t.Context(), "c")
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.AddReader(1)
			defer c.AddReader(-1)
			woken := make(chan struct{}, 1)
			w := Waiter{Wake: func() {
				select {
				case woken <- struct{}{}:
				default:
				}
			}}
			at, last := start, map[string]int{}
			for n := 0; ; {
				got, next, err := readAll(t.Context(), c, at)
				if err != nil {
					t.Error(err)
					return
				}
				at = next
				for record := range strings.FieldsSeq(got) {
					var p, k int
					if _, err := fmt.Sscanf(record, "%d:%d", &p, &k); err != nil || last[fmt.Sprint(p)] != k {
						t.Errorf("reader %d: after %d of publisher %d came %s", i, last[fmt.Sprint(p)], p, record)
						return
					}
					last[fmt.Sprint(p)]++
					n++
				}
				if n == publishers*each {
					return
				}
				if !c.Wait(&w, at) {
					continue
				}
				if rand.IntN(4) == 0 { // as at a heartbeat
					c.Cancel(&w)
					continue
				}
				select {
				case <-woken:
				case <-time.After(20 * time.Second):
					t.Errorf("reader %d sleeps on at %s; the tail is %s", i, at, c.Info().Tail)
					return
				}
			}
		})
	}
	for p := range publishers {
		wg.Go(func() {
			for k := range each {
				record := fmt.Sprintf("%d:%d ", p, k)
				if _, err := h.Append(t.Context(), &twohop.Append{Channel: "c", Data: []byte(record), Ends: []uint32{uint32(len(record))}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := h.open("c").waiters.n; n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

// A waiter is woken once for a Wait, not at all after a Cancel that says so, and
// can be used again.
func TestWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTester(t, newSlowEngine(t, 0), Options{})
		at := h.create("c")
		c := h.open("c")
		defer c.Close()
		wakes := make([]int, 5)
		waiters := make([]Waiter, 5)
		for i := range waiters {
			waiters[i].Wake = func() { wakes[i]++ }
			if !c.Wait(&waiters[i], at) {
				t.Fatal("a waiter at the tail did not wait")
			}
		}
		for _, i := range []int{2, 0, 4} { // from the middle and from both ends
			if !c.Cancel(&waiters[i]) || c.Cancel(&waiters[i]) {
				t.Errorf("cancelling waiter %d twice", i)
			}
		}
		if c.waiters.n != 2 {
			t.Errorf("%d wait", c.waiters.n)
		}
		next := h.append("c", "a")
		h.append("c", "b")
		synctest.Wait()
		if got := fmt.Sprint(wakes); got != "[0 1 0 1 0]" || c.waiters.n != 0 {
			t.Errorf("the waiters were woken %s times", got)
		}
		if c.Cancel(&waiters[1]) {
			t.Error("a woken waiter was cancelled")
		}
		if c.Wait(&waiters[1], next) {
			t.Error("a waiter behind the tail waits")
		}
		if !c.Wait(&waiters[1], c.Info().Tail) {
			t.Error("a waiter cannot be used again")
		}
		if _, err := h.Append(t.Context(), &twohop.Append{Channel: "c", Close: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if wakes[1] != 2 || c.Wait(&waiters[1], c.Info().Tail) {
			t.Error("the closure woke nobody, or who came later waits")
		}
	})
}

// A wake that comes late, when its waiter waits again, does no harm.
func TestLateWake(t *testing.T) {
	h := newTester(t, newSlowEngine(t, 0), Options{})
	at := h.create("c")
	c := h.open("c")
	defer c.Close()
	var w, other Waiter
	wakes := make(chan *Waiter, 10)
	w.Wake, other.Wake = func() { wakes <- &w }, func() { wakes <- &other }
	c.Wait(&other, at)
	c.Wait(&w, at)
	w.Wake() // as if it had been under way
	<-wakes
	c.Wait(&w, at) // its reader looked, and found nothing
	if c.waiters.n != 2 {
		t.Fatalf("%d wait, want 2", c.waiters.n)
	}
	h.append("c", "a")
	if a, b := <-wakes, <-wakes; a == b {
		t.Error("one was woken twice and the other not")
	}
	if c.Cancel(&w) || c.Cancel(&other) || c.waiters.n != 0 {
		t.Error("a woken waiter still waits")
	}
	at = c.Info().Tail
	c.Wait(&w, at)
	h.append("c", "b")
	<-wakes
	if c.Wait(&w, at) || c.waiters.n != 0 {
		t.Error("a reader that has something to read waits")
	}
}

// Publishing does not wait for wakes: a slow one holds up other wakes only.
func TestPublishingDoesNotWaitForWakes(t *testing.T) {
	h := newTester(t, newSlowEngine(t, 0), Options{})
	at := h.create("c")
	c := h.open("c")
	defer c.Close()
	stuck, begun := make(chan struct{}), make(chan struct{})
	c.Wait(&Waiter{Wake: func() { close(begun); <-stuck }}, at)
	h.append("c", "a")
	<-begun
	for range 100 {
		h.append("c", "b") // would never end
	}
	close(stuck)
}

type countingWatcher struct{ n atomic.Int64 }

func (w *countingWatcher) Moved() { w.n.Add(1) }

// A watcher is told of all that happens between Watch and Unwatch.
func TestWatcher(t *testing.T) {
	h := newTester(t, newSlowEngine(t, 0), Options{})
	h.create("c")
	c := h.open("c")
	defer c.Close()
	var a, b countingWatcher
	c.Watch(&a)
	h.append("c", "x")
	c.Watch(&b)
	h.append("c", "x")
	c.Unwatch(&a)
	h.append("c", "x")
	if err := h.Delete(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if a.n.Load() != 2 || b.n.Load() != 3 {
		t.Errorf("told %d and %d times, want 2 and 3", a.n.Load(), b.n.Load())
	}
	c.Unwatch(&b)
	if len(c.watch) != 0 {
		t.Errorf("%d watchers are left", len(c.watch))
	}
}
