package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Result is all that a bench measured.
type Result struct {
	Date        time.Time `json:"date"`
	Machine     Machine   `json:"machine"`
	Server      string    `json:"server"` // its URL; empty for servers of the bench's own
	Engine      string    `json:"engine,omitempty"`
	Duration    string    `json:"duration"` // of each figure
	Figures     []*Figure `json:"figures"`
	Interrupted bool      `json:"interrupted,omitempty"`
}

// Faults are those of all figures.
func (r *Result) Faults() (all Faults) {
	for _, f := range r.Figures {
		all.add(&f.Faults)
	}
	return all
}

// session is a bench under way.
type session struct {
	o       *Options
	base    context.Context // is not cancelled: for what must be done at the end
	clock   clock
	target  *target
	driver  driver
	child   *child
	meter   meter
	engine  string // of the server, as far as it is known
	figures []*Figure
	seated  int // readers so far, on this server
}

// Run measures. When ctx ends, it returns what was measured until then, and no
// error.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if o.PID > 0 {
		if _, err := processCPU(o.PID); err != nil {
			return nil, fmt.Errorf("process %d: %w", o.PID, err)
		}
	}
	s := &session{o: &o, base: context.WithoutCancel(ctx), clock: clock{time.Now()}}
	plans := plansOf(&o)
	o.note("%s", plans)
	var failed error
	for _, p := range plans {
		if ctx.Err() != nil {
			break
		}
		o.note("%s: %s", p.scenario.name, p.scenario.does(&o))
		if failed = s.perform(ctx, p); failed != nil {
			failed = fmt.Errorf("%s: %w", p.scenario.name, failed)
			break
		}
	}
	r := &Result{
		Date: s.clock.began.UTC().Truncate(time.Second), Machine: ThisMachine(), Server: o.Server, Engine: s.engine,
		Duration: o.Duration.String(), Figures: s.figures, Interrupted: ctx.Err() != nil,
	}
	if ctx.Err() != nil {
		failed = nil // what failed then is no more than late
	}
	return r, failed
}

// perform runs a scenario within its time, on a server and a driver of its own.
func (s *session) perform(ctx context.Context, p plan) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.most, errTooLong)
	defer cancel()
	if err := s.fresh(ctx); err != nil {
		s.leave()
		return err
	}
	err := p.scenario.run(ctx, s)
	s.leave()
	if errors.Is(err, context.Canceled) {
		return nil // the figures say that they were interrupted
	}
	return err
}

var errTooLong = errors.New("this took too long: the server, or this machine, is overloaded")

// fresh leaves what there was, and begins anew: with a new server, if it is the
// bench's own.
func (s *session) fresh(ctx context.Context) error {
	s.leave()
	s.seated = 0
	server := s.o.Server
	s.meter = meter{pid: s.o.PID, clock: s.clock}
	if server == "" {
		c, err := startChild(ctx, s.o.Program, s.o.Engine)
		if err != nil {
			return err
		}
		s.child, server = c, c.url
		s.meter.pid, s.engine = c.cmd.Process.Pid, s.o.Engine
		if _, err := processCPU(s.meter.pid); errors.Is(err, errors.ErrUnsupported) {
			s.meter.pid = 0
		}
	}
	var err error
	if s.target, err = newTarget(ctx, server, s.o.Headers); err != nil {
		return &UsageError{[]string{err.Error()}}
	}
	if err := s.target.choose(ctx); err != nil {
		return err
	}
	s.meter.hidden = s.meter.pid == 0 && s.target.here()
	s.driver, err = s.target.driver(s.base, s.clock)
	return err
}

func (s *session) leave() {
	if s.driver != nil {
		s.driver.close()
		s.driver = nil
	}
	if s.child != nil {
		s.child.stop()
		s.child = nil
	}
}

// forget deletes channels of a server that goes on.
func (s *session) forget(channels []*channel) {
	if s.child == nil {
		s.remove(channels)
	}
}

// remove deletes channels, also when the bench was told to end.
func (s *session) remove(channels []*channel) {
	ctx, cancel := context.WithTimeout(s.base, patience)
	defer cancel()
	s.target.remove(ctx, channels)
}

// newFigure begins a figure and shows its name.
func (s *session) newFigure(scenario, name, did string, args ...any) *Figure {
	f := &Figure{Scenario: scenario, Case: name, Did: fmt.Sprintf(did, args...)}
	s.o.status("%s, %s", scenario, name)
	return f
}

// keep adds a figure to the result.
func (s *session) keep(ctx context.Context, f *Figure) {
	f.Interrupted, f.Engine = ctx.Err() != nil, s.engine
	s.figures = append(s.figures, f)
	s.o.note("  %s: %s", f.Case, f.headline())
}

// seat makes readers of a group, spread over channels.
func (s *session) seat(g *group, n int, channels []*channel) []*reader {
	s.target.prepare(g)
	readers := make([]*reader, n)
	for i := range readers {
		c := channels[i%len(channels)]
		readers[i] = &reader{group: g, id: s.seated, channel: c, offset: c.tail, due: 1, safe: 1}
		s.seated++
	}
	return readers
}

// connect opens readers and waits until all are ready.
func (s *session) connect(ctx context.Context, readers []*reader) error {
	s.driver.open(readers)
	shown := s.clock.now()
	ready, changed := 0, shown
	err := await(ctx, s.driver, 2*time.Millisecond, func() bool {
		before := ready
		ready = 0
		for _, r := range readers {
			if r.ready || r.failed != nil {
				ready++
			}
		}
		now := s.clock.now()
		if now-shown > int64(showEvery) {
			shown = now
			s.o.status("connecting: %d of %d readers", ready, len(readers))
		}
		if ready != before {
			changed = now
		}
		return ready == len(readers) || now-changed > int64(patience)
	})
	if err != nil {
		return err
	}
	if ready < len(readers) {
		return fmt.Errorf("the server answered %d of %d readers, and in %s no more", ready, len(readers), patience)
	}
	refused, why := 0, error(nil)
	s.driver.do(func() {
		for _, r := range readers {
			if r.failed != nil {
				refused, why = refused+1, r.failed
			}
		}
	})
	if refused > 0 {
		return fmt.Errorf("%d of %d readers got no connection, for example: %w", refused, len(readers), why)
	}
	return nil
}

const showEvery = 200 * time.Millisecond

// watch shows how deliveries go until the function it returns is called.
func (s *session) watch(f *Figure, groups []*group) (stop func()) {
	if s.o.Status == nil {
		return func() {}
	}
	d, began := s.driver, s.clock.now()
	ctx, cancel := context.WithCancel(s.base)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for rest(ctx, showEvery) == nil {
			var delivered, responses int64
			d.do(func() {
				for _, g := range groups {
					delivered += g.delivered
					responses += g.responses
				}
			})
			s.o.status("%s, %s: %.1f s, %d deliveries, %d responses", f.Scenario, f.Case,
				float64(s.clock.now()-began)/1e9, delivered, responses)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// deliver publishes to readers and measures until all have everything.
func (s *session) deliver(ctx context.Context, f *Figure, readers []*reader, groups []*group, l *load) error {
	defer s.watch(f, groups)()
	f.Readers = len(readers)
	sp := s.begin(groups...)
	done, err := l.run(ctx, s.target, s.clock)
	s.drain(readers, s.quiet())
	f.took(l, done)
	sp.until = done.ended
	sp.end(f)
	if f.Server != nil {
		f.Server.PerPublish = ratio(f.Server.CPU*1e6, float64(f.Published))
	}
	s.durability(done)
	s.keep(ctx, f)
	return err
}

// quiet is how long nothing may come before what is missing counts as lost.
func (s *session) quiet() time.Duration { return 5*time.Second + s.o.interval() }

// durability tells the engine of a server that is not the bench's own, as far
// as its acknowledgements do.
func (s *session) durability(done *loaded) {
	if s.child == nil && done.durability != "" {
		s.engine = done.durability
	}
}
