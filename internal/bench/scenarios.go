package bench

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"
)

type runFunc = func(ctx context.Context, s *session) error

// settle leaves the server time to finish what it does, between figures.
func (s *session) settle(ctx context.Context) error {
	return rest(ctx, min(300*time.Millisecond, s.o.Duration/2))
}

// pace is one way to publish in a scenario.
type pace struct {
	name string
	rate float64 // records a second
	bulk int
	many bool
}

// paces are what a scenario publishes at: what the options say, else a usual
// rate, bulk requests and as fast as it goes.
func (o *Options) paces(usual float64, many bool) []pace {
	switch {
	case o.Rate != nil && *o.Rate == 0:
		return []pace{{"max", 0, 1, false}}
	case o.Rate != nil:
		return []pace{{fmt.Sprintf("%g/s", *o.Rate), *o.Rate, 1, false}}
	}
	return []pace{
		{fmt.Sprintf("%g/s", usual), usual, 1, false},
		{"max", 0, 1, false},
		{fmt.Sprintf("bulk %d", o.Bulk), 0, o.Bulk, many},
	}
}

func (p pace) String() string {
	switch {
	case p.bulk > 1:
		return fmt.Sprintf("in requests of %d records, as fast as they are acknowledged", p.bulk)
	case p.rate == 0:
		return "one by one, as fast as they are acknowledged"
	}
	return fmt.Sprintf("one by one, %g a second", p.rate)
}

func fanoutScenario() *scenario {
	return &scenario{
		name:    "fanout",
		does:    func(o *Options) string { return fmt.Sprintf("one channel, %s", count(o.Readers, "reader")) },
		figures: func(o *Options) int { return len(o.Transports) * len(o.paces(10, false)) },
		run: func(ctx context.Context, s *session) error {
			return s.spread(ctx, "fanout", 1, s.o.Readers, s.o.paces(10, false))
		},
	}
}

func channelsScenario() *scenario {
	usual := func(o *Options) float64 { return float64(max(1, o.Channels)) }
	return &scenario{
		name: "channels",
		does: func(o *Options) string {
			return fmt.Sprintf("%s, %s, spread evenly", count(o.Channels, "channel"), count(max(o.Readers, o.Channels), "reader"))
		},
		figures: func(o *Options) int { return len(o.Transports) * len(o.paces(usual(o), true)) },
		run: func(ctx context.Context, s *session) error {
			return s.spread(ctx, "channels", s.o.Channels, max(s.o.Readers, s.o.Channels), s.o.paces(usual(s.o), true))
		},
	}
}

// spread publishes at each pace to n readers of some channels, by each transport.
func (s *session) spread(ctx context.Context, name string, channels, n int, paces []pace) error {
	for i, t := range s.o.Transports {
		if i > 0 {
			if err := s.fresh(ctx); err != nil {
				return err
			}
		}
		if err := s.spreadBy(ctx, t, name, channels, n, paces); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) spreadBy(ctx context.Context, t Transport, name string, channels, n int, paces []pace) error {
	made, err := s.target.create(ctx, channels)
	defer s.forget(made)
	if err != nil {
		return err
	}
	g := &group{transport: t, budget: s.o.Budget, interval: s.o.interval()}
	readers := s.seat(g, n, made)
	defer s.driver.drop(readers)
	if err := s.connect(ctx, readers); err != nil {
		return err
	}
	for _, p := range paces {
		if err := s.settle(ctx); err != nil {
			return err
		}
		f := s.newFigure(name, fmt.Sprintf("%s, %s", t, p.name), "%s by %s on %s; records of %d bytes are published %s",
			count(n, "reader"), t, count(channels, "channel"), s.o.Size, p)
		f.Transport, f.BudgetMS = t, float64(s.o.Budget)/1e6
		if err := s.deliver(ctx, f, readers, []*group{g}, s.loadAt(p, made, n/channels)); err != nil {
			return err
		}
	}
	return nil
}

// loadAt is a load at a pace, whose deliveries are bounded, too.
func (s *session) loadAt(p pace, channels []*channel, readersEach int) *load {
	publishers := s.o.Publishers
	if publishers == 0 {
		publishers = min(4, len(channels))
	}
	const mostDeliveries = 20_000_000
	return &load{
		channels: channels, publishers: publishers, rate: p.rate, size: s.o.Size, bulk: p.bulk, many: p.many, lasts: s.o.Duration,
		records: min(s.o.mostRecords(s.o.Size), max(1, mostDeliveries/max(1, readersEach))),
	}
}

// way is one way to publish where nobody reads.
type way struct {
	name, did               string
	publishers, bulk, depth int
}

func (o *Options) ways() []way {
	const many, ahead = 16, 32
	n := o.Publishers
	if n == 0 {
		n = many
	}
	return []way{
		{"1 connection", "one connection publishes one by one", 1, 1, 1},
		{fmt.Sprintf("%d connections", n), fmt.Sprintf("%d connections publish one by one, each to its channel", n), n, 1, 1},
		{fmt.Sprintf("bulk %d", o.Bulk), fmt.Sprintf("one connection publishes %d records in a request", o.Bulk), 1, o.Bulk, 1},
		{"pipelined", fmt.Sprintf("one connection publishes one by one, %d requests ahead of their answers", ahead), 1, 1, ahead},
	}
}

func publishScenario() *scenario {
	return &scenario{
		name:    "publish",
		does:    func(o *Options) string { return fmt.Sprintf("nobody reads; records of %d bytes", o.Size) },
		figures: func(o *Options) int { return len(o.ways()) },
		run: func(ctx context.Context, s *session) error {
			for _, w := range s.o.ways() {
				if err := s.publish(ctx, w); err != nil {
					return err
				}
				if err := s.settle(ctx); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (s *session) publish(ctx context.Context, w way) error {
	made, err := s.target.create(ctx, w.publishers)
	defer s.remove(made) // the next figure may need the room
	if err != nil {
		return err
	}
	f := s.newFigure("publish", w.name, "%s, records of %d bytes", w.did, s.o.Size)
	rate := 0.0
	if s.o.Rate != nil {
		rate = *s.o.Rate
	}
	return s.deliver(ctx, f, nil, nil, &load{
		channels: made, publishers: w.publishers, rate: rate, size: s.o.Size, bulk: w.bulk, depth: w.depth,
		lasts: s.o.Duration, records: s.o.mostRecords(s.o.Size),
	})
}

func resumeScenario() *scenario {
	return &scenario{
		name: "resume",
		does: func(o *Options) string {
			return fmt.Sprintf("%s of one channel leave, miss %s, and come back all at once", count(o.Readers, "reader"), count(o.Missed, "record"))
		},
		figures: func(o *Options) int { return len(o.Transports) },
		run: func(ctx context.Context, s *session) error {
			for i, t := range s.o.Transports {
				if i > 0 {
					if err := s.fresh(ctx); err != nil {
						return err
					}
				}
				if err := s.resume(ctx, t); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (s *session) resume(ctx context.Context, t Transport) error {
	made, err := s.target.create(ctx, 1)
	defer func() { s.forget(made) }()
	if err != nil {
		return err
	}
	g := &group{transport: t, budget: s.o.Budget, interval: s.o.interval()}
	readers := s.seat(g, s.o.Readers, made)
	if err := s.connect(ctx, readers); err != nil {
		return err
	}
	missed := min(s.o.Missed, s.o.mostRecords(s.o.Size))
	f := s.newFigure("resume", string(t), "%s by %s leave, miss %d records of %d bytes, and come back at once with their offsets", count(len(readers), "reader"), t, missed, s.o.Size)
	f.Transport, f.Readers, f.Connects = t, len(readers), len(readers)
	before := &load{channels: made, size: s.o.Size, bulk: 1, lasts: patience, records: 3}
	if _, err := before.run(ctx, s.target, s.clock); err != nil {
		return err
	}
	s.drain(readers, s.quiet())
	s.driver.drop(readers)
	away := &load{channels: made, size: s.o.Size, bulk: bulkOf(missed, s.o.Bulk), lasts: patience, records: missed}
	done, err := away.run(ctx, s.target, s.clock)
	if err := cmp.Or(err, ctx.Err(), s.settle(ctx)); err != nil {
		return err
	}
	early := g.faults // of the time before they left; begin forgets them
	defer s.watch(f, []*group{g})()
	sp := s.begin(g)
	for _, r := range readers { // nobody else has them yet
		r.goal, r.since = made[0].published, sp.from.at
	}
	if err := s.connect(ctx, readers); err != nil {
		return err
	}
	s.drain(readers, s.quiet())
	f.took(away, done)
	sp.end(f)
	f.Latency, f.Ack, f.PublishedPS = nil, nil, 0 // what matters is when they have caught up
	f.Faults.add(&early)
	if f.Server != nil {
		f.Server.PerResume = f.Server.CPU * 1e6 / float64(len(readers))
	}
	s.keep(ctx, f)
	return nil
}

// bulkOf is a number of records in a request that divides all of them.
func bulkOf(records, most int) int {
	for n := min(most, records); ; n-- {
		if records%n == 0 {
			return n
		}
	}
}

// The cases of polling.
const (
	pollEmpty     = "nothing new"
	pollUnchanged = "unchanged (304)"
	pollTen       = "ten records"
)

func pollScenario() *scenario {
	return &scenario{
		name: "poll",
		does: func(o *Options) string {
			return fmt.Sprintf("%d connections poll again as soon as they are answered", pollers(o))
		},
		figures: func(*Options) int { return 3 },
		run: func(ctx context.Context, s *session) error {
			made, err := s.target.create(ctx, 1)
			defer func() { s.forget(made) }()
			if err != nil {
				return err
			}
			c := made[0]
			p, err := s.target.publisher(ctx)
			if err != nil {
				return err
			}
			defer p.close()
			ten := &part{publisher: p, load: &load{bulk: 10, size: s.o.Size}, clock: s.clock, channels: made, acks: newHistogram(), record: newRecord(s.o.Size)}
			if err := ten.round(s.clock.now()); err != nil {
				return err
			}
			start, tail := c.tail, p.offset
			return cmp.Or(
				s.poll(ctx, &group{transport: Poll, again: true}, pollEmpty, "at the tail", made, tail, [2]uint64{11, 10}),
				s.poll(ctx, &group{transport: Poll, again: true, validate: true}, pollUnchanged, "at the tail, with the ETag of the last answer", made, tail, [2]uint64{11, 10}),
				s.poll(ctx, &group{transport: Poll, again: true}, pollTen, "where ten records follow", made, start, [2]uint64{1, 10}),
			)
		},
	}
}

func pollers(o *Options) int { return min(32, o.Readers) }

// poll asks for the same page again and again.
func (s *session) poll(ctx context.Context, g *group, name, where string, channels []*channel, offset string, page [2]uint64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	n := pollers(s.o)
	f := s.newFigure("poll", name, "%d connections poll %s, again as soon as they are answered", n, where)
	f.Transport, f.Readers, f.Channels = Poll, n, 1
	readers := s.seat(g, n, channels)
	for _, r := range readers {
		r.offset, r.page = offset, page
	}
	if err := s.connect(ctx, readers); err != nil {
		return err
	}
	stop := s.watch(f, []*group{g})
	sp := s.begin(g)
	_ = rest(ctx, s.o.Duration)
	stop()
	sp.end(f)
	s.driver.drop(readers)
	f.Latency, f.Deliveries, f.DeliveriesPS, f.BytesPerDelivery = nil, 0, 0, 0 // the same records again and again
	if f.Server != nil {
		f.Server.PerDelivery = 0
		f.Server.PerResponse = ratio(f.Server.CPU*1e6, float64(f.Responses))
	}
	for _, r := range readers {
		if r.failed != nil {
			return fmt.Errorf("%s: %w", r, r.failed)
		}
	}
	s.keep(ctx, f)
	return nil
}

// percent is a part of n, at least one.
func percent(n int, p float64) int { return max(1, int(math.Round(float64(n)*p/100))) }
