package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// load is a plan of publishing. Each channel has one publisher, so that the
// order of its records is known.
type load struct {
	channels   []*channel
	publishers int
	rate       float64 // records a second, all together; 0 is as fast as acknowledged
	size       int     // of a record
	bulk       int     // records in a request
	many       bool    // the records of a request are of many channels
	depth      int     // requests that are under way on a connection
	lasts      time.Duration
	records    int // at most
}

// loaded is what came of it.
type loaded struct {
	began, ended int64
	records      int
	requests     int
	bytes        int64 // of requests
	durability   string
	acks         *histogram // from when the request was due to its acknowledgement
	overdue      int        // records that were due at its rate, and are not acknowledged
	full         bool       // a publisher ended with the last record that it may publish
}

// run publishes. It returns what was acknowledged, also with an error. An end of
// ctx is no error: it ends the load early.
func (l *load) run(ctx context.Context, t *target, c clock) (*loaded, error) {
	n := max(1, min(l.publishers, len(l.channels)))
	parts := make([]*part, n)
	defer func() {
		for _, p := range parts {
			if p != nil {
				p.close()
			}
		}
	}()
	for k := range parts {
		p, err := t.publisher(context.WithoutCancel(ctx)) // acknowledgements are awaited to the end
		if err != nil {
			return &loaded{acks: newHistogram()}, err
		}
		parts[k] = &part{publisher: p, load: l, k: k, of: n, clock: c, acks: newHistogram()}
		for i := k; i < len(l.channels); i += n {
			parts[k].channels = append(parts[k].channels, l.channels[i])
		}
	}
	all := &loaded{began: c.now(), acks: newHistogram()}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for k, p := range parts {
		wg.Go(func() { errs[k] = p.run(ctx, all.began) })
	}
	wg.Wait()
	all.ended = c.now()
	for _, p := range parts {
		all.records += p.records
		all.requests += p.requests
		all.bytes += p.bytes
		all.overdue += p.overdue
		all.full = all.full || !p.goesOnAfter(p.records)
		all.durability = p.durability
		all.acks.Merge(p.acks)
	}
	return all, errors.Join(errs...)
}

// part is the work of one publisher.
type part struct {
	*publisher
	load     *load
	clock    clock
	k, of    int
	channels []*channel
	next     int // channel whose turn it is

	records, requests int
	overdue           int
	bytes             int64
	acks              *histogram
	record            []byte
	text              []byte
}

func (p *part) run(ctx context.Context, began int64) error {
	p.record = newRecord(p.load.size)
	if p.load.rate > 0 {
		return p.runAtRate(ctx, began)
	}
	p.within(p.load.lasts + patience) // a server that hangs ends the bench, too
	for p.goesOnAfter(p.records) && ctx.Err() == nil {
		due := p.clock.now()
		if due-began > int64(p.load.lasts) && p.records > 0 {
			return nil
		}
		if err := p.round(due); err != nil {
			return err
		}
	}
	return nil
}

// runAtRate publishes all that is due while the load lasts. What a server that
// stalls holds up until after that is sent nevertheless, or the stall would not
// count; patience bounds it.
func (p *part) runAtRate(ctx context.Context, began int64) error {
	end := began + int64(p.load.lasts)
	for i := 0; p.goesOnAfter(p.records); i++ {
		due := began + p.dueAt(i)
		if due > end {
			_ = rest(ctx, time.Duration(end-p.clock.now())) // a rate is per time, not per record
			return nil
		}
		if rest(ctx, time.Duration(due-p.clock.now())) != nil {
			return nil
		}
		now := p.clock.now()
		if now > end+int64(patience) {
			p.overdue = p.allDue() - p.records
			return nil
		}
		p.within(time.Duration(max(end-now, 0)) + patience) // a server that hangs ends the bench, too
		if err := p.round(due); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				p.overdue = p.allDue() - p.records
			}
			return err
		}
	}
	return nil
}

// dueAt is when a round is due, in nanoseconds from the beginning of the load.
func (p *part) dueAt(round int) int64 {
	between := 1e9 * float64(p.load.bulk*p.depth()) / p.load.rate // of all publishers
	return int64(between * float64(round*p.of+p.k))
}

// allDue is how many records are due while the load lasts.
func (p *part) allDue() (records int) {
	for i := 0; p.goesOnAfter(records) && p.dueAt(i) <= int64(p.load.lasts); i++ {
		records += p.load.bulk * p.depth()
	}
	return records
}

// goesOnAfter reports whether so many records are less than this publisher's
// share of what is published at most. One is published in any case.
func (p *part) goesOnAfter(records int) bool { return records < p.load.records/p.of || records == 0 }

func (p *part) depth() int { return max(1, p.load.depth) }

// round sends as many requests as may be under way, and awaits their answers.
func (p *part) round(due int64) error {
	for range p.depth() {
		p.compose(due)
	}
	p.bytes += int64(len(p.out))
	if err := p.send(); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	for range p.depth() {
		status, err := p.answer()
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if status != 204 && status != 200 {
			return p.refused("a publish was refused")
		}
		observe(p.acks, p.clock.now()-due)
		p.requests++
		p.records += p.load.bulk
	}
	return nil
}

// compose appends one request.
func (p *part) compose(due int64) {
	l := p.load
	if l.many {
		p.composeMany(due)
		return
	}
	c := p.turn()
	p.text = p.text[:0]
	if l.bulk > 1 {
		p.text = append(p.text, '[')
	}
	for i := range l.bulk {
		if i > 0 {
			p.text = append(p.text, ',')
		}
		p.appendRecord(c, due)
	}
	if l.bulk > 1 {
		p.text = append(p.text, ']')
	}
	p.add("POST "+p.target.streams()+c.name, "Content-Type: application/json\r\n", p.text)
}

// composeMany appends one request to many channels.
func (p *part) composeMany(due int64) {
	p.text = append(p.text[:0], '[')
	for i := range p.load.bulk {
		if i > 0 {
			p.text = append(p.text, ',')
		}
		c := p.turn()
		p.text = append(p.text, `{"channel":"`...)
		p.text = append(p.text, c.name...)
		p.text = append(p.text, `","records":[`...)
		p.appendRecord(c, due)
		p.text = append(p.text, "]}"...)
	}
	p.text = append(p.text, ']')
	p.add("POST "+p.target.prefix+"/v1/publish", "Content-Type: application/json\r\n", p.text)
}

func (p *part) turn() *channel {
	c := p.channels[p.next%len(p.channels)]
	p.next++
	return c
}

func (p *part) appendRecord(c *channel, due int64) {
	c.published++
	stamp(p.record, mark{c.number, c.published, due})
	p.text = append(p.text, p.record...)
}

// patience is how long the bench waits for what should come at once.
const patience = 15 * time.Second
