package budget_test

import (
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"twohop/internal/budget"
)

// reference are the units that come with twohop.
var reference = func() *budget.Units {
	var costs struct{ Units budget.Units }
	if err := json.Unmarshal([]byte(budget.Reference), &costs); err != nil {
		panic(err)
	}
	return &costs.Units
}()

func drawLoad(t *rapid.T) budget.Load {
	l := budget.Load{
		Viewers:  rapid.IntRange(1, 10_000_000).Draw(t, "viewers"),
		Channels: rapid.IntRange(1, 100).Draw(t, "channels"),
		Rate:     rapid.Float64Range(0, 1000).Draw(t, "rate"),
		Size:     rapid.IntRange(1, 1<<20).Draw(t, "size"),
		Budget:   time.Duration(rapid.Int64Range(0, int64(budget.Max)).Draw(t, "budget")),
		Publish:  rapid.Bool().Draw(t, "publish"),
	}
	l.Of = l.Channels + rapid.IntRange(0, 100_000).Draw(t, "more channels")
	return l
}

// Every plan has a cheapest row that meets the budget, and figures that are
// figures.
func TestPlans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLoad(t)
		p := reference.Plan(l, 2)
		cheapest := 0
		for _, r := range p.Rows {
			if r.Cheapest {
				cheapest++
				if !r.Meets || r.Late > l.Budget {
					t.Fatalf("the cheapest is late: %+v", r)
				}
			}
			for _, v := range []float64{r.Requests, r.Writes, r.Connections, r.Egress, r.Cores, r.Memory, r.CacheRequests, r.CacheEgress} {
				if v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("no figures: %+v", r)
				}
			}
			if most := float64(r.Nodes) * 2 * budget.NodeCPU; r.Cores > most*1.0001 || r.Connections > float64(r.Nodes)*budget.NodeConnections {
				t.Fatalf("too few nodes: %+v", r)
			}
		}
		if cheapest != 1 {
			t.Fatalf("%d rows are the cheapest", cheapest)
		}
		meets := func(r *budget.Row) bool { return r.Meets }
		got := p.Cheapest(meets)
		for _, r := range p.Rows {
			if r.Meets && (r.Nodes < got.Nodes || r.Nodes == got.Nodes && got.Cores > r.Cores*1.2+0.011) {
				t.Fatalf("%+v is cheaper than %+v", r, got)
			}
			if r.Meets && r.Transport == p.Advice.Transport && got.Transport != r.Transport && r.Nodes <= got.Nodes && r.Cores <= got.Cores {
				t.Fatalf("%+v is advised and no dearer than %+v", r, got)
			}
		}
		if p.Cheapest(func(*budget.Row) bool { return false }) != nil {
			t.Fatal("nothing has a cheapest")
		}
	})
}

// More viewers, records or bytes never cost less.
func TestMoreIsNeverCheaper(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		less := drawLoad(t)
		more := less
		switch rapid.SampledFrom([]string{"viewers", "rate", "size", "of"}).Draw(t, "more") {
		case "viewers":
			more.Viewers += rapid.IntRange(1, 1_000_000).Draw(t, "by")
		case "rate":
			more.Rate += rapid.Float64Range(0.001, 1000).Draw(t, "by")
		case "size":
			more.Size += rapid.IntRange(1, 1<<20).Draw(t, "by")
		case "of":
			more.Of += rapid.IntRange(1, 1_000_000).Draw(t, "by")
		}
		a, b := reference.Plan(less, 2), reference.Plan(more, 2)
		for i := range a.Rows {
			x, y := &a.Rows[i], &b.Rows[i]
			const almost = 1 - 1e-9
			if y.Cores < x.Cores*almost || y.Writes < x.Writes*almost || y.Memory < x.Memory*almost || y.Requests < x.Requests*almost || y.Egress < x.Egress*almost {
				t.Fatalf("%+v costs more than %+v:\n%+v\n%+v", less, more, *x, *y)
			}
		}
	})
}

// A longer budget never costs more writes or bytes, but for heartbeats.
func TestABudgetSaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLoad(t)
		l.Budget = max(l.Budget, 1)
		short := reference.Plan(l, 2)
		longer := l
		longer.Budget = min(budget.Max, l.Budget+time.Duration(rapid.Int64Range(1, int64(budget.Max)).Draw(t, "longer")))
		long := reference.Plan(longer, 2)
		for i := range short.Rows {
			x, y := &short.Rows[i], &long.Rows[i]
			if x.Transport == budget.LongPoll || x.Transport == budget.Poll && x.Cached {
				continue // its headers name the budget; the cache's misses do not depend on it
			}
			const almost = 1 + 1e-9
			beats := float64(l.Viewers) * 17 / 15 // there may be more of these
			if y.Writes > x.Writes*almost || y.Egress > x.Egress*almost+beats || y.Requests > x.Requests*almost {
				t.Fatalf("%v costs more than %v:\n%+v\n%+v", longer.Budget, l.Budget, *y, *x)
			}
			if x.Budget > 0 && x.Writes > float64(l.Viewers)*min(l.Rate*float64(l.Channels), 1/x.Budget.Seconds())*almost {
				t.Fatalf("more than one write in a budget: %+v", *x)
			}
		}
	})
}

func TestWakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		busy, wakes := rapid.Float64Range(0, 0.99).Draw(t, "busy"), rapid.Float64Range(0, 100).Draw(t, "wakes")
		c := budget.Awake(busy, wakes)
		if c < busy-1e-9 || c > 1+1e-9 {
			t.Fatalf("%g cores", c)
		}
		if c < 0.999 {
			if w := budget.Woken(c, busy); math.Abs(w-wakes) > 1e-6*(1+wakes)*(1+wakes) {
				t.Fatalf("%g wakes became %g", wakes, w)
			}
		}
	})
	if c := budget.Awake(3, 5); c != 3 {
		t.Errorf("a server with work for 3 cores uses %g", c)
	}
}

// A cache in front asks the server no more often than the plan says, whatever
// the viewers' number and pace.
func TestCacheMisses(t *testing.T) {
	for _, rate := range []float64{0, 0.2, 1, 5, 20} {
		for _, viewers := range []int{1, 50, 3000} {
			l := budget.Load{Viewers: viewers, Channels: 1, Of: 1, Rate: rate, Size: 100, Budget: 3 * time.Second}
			row := reference.Plan(l, 2).Rows[0]
			const seconds = 120
			asked := simulateCache(viewers, rate, row.Interval.Seconds(), seconds)
			if got := float64(asked) / seconds; got > row.Requests*1.02+1.0/seconds {
				t.Errorf("%d viewers, %g records a second: the cache asks %.2f times a second, the plan says %.2f at most", viewers, rate, got, row.Requests)
			}
		}
	}
}

// simulateCache counts how often a cache asks the server for a channel whose
// viewers poll, each at its own moment.
func simulateCache(viewers int, rate, every, seconds float64) (asked int) {
	rnd := rand.New(rand.NewPCG(1, 2))
	tail := func(at float64) int { return int(at * rate) }
	type answer struct {
		until float64
		next  int
	}
	cache := map[int]answer{}
	at := make([]int, viewers)
	phase := make([]float64, viewers)
	for i := range at {
		phase[i] = rnd.Float64() * every
	}
	order := make([]int, viewers)
	for i := range order {
		order[i] = i
	}
	for i := range order { // by their moments
		for j := i; j > 0 && phase[order[j]] < phase[order[j-1]]; j-- {
			order[j], order[j-1] = order[j-1], order[j]
		}
	}
	const warm = 30.0
	for round := 0; float64(round)*every < warm+seconds; round++ {
		for _, v := range order {
			now := float64(round)*every + phase[v]
			if round == 0 { // offset=now is not cached
				at[v] = tail(now)
				continue
			}
			a, ok := cache[at[v]]
			if !ok || now >= a.until {
				a = answer{now + budget.CacheAge.Seconds(), tail(now)}
				cache[at[v]] = a
				if now >= warm && now < warm+seconds {
					asked++
				}
			}
			at[v] = a.next
		}
	}
	return asked
}

// Doing something more often never costs less in all, whatever was measured.
func TestPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := budget.Pace{Often: rapid.Float64Range(0, 100).Draw(t, "often"), Seldom: rapid.Float64Range(0, 1000).Draw(t, "seldom")}
		less := rapid.Float64Range(0, 100).Draw(t, "rate")
		more := less + rapid.Float64Range(0, 100).Draw(t, "by")
		if a, b := less*p.At(less), more*p.At(more); b < a*(1-1e-9) {
			t.Fatalf("%+v: %g a second cost %g, and %g cost %g", p, less, a, more, b)
		}
		if p.Seldom >= p.Often && p.Seldom < p.Often*2 && (p.At(budget.Often) != p.Often || math.Abs(p.At(budget.Seldom)-p.Seldom) > 1e-9*p.Seldom) {
			t.Fatalf("%+v is %g and %g where it was measured", p, p.At(budget.Often), p.At(budget.Seldom))
		}
	})
}

// What WebSocket costs changes its rows, and those only.
func TestWebSocketHasItsOwnCosts(t *testing.T) {
	load := budget.Load{Viewers: 1000, Channels: 3, Of: 10, Rate: 1, Size: 100, Budget: time.Second}
	before := reference.Plan(load, 2)
	dearer := *reference
	dearer.Write, dearer.Idle = maps.Clone(dearer.Write), maps.Clone(dearer.Idle)
	dearer.Memory, dearer.Channel = maps.Clone(dearer.Memory), maps.Clone(dearer.Channel)
	dearer.Write[budget.WebSocket] = budget.Pace{Often: 100, Seldom: 100}
	dearer.Idle[budget.WebSocket] += 10
	dearer.Memory[budget.WebSocket] += 1000
	dearer.Channel[budget.WebSocket] += 100
	for i, r := range dearer.Plan(load, 2).Rows {
		b := before.Rows[i]
		if r.Transport != budget.WebSocket {
			if r.Cores != b.Cores || r.Memory != b.Memory {
				t.Errorf("%+v became %+v", b, r)
			}
			continue
		}
		if r.Cores <= b.Cores || math.Abs(r.Memory-b.Memory-1000*1000-10*100) > 1e-3 || r.Egress != b.Egress {
			t.Errorf("%+v became %+v", b, r)
		}
	}
	dearer = *reference
	dearer.Cursor += 10 // of the two channels beside the first
	for i, r := range dearer.Plan(load, 2).Rows {
		if more := r.Memory - before.Rows[i].Memory; r.Transport != budget.Poll && math.Abs(more-1000*2*10) > 1e-3 || r.Transport == budget.Poll && more != 0 {
			t.Errorf("cursors cost %g bytes more: %+v", more, r)
		}
	}
}

// Heartbeats come where there is silence, and cost a write.
func TestHeartbeats(t *testing.T) {
	l := budget.Load{Viewers: 1_000_000, Channels: 1, Of: 1, Size: 100}
	silent := reference.Plan(l, 2)
	for _, r := range silent.Rows {
		var want float64 // cores: a write every 15 seconds, and the answer to a ping
		switch r.Transport {
		case budget.SSE:
			want = 1e6 / 15 * reference.Write[budget.SSE].Seldom / 1e6
		case budget.WebSocket:
			want = 1e6 / 15 * 1.5 * reference.Write[budget.WebSocket].Seldom / 1e6
		case budget.Poll, budget.LongPoll:
			continue
		}
		if r.Cores < want || r.Cores > want*1.5 || r.Writes != 0 {
			t.Errorf("%s: %g cores for heartbeats of about %g", r.Transport, r.Cores, want)
		}
	}
	l.Rate = 2
	busy := reference.Plan(l, 2)
	want := l.Rate*(reference.Write[budget.WebSocket].Seldom+float64(l.Size)/1024*reference.KiB) + reference.Idle[budget.WebSocket] + 1e-3
	for _, r := range busy.Rows {
		if r.Transport == budget.WebSocket && r.Cores > want {
			t.Errorf("%g cores, of which %g are for records", r.Cores, want)
		}
	}
}

// Wakes are those measured at the rates that they were measured at, and grow in
// between, but never faster than the rate.
func TestEventWakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cores := rapid.Float64Range(0.0001, 0.3)
		e := budget.Event{
			Seldom: budget.Wakes{PerSecond: rapid.Float64Range(1, 100).Draw(t, "seldom"), Cores: cores.Draw(t, "cores")},
			Often:  budget.Wakes{PerSecond: rapid.Float64Range(200, 5000).Draw(t, "often"), Cores: cores.Draw(t, "more cores")},
		}
		near := func(got, want float64) bool { return math.Abs(got-want) <= 1e-9*want }
		s, o := e.Seldom, e.Often
		if e.Wakes(0) != 0 || !near(e.Wakes(s.PerSecond), s.Cores) || !near(e.Wakes(s.PerSecond/4), s.Cores/4) {
			t.Fatalf("%+v: %g, %g and %g cores", e, e.Wakes(0), e.Wakes(s.PerSecond), e.Wakes(s.PerSecond/4))
		}
		grows := s.Cores <= o.Cores && o.Cores <= s.Cores*o.PerSecond/s.PerSecond
		if got := e.Wakes(o.PerSecond); grows && !near(got, o.Cores) {
			t.Fatalf("%+v: %g cores often", e, got)
		}
		rate := rapid.Float64Range(0.1, 10_000).Draw(t, "rate")
		if less, more := e.Wakes(rate), e.Wakes(2*rate); more < less || more > 2*less*(1+1e-9) {
			t.Fatalf("%+v: %g cores at %g, %g at twice that", e, less, rate, more)
		}
	})
}
