package bench

import (
	"context"
	"fmt"
)

func idleScenario() *scenario {
	return &scenario{
		name: "idle",
		does: func(o *Options) string {
			return fmt.Sprintf("%s wait, all on one channel, then each on its own, by WebSocket also each on several; nothing is published", count(o.Readers, "reader"))
		},
		figures: func(o *Options) int { return len(idlers(o)) },
		run: func(ctx context.Context, s *session) error {
			for i, c := range idlers(s.o) {
				if i > 0 { // memory that the last readers left would be used again
					if err := s.fresh(ctx); err != nil {
						return err
					}
				}
				if err := s.idle(ctx, c); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// idler is a way to wait.
type idler struct {
	transport Transport
	name      string
	channels  int // over which readers are spread
	each      int // that each reader follows instead, 0 is one of them
}

// manyEach is how many channels each reader follows who follows several.
const manyEach = 20

func idlers(o *Options) (all []idler) {
	for _, t := range o.Transports {
		all = append(all, idler{t, "one channel", 1, 0}, idler{t, "own channels", o.Readers, 0})
		if n := min(o.Channels, manyEach); t == WebSocket && n > 1 {
			all = append(all, idler{t, fmt.Sprintf("%d channels each", n), n, n})
		}
	}
	return all
}

// idle connects readers and lets them wait.
func (s *session) idle(ctx context.Context, c idler) error {
	t, n := c.transport, c.channels
	f := s.newFigure("idle", fmt.Sprintf("%s, %s", t, c.name), "%s by %s on %s connect, then wait", count(s.o.Readers, "reader"), t, count(n, "channel"))
	f.Transport, f.Readers, f.Channels, f.Each, f.Connects = t, s.o.Readers, n, c.each, s.o.Readers
	empty := s.memory() // a reader's own channel counts as the reader's
	made, err := s.target.create(ctx, n)
	defer func() { s.forget(made) }()
	if err != nil {
		return err
	}
	g := &group{transport: t, budget: s.o.Budget, interval: s.o.interval()}
	at := made
	if c.each > 0 {
		at, g.more = made[:1], made[1:]
	}
	readers := s.seat(g, s.o.Readers, at)
	sp := s.begin(g)
	sp.memory = empty
	if err := s.connect(ctx, readers); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	connected := s.meter.read().since(sp.from)
	begun := s.meter.read()
	_ = rest(ctx, s.o.Duration) // cut short, it counts for as long as it was
	idle := s.meter.read().since(begun)
	s.drain(readers, 0)
	sp.end(f)
	f.Seconds = float64(idle.at) / 1e9
	if f.Server != nil {
		f.Server.PerConnect = float64(connected.server) / 1e3 / float64(len(readers))
		f.Server.Idle = ratio(float64(idle.server)/1e6, float64(idle.at)/1e9)
		f.Server.PerReader = max(0, float64(*f.Server.Grown)/float64(len(readers)))
	}
	s.keep(ctx, f)
	return nil
}
