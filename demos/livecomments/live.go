package livecomments

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"twohop/client"
)

// The pace of the parts of a live show.
const (
	writeEvery  = 20 * time.Millisecond  // comments
	reactEvery  = 200 * time.Millisecond // reactions
	sampleEvery = 100 * time.Millisecond // viewers connected
	reportEvery = 5                      // samples in a report
)

// reactionShare is how many reactions there are for a comment.
const reactionShare = .5

// live is a show under way. It ends with its context; wait waits for that.
type live struct {
	log      *slog.Logger
	client   *client.Client
	crowd    *crowd
	settings func() Settings
	began    time.Time
	source   string // of its records: another for each show

	readers atomic.Int64 // as the server said last

	mu     sync.Mutex // guards what follows
	totals totals

	done sync.WaitGroup
}

// start begins a show on the server at url.
func start(ctx context.Context, log *slog.Logger, url string, settings func() Settings) (*live, error) {
	c, err := client.New(url, client.Options{BackoffMax: 2 * time.Second})
	if err != nil {
		return nil, err
	}
	seats, err := newCrowd(ctx, url)
	if err != nil {
		return nil, err
	}
	l := &live{
		log: log, client: c, crowd: seats, settings: settings, began: time.Now(),
		source: fmt.Sprintf("show-%08x", rand.Uint32()), //nolint:gosec // a name, not a secret
	}
	for name, part := range map[string]func(context.Context) error{"comments": l.write, "reactions": l.react, "report": l.reports} {
		l.done.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				log.Error("a part of the demo ended", "part", name, "error", err)
			}
		})
	}
	return l, nil
}

// wait returns when everything has ended after the context.
func (l *live) wait() {
	l.crowd.Close()
	l.done.Wait()
}

// publisher starts a producer of JSON. Its Close gives up what the context's end
// leaves unsent.
func (l *live) publisher(ctx context.Context, channel string, onAck func(client.Ack)) (publish func(record any) error, stop func(), err error) {
	p, err := l.client.NewPublisher(ctx, channel, client.PublisherOptions{ContentType: "application/json", OnAck: onAck})
	if err != nil {
		return nil, nil, err
	}
	publish = func(record any) error {
		text, err := json.Marshal(record)
		if err != nil {
			return err
		}
		return p.Publish(ctx, text)
	}
	return publish, func() { _ = p.Close(ctx) }, nil // the context is done: there is nobody to tell
}

// write publishes the audience's comments, each at the time that it bears.
func (l *live) write(ctx context.Context) error {
	publish, stop, err := l.publisher(ctx, comments, func(a client.Ack) { l.readers.Store(int64(a.Readers)) })
	if err != nil {
		return err
	}
	defer stop()
	people := newAudience(rand.Uint64()) //nolint:gosec // small talk, not a secret
	var number uint64
	return every(ctx, writeEvery, func(now time.Time) error {
		since := now.Sub(l.began)
		on, _ := at(since)
		for range people.some(float64(l.settings().Rate) * energy(since) * writeEvery.Seconds()) {
			number++
			if err := publish(comment{origin{l.source, number, milliseconds(time.Now())}, people.name(), people.text(on)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// react publishes the audience's reactions, and adds up everybody's.
func (l *live) react(ctx context.Context) error {
	last, err := l.lastTotals(ctx)
	if err != nil {
		return err
	}
	l.setTotals(last)
	l.done.Go(func() { l.fold(ctx, last) })
	publish, stop, err := l.publisher(ctx, reactions, nil)
	if err != nil {
		return err
	}
	defer stop()
	people := newAudience(rand.Uint64()) //nolint:gosec // small talk, not a secret
	var number uint64
	return every(ctx, reactEvery, func(now time.Time) error {
		since := now.Sub(l.began)
		on, _ := at(since)
		made := people.some(float64(l.settings().Rate) * reactionShare * energy(since) * reactEvery.Seconds())
		if made == 0 {
			return nil
		}
		number++
		return publish(reaction{origin{l.source, number, milliseconds(now)}, people.reactions(on, made)})
	})
}

// lastTotals is what the last report of an earlier show says.
func (l *live) lastTotals(ctx context.Context) (totals, error) {
	none := totals{Counts: counts{}}
	for event, err := range l.client.Follow(ctx, state, client.FollowOptions{From: client.Tail(1), Transport: client.LongPoll, Wait: true}) {
		if err != nil {
			return none, err
		}
		for _, record := range event.Records {
			var r report
			if json.Unmarshal(record, &r) == nil && r.Totals.Counts != nil {
				none = r.Totals
			}
		}
		if event.UpToDate {
			break
		}
	}
	return none, nil
}

// fold adds up the reactions of everybody from where the last totals end.
func (l *live) fold(ctx context.Context, sum totals) {
	from := client.Start()
	if sum.Offset != "" {
		from = client.At(sum.Offset)
	}
	for event, err := range l.client.Follow(ctx, reactions, client.FollowOptions{
		From: from, Transport: client.SSE, ContentType: "application/json", Wait: true,
	}) {
		if err != nil {
			return // the context's
		}
		for _, record := range event.Records {
			sum.Counts.fold(record)
		}
		sum.Offset = event.Offset
		l.setTotals(sum)
	}
}

func (l *live) setTotals(t totals) {
	copied := counts{}
	for _, kind := range kinds {
		copied[kind] = t.Counts[kind]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals = totals{copied, t.Offset}
}

// reports publishes how it goes, until the end.
func (l *live) reports(ctx context.Context) error {
	publish, stop, err := l.publisher(ctx, state, nil)
	if err != nil {
		return err
	}
	defer stop()
	var number uint64
	var samples []sample
	return every(ctx, sampleEvery, func(now time.Time) error {
		var s sample
		s.set(now, l.crowd.connected.Load())
		if samples = append(samples, s); len(samples) < reportEvery {
			return nil
		}
		number++
		r := l.report(now)
		r.Number, r.Samples, samples = number, samples, nil
		return publish(r)
	})
}

func (l *live) report(now time.Time) *report {
	since := now.Sub(l.began)
	on, when := at(since)
	r := &report{
		origin: origin{Source: l.source, Time: milliseconds(now)}, Settings: l.settings(), Scene: on.Name, Energy: energy(since),
		Moment: on.Moment && when < burst, Readers: int(l.readers.Load()),
	}
	crowd, dropped := l.crowd.report()
	r.Crowd = crowd
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Totals = l.totals
	if dropped != nil {
		r.Drop = dropped.report()
	}
	return r
}

// Drop cuts the crowd's connections, and returns the number of the drop.
func (l *live) Drop() (id, cut int) {
	id, cut = l.crowd.Drop()
	l.log.Info("live comments: all viewers were dropped", "connected", cut)
	return id, cut
}

// every calls do at each tick until the context is done or do fails.
func every(ctx context.Context, pause time.Duration, do func(now time.Time) error) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := do(now); err != nil {
				return err
			}
		}
	}
}
