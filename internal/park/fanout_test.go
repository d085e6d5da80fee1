package park

import (
	"math/rand/v2"
	"testing"
	"time"
)

// telling is a fan-out that sends nothing.
type telling struct {
	number int
	began  time.Time
}

func (*telling) Turn() bool         { return false }
func (f *telling) Began() time.Time { return f.began }

// begin has a round in which each fan-out is worth so many sends, and returns
// how many began.
func begin(f *fanOuts, now time.Time, happened bool, sends int) (began int) {
	for ; f.next(now, happened, began*max(1, sends)) != nil; began++ {
	}
	return began
}

func TestFanOutsWaitWhereThatPays(t *testing.T) {
	const lag = 100 * time.Millisecond
	start := time.Now()
	for _, c := range []struct {
		name     string
		lag      time.Duration
		gap      time.Duration // since each began last
		age      time.Duration // how long they have waited
		happened bool
		sends    int // of each
		want     int // of 1,000 that begin in a round
	}{
		{"seldom", lag, lag, 0, true, 5, 52},
		{"often", lag, lag - 1, 0, true, 5, 4},
		{"often, and nothing else happens", lag, 0, 0, false, 5, 52},
		{"often, nearly late", lag, 0, lag - 1, true, 5, 4},
		{"often, and late", lag, 0, lag, true, 5, 205},
		{"often, and large", lag, 0, 0, true, 64, 1},
		{"often, and late and large", lag, 0, lag, true, 64, 16},
		{"seldom, and late", lag, lag, lag, true, 5, 205},
		{"often, and nobody there", lag, 0, 0, true, 0, 16},
		{"without a lag", 0, 0, 0, true, 5, 205},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fanOuts{lag: c.lag}
			for i := range 1000 {
				f.add(&telling{number: i, began: start.Add(-c.gap)}, start)
			}
			now := start.Add(c.age)
			if got := f.behind(now); got != c.age {
				t.Errorf("behind by %v, not %v", got, c.age)
			}
			if got := begin(&f, now, c.happened, c.sends); got != c.want {
				t.Errorf("%d began, not %d", got, c.want)
			}
		})
	}
}

// Whether it pays to wait follows what comes.
func TestFanOutsNoticeWhenWaitingPaysNoMore(t *testing.T) {
	f := fanOuts{lag: time.Second}
	now := time.Now()
	add := func(n int, gap time.Duration) {
		for range n {
			f.add(&telling{began: now.Add(-gap)}, now)
			f.next(now, false, 0)
		}
	}
	for range 3 {
		if add(5000, 2*time.Second); f.pays() {
			t.Fatal("all are seldom, and should wait")
		}
		if add(5000, time.Second/2); !f.pays() {
			t.Fatal("all are frequent, and should not wait")
		}
	}
}

// All begin, once and in the order they came in, none later than the lag where a
// round has room for all that comes.
func TestFanOutsBeginInOrder(t *testing.T) {
	const lag = 50 * time.Millisecond
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's dice
	f := fanOuts{lag: lag}
	now := time.Now()
	came, begun := 0, 0
	var since []time.Time
	for round := 0; round < 20_000 || f.len() > 0; round++ {
		if round < 20_000 {
			for range r.IntN(40) {
				f.add(&telling{number: came, began: now}, now)
				since = append(since, now)
				came++
			}
		}
		now = now.Add(time.Millisecond)
		for sent := 0; ; sent += 1 + r.IntN(3) {
			o := f.next(now, r.IntN(1000) > 0, sent)
			if o == nil {
				break
			}
			if n := o.(*telling).number; n != begun {
				t.Fatalf("%d began after %d", n, begun-1)
			}
			if late := now.Sub(since[begun]) - lag; late > time.Millisecond {
				t.Fatalf("%d began %v after the lag", begun, late)
			}
			begun++
		}
		if f.behind(now) > lag {
			t.Fatalf("round %d: behind by %v", round, f.behind(now))
		}
		if n := len(f.waiting); n > 2*f.len()+1 {
			t.Fatalf("%d places for %d", n, f.len())
		}
	}
	if begun != came {
		t.Errorf("%d began of %d", begun, came)
	}
}
