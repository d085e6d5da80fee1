package bench

import (
	"context"
	"fmt"
	"time"
)

// Readers that stop reading fall behind by more than the buffers of their
// sockets hold, which takes so many bytes.
const stallBytes = 8 << 20

func slowScenario() *scenario {
	return &scenario{
		name: "slow",
		does: func(o *Options) string {
			n, stalled, size := slowOf(o)
			return fmt.Sprintf("%s, and %d that stop reading while records of %d bytes come, and go on later", count(n, "reader"), stalled, size)
		},
		figures: func(*Options) int { return 2 },
		run: func(ctx context.Context, s *session) error {
			t := s.o.Transports[0]
			if t == Poll {
				t = SSE // who polls cannot be slow
			}
			return s.slow(ctx, t)
		},
	}
}

// slowOf is how many read, how many stall, and the size of records. Few readers
// do: what matters is that they are not affected.
func slowOf(o *Options) (readers, stalled, size int) {
	readers = min(o.Readers, 100)
	return readers, percent(readers, 10), max(o.Size, 32<<10)
}

func (s *session) slow(ctx context.Context, t Transport) error {
	n, stalled, size := slowOf(s.o)
	made, err := s.target.create(ctx, 1)
	defer func() { s.forget(made) }()
	if err != nil {
		return err
	}
	quick := &group{transport: t, budget: s.o.Budget, interval: s.o.interval()}
	late := &group{transport: t, budget: s.o.Budget, interval: s.o.interval(), small: true}
	readers, sleepers := s.seat(quick, n, made), s.seat(late, stalled, made)
	all := append(append([]*reader(nil), readers...), sleepers...)
	if err := s.connect(ctx, all); err != nil {
		return err
	}
	records := stallBytes / size
	l := &load{
		channels: made, size: size, bulk: 1, lasts: s.o.Duration, rate: float64(records) / s.o.Duration.Seconds(), records: records,
	}
	f := s.newFigure("slow", "all read", "%s by %s, %d records of %d bytes; all of them read", count(len(all), "reader"), t, records, size)
	f.Transport = t
	if err := s.deliver(ctx, f, all, []*group{quick, late}, l); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}

	f = s.newFigure("slow", fmt.Sprintf("%d stop reading", stalled), "the same, but %d of them read nothing until the end; figures are those of the others", stalled)
	f.Transport = t
	s.driver.do(late.reset)
	s.driver.stall(sleepers, true)
	sp := s.begin(quick)
	defer s.watch(f, []*group{quick, late})()
	done, err := l.run(ctx, s.target, s.clock)
	s.drain(readers, s.quiet())
	f.Readers = n
	f.took(l, done)
	sp.end(f)
	state := &SlowState{Readers: stalled}
	s.driver.do(func() {
		for _, r := range sleepers {
			state.Behind += int64(made[0].published+1-r.due) / int64(stalled) //nolint:gosec // a count
		}
	})
	s.driver.stall(sleepers, false)
	state.Complete = s.drain(sleepers, s.quiet())
	s.driver.do(func() {
		f.Faults.add(&late.faults)
		f.Reconnects += late.reconnects
	})
	f.Slow = state
	s.keep(ctx, f)
	return err
}

func mixedScenario() *scenario {
	return &scenario{
		name: "mixed",
		does: func(o *Options) string {
			return fmt.Sprintf("%s by SSE, SSE with a budget, WebSocket, long poll and poll on the same channels, at once; half of those by SSE and WebSocket without a budget leave in between and resume", count(o.Readers, "reader"))
		},
		figures: func(*Options) int { return 1 },
		run:     func(ctx context.Context, s *session) error { return s.mixed(ctx) },
	}
}

// mixedBudget is the budget of readers in a mixture, where none is chosen.
const mixedBudget = 100 * time.Millisecond

func (s *session) mixed(ctx context.Context) error {
	made, err := s.target.create(ctx, min(s.o.Channels, max(1, s.o.Readers/10)))
	defer func() { s.forget(made) }()
	if err != nil {
		return err
	}
	budget := s.o.Budget
	if budget == 0 {
		budget = mixedBudget
	}
	kinds := []struct {
		name   string
		leaves bool // half of them leave in between
		group  *group
	}{
		{"sse", true, &group{transport: SSE}},
		{fmt.Sprintf("sse, budget %s", budget), false, &group{transport: SSE, budget: budget}},
		{"ws", true, &group{transport: WebSocket}},
		{"long-poll", false, &group{transport: LongPoll}},
		{fmt.Sprintf("poll each %s", s.o.interval()), false, &group{transport: Poll, interval: s.o.interval()}},
	}
	var groups []*group
	var readers, leaving []*reader
	seats := make([]int, len(kinds))
	for i, k := range kinds {
		groups = append(groups, k.group)
		some := s.seat(k.group, percent(s.o.Readers, 20), made)
		if k.leaves {
			leaving = append(leaving, some[:(len(some)+1)/2]...)
		}
		readers, seats[i] = append(readers, some...), len(some)
	}
	if err := s.connect(ctx, readers); err != nil {
		return err
	}
	rate := float64(len(made))
	if s.o.Rate != nil {
		rate = *s.o.Rate
	}
	l := s.loadAt(pace{rate: rate, bulk: 1}, made, len(readers)/len(made))

	f := s.newFigure("mixed", "all", "%s on %s, %g records a second; %d of them leave in between and resume", count(len(readers), "reader"), count(len(made), "channel"), rate, len(leaving))
	left := make(chan struct{})
	go func() { // deliver returns after it ended: their records are awaited
		defer close(left)
		third := s.o.Duration / 3
		if rest(ctx, third) == nil {
			s.driver.drop(leaving)
			_ = rest(ctx, third) // they come back in any case
			s.driver.open(leaving)
		}
	}()
	f.Connects = len(leaving)
	err = s.deliver(ctx, f, readers, groups, l)
	<-left
	s.driver.do(func() {
		for i, k := range kinds {
			part := &Figure{
				Scenario: "mixed", Case: k.name, Did: fmt.Sprintf("the readers of them by %s", k.name), Transport: k.group.transport,
				Engine: s.engine, Readers: seats[i], Seconds: f.Seconds, BudgetMS: float64(k.group.budget) / 1e6,
				Deliveries: k.group.delivered, Latency: percentilesOf(k.group.latency), Interrupted: f.Interrupted,
			}
			part.DeliveriesPS = ratio(float64(part.Deliveries), part.Seconds)
			s.figures = append(s.figures, part)
		}
	})
	return err
}
