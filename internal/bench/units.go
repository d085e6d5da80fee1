package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"twohop/internal/budget"
)

// sample is a measurement that plans are made or judged by.
type sample struct {
	scenario string
	o        Options // what is not the default
}

// The samples that units are made from. Sizes, numbers and rates are others
// than those of the loads that units are judged by.
func samples() map[string]sample {
	rate := func(r float64) *float64 { return &r }
	sse, webSocket, longPoll, polls := []Transport{SSE}, []Transport{WebSocket}, []Transport{LongPoll}, []Transport{Poll}
	return map[string]sample{
		"publish":   {"publish", Options{}},
		"collect":   {"fanout", Options{Transports: sse, Readers: 100, Rate: rate(seldomPublished), Budget: time.Second}},
		"sse":       {"fanout", Options{Transports: sse, Readers: 1200, Rate: rate(budget.Often)}},
		"large":     {"fanout", Options{Transports: sse, Readers: 1200, Rate: rate(budget.Seldom), Size: largeSample}},
		"ws":        {"fanout", Options{Transports: webSocket, Readers: 1200, Rate: rate(budget.Often)}},
		"long-poll": {"fanout", Options{Transports: longPoll, Readers: 600, Rate: rate(budget.Often)}},

		"sse, seldom":       {"fanout", Options{Transports: sse, Readers: 1200, Rate: rate(budget.Seldom)}},
		"ws, seldom":        {"fanout", Options{Transports: webSocket, Readers: 1200, Rate: rate(budget.Seldom)}},
		"long-poll, seldom": {"fanout", Options{Transports: longPoll, Readers: 1200, Rate: rate(budget.Seldom)}},

		"poll":          {"poll", Options{}},
		"publish often": {"fanout", Options{Transports: sse, Readers: 10, Rate: rate(oftenPublished), Budget: time.Second}},
		"poll often":    {"fanout", Options{Transports: polls, Readers: 1200, Rate: rate(4), Budget: 250 * time.Millisecond}},

		"at times": {"fanout", Options{Transports: polls, Readers: 1200, Rate: rate(4), Budget: time.Second}},
	}
}

// Publishes a second of a server that is woken for them seldom, and often.
const (
	seldomPublished = 10
	oftenPublished  = 1000
)

const largeSample = 32 << 10

// measured is what samples gave.
type measured map[string][]*Figure

// inTurn is the order of samples: those that are compared stand together, because
// what things cost changes with what else the machine does.
var inTurn = []string{
	"publish", "publish often", "poll", "sse", "load 1", "collect", "load 2", "ws", "load 3", "ws, seldom", "sse, seldom", "large",
	"long-poll", "load 4", "long-poll, seldom", "at times", "load 5", "poll often", "load 6",
}

// measureSamples runs samples, each on a server of its own.
func measureSamples(ctx context.Context, o Options, all map[string]sample) (measured, error) {
	m := measured{}
	for _, name := range inTurn {
		s, ok := all[name]
		if !ok {
			continue
		}
		so := o
		so.Scenarios, so.Transports, so.Readers, so.Rate, so.Budget = []string{s.scenario}, s.o.Transports, s.o.Readers, s.o.Rate, s.o.Budget
		if s.o.Channels > 0 {
			so.Channels = s.o.Channels
		}
		if s.o.Size > 0 {
			so.Size = s.o.Size
		}
		if o.Readers > 0 && so.Readers > 0 {
			so.Readers = min(so.Readers, o.Readers)
		}
		r, err := Run(ctx, so)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if r.Interrupted || len(r.Figures) == 0 {
			return nil, context.Canceled
		}
		if f := r.Faults(); f.Any() {
			return nil, fmt.Errorf("%s: %s", name, f.Summary())
		}
		for _, f := range r.Figures {
			if f.Server == nil {
				return nil, errCostsUnknown
			}
		}
		m[name] = r.Figures
	}
	return m, nil
}

// cores is the CPU that a server used, in cores, for the time that it was loaded.
func (f *Figure) cores() float64 { return ratio(f.Server.CPU, f.Seconds) }

// units makes units of the samples; idle are the figures of readers that wait.
func (m measured) units(idle []*Figure) budget.Units {
	u := unitsOf{budget.Units{
		Write: map[Transport]budget.Pace{}, Connect: map[Transport]float64{}, Idle: map[Transport]float64{},
		Memory: map[Transport]float64{}, Channel: map[Transport]float64{}, Framing: map[Transport]float64{},
	}}
	for _, f := range idle { // all on one channel, then each on its own, then each on several
		t := f.Transport
		if f.Each > 0 {
			u.Cursor = max(0, f.Server.PerReader-u.Memory[t]) / float64(f.Each-1)
			continue
		}
		u.Connect[t], u.Idle[t] = f.Server.PerConnect, f.Server.Idle*1000/float64(f.Readers)
		if f.Channels == 1 {
			u.Memory[t] = f.Server.PerReader
		} else {
			u.Channel[t] = max(0, f.Server.PerReader-u.Memory[t])
		}
	}
	for _, f := range m["publish"] {
		if f.Publishers > 1 {
			u.Publish.Busy = f.Server.PerPublish
		}
	}
	for _, f := range m["poll"] {
		switch f.Case {
		case pollEmpty:
			u.Poll.Busy, u.Framing[Poll] = f.Server.PerResponse, f.BytesPerResponse-1
		case pollUnchanged:
			u.Unchanged = f.BytesPerResponse
		}
	}
	// Both have the same number of writes, so the rest is bytes.
	sse, seldom, large := m["sse"][0], m["sse, seldom"][0], m["large"][0]
	more := float64(large.RecordBytes-seldom.RecordBytes) / 1024
	u.KiB = max(0, large.Server.PerDelivery-seldom.Server.PerDelivery) / more
	// Framing: where records come seldom, each is a write even if the machine is busy.
	for _, f := range []*Figure{seldom, m["long-poll, seldom"][0]} {
		u.Framing[f.Transport] = f.BytesPerDelivery - float64(f.RecordBytes) - 1
	}
	// A publish that wakes the server, which mostly collects, and a write: each is
	// known when the other is.
	for range 3 {
		u.Write[SSE] = budget.Pace{Often: u.write(sse), Seldom: u.write(seldom)}
		u.Publish.Seldom, u.Publish.Often = u.collected(m["collect"][0]), u.collected(m["publish often"][0])
	}
	for _, t := range []Transport{WebSocket, LongPoll} {
		u.Write[t] = budget.Pace{Often: u.write(m[string(t)][0]), Seldom: u.write(m[string(t)+", seldom"][0])}
	}

	u.Poll.Seldom, u.Poll.Often = u.polled(m["at times"][0]), u.polled(m["poll often"][0])
	return u.Units
}

// unitsOf are units that are not all known yet.
type unitsOf struct{ budget.Units }

// write is the CPU of a write to one reader, without its bytes, where each record
// was a write.
func (u *unitsOf) write(f *Figure) float64 {
	published := float64(f.Published) / f.Seconds
	wakes := u.Publish.Wakes(published)
	busy := f.cores()*(1+wakes) - wakes
	return max(0, ratio(ratio(busy*1e6, published)-u.Publish.Busy, float64(f.Readers))-float64(f.RecordBytes)/1024*u.KiB)
}

// collected is how often a server was woken by publishes, and by timers of
// readers that collect, and what that took.
func (u *unitsOf) collected(f *Figure) budget.Wakes {
	published := float64(f.Published) / f.Seconds
	writes := ratio(float64(f.BytesRead)-float64(f.Deliveries)*float64(f.RecordBytes+1), u.Framing[SSE]*f.Seconds)
	busy := published*u.Publish.Busy + writes*u.Write[SSE].Seldom + float64(f.BytesRead)/f.Seconds/1024*u.KiB
	return budget.Wakes{PerSecond: published + writes/float64(f.Readers), Cores: budget.Woken(f.cores(), busy/1e6)}
}

// polled is how often a server was polled, and what waking it for that took.
func (u *unitsOf) polled(f *Figure) budget.Wakes {
	polls := float64(f.Responses) / f.Seconds
	published := float64(f.Published) / f.Seconds
	busy := polls*u.Poll.Busy + published*u.Publish.Busy + float64(f.BytesRead)/f.Seconds/1024*u.KiB
	return budget.Wakes{PerSecond: polls, Cores: max(0, budget.Woken(f.cores(), busy/1e6)-u.Publish.Wakes(published))}
}

// medians are the medians of units that were measured several times.
func medians(all []budget.Units) budget.Units {
	m := func(of func(u *budget.Units) float64) float64 { return medianOf(all, of) }
	each := func(of func(u *budget.Units) map[Transport]float64) map[Transport]float64 {
		each := map[Transport]float64{}
		for t := range of(&all[0]) {
			each[t] = m(func(u *budget.Units) float64 { return of(u)[t] })
		}
		return each
	}
	wakes := func(of func(u *budget.Units) budget.Wakes) budget.Wakes {
		return budget.Wakes{
			PerSecond: m(func(u *budget.Units) float64 { return of(u).PerSecond }),
			Cores:     m(func(u *budget.Units) float64 { return of(u).Cores }),
		}
	}
	event := func(of func(u *budget.Units) budget.Event) budget.Event {
		return budget.Event{
			Busy:   m(func(u *budget.Units) float64 { return of(u).Busy }),
			Seldom: wakes(func(u *budget.Units) budget.Wakes { return of(u).Seldom }),
			Often:  wakes(func(u *budget.Units) budget.Wakes { return of(u).Often }),
		}
	}
	write := map[Transport]budget.Pace{}
	for t := range all[0].Write {
		write[t] = budget.Pace{
			Often:  m(func(u *budget.Units) float64 { return u.Write[t].Often }),
			Seldom: m(func(u *budget.Units) float64 { return u.Write[t].Seldom }),
		}
	}
	return budget.Units{
		Publish:   event(func(u *budget.Units) budget.Event { return u.Publish }),
		Poll:      event(func(u *budget.Units) budget.Event { return u.Poll }),
		Write:     write,
		Connect:   each(func(u *budget.Units) map[Transport]float64 { return u.Connect }),
		KiB:       m(func(u *budget.Units) float64 { return u.KiB }),
		Idle:      each(func(u *budget.Units) map[Transport]float64 { return u.Idle }),
		Memory:    each(func(u *budget.Units) map[Transport]float64 { return u.Memory }),
		Channel:   each(func(u *budget.Units) map[Transport]float64 { return u.Channel }),
		Cursor:    m(func(u *budget.Units) float64 { return u.Cursor }),
		Framing:   each(func(u *budget.Units) map[Transport]float64 { return u.Framing }),
		Unchanged: m(func(u *budget.Units) float64 { return u.Unchanged }),
	}
}

func medianOf[T any](all []T, of func(*T) float64) float64 {
	values := make([]float64, len(all))
	for i := range all {
		values[i] = of(&all[i])
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// idleFigures are of readers that wait, by all transports.
func idleFigures(ctx context.Context, o Options) ([]*Figure, error) {
	o.Scenarios, o.Transports = []string{"idle"}, nil
	r, err := Run(ctx, o)
	if err != nil {
		return nil, err
	}
	if r.Interrupted {
		return nil, context.Canceled
	}
	return r.Figures, nil
}
