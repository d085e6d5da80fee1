package livecomments

import (
	"context"
	"embed"
	"log/slog"
	"sync"
	"time"
)

// Files are the page.
//
//go:embed index.html *.css *.js
var Files embed.FS

// A page says that it watches every watchEvery, and counts as gone when it has
// not for lease, or soon after it said that it leaves: it may be reloading.
const (
	lease    = 60 * time.Second
	farewell = 4 * time.Second
)

// maxWatchers bounds the leases; pages beyond are not counted.
const maxWatchers = 1000

// Demo runs the show while somebody watches. It is safe for concurrent use.
type Demo struct {
	log  *slog.Logger
	open func(ctx context.Context, settings func() Settings) (stage, error) // starts a show

	mu       sync.Mutex // guards what follows
	settings Settings
	watchers map[string]time.Time // the ends of their leases, by the page's id
	closed   bool
	running  *run // nil when nobody watches

	done sync.WaitGroup
}

// stage is a show under way, as the demo needs it.
type stage interface {
	wait()
	resize(viewers int)
	Drop() (id, cut int)
}

// run is one time that the show runs.
type run struct {
	cancel context.CancelFunc
	stage  stage
	drop   time.Time // the last one
}

// New makes the demo for the server whose address url returns; nothing runs yet.
func New(log *slog.Logger, url func() string) *Demo {
	d := &Demo{log: log, settings: Settings{startRate, startViewers}, watchers: map[string]time.Time{}}
	d.open = func(ctx context.Context, settings func() Settings) (stage, error) {
		return start(ctx, log, url(), settings)
	}
	return d
}

func (l *live) resize(viewers int) { l.crowd.resize(viewers) }

// Watch says that a page watches, and starts the show with the first one. The
// show outlives the context: it ends with the leases or with Close.
func (d *Demo) Watch(ctx context.Context, page string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errClosed
	}
	if _, known := d.watchers[page]; known || len(d.watchers) < maxWatchers {
		d.watchers[page] = time.Now().Add(lease)
	}
	if d.running != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s, err := d.open(ctx, d.current)
	if err != nil {
		cancel()
		return err
	}
	d.log.Info("live comments: somebody watches, the show begins", "viewers", d.settings.Viewers, "comments_per_second", d.settings.Rate)
	d.running = &run{cancel: cancel, stage: s}
	s.resize(d.settings.Viewers)
	d.done.Go(func() { d.supervise(ctx, s) })
	return nil
}

// supervise ends the show when the last lease is over.
func (d *Demo) supervise(ctx context.Context, s stage) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for d.watched(time.Now()) {
		select {
		case <-look.C:
		case <-ctx.Done():
		}
	}
	s.wait()
}

// watched forgets the leases that are over. When none is left, or the demo is
// closed, it takes the show off, so that the next page begins a new one.
func (d *Demo) watched(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for page, end := range d.watchers {
		if now.After(end) {
			delete(d.watchers, page)
		}
	}
	if len(d.watchers) > 0 && !d.closed {
		return true
	}
	d.running.cancel()
	d.running = nil
	d.log.Info("live comments: nobody watches, the show is over")
	return false
}

// Leave says that a page is going.
func (d *Demo) Leave(page string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if end, known := d.watchers[page]; known {
		if soon := time.Now().Add(farewell); soon.Before(end) {
			d.watchers[page] = soon
		}
	}
}

// Set changes the settings for everybody, within bounds, and returns those in
// force.
func (d *Demo) Set(s Settings) Settings {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settings = s.bounded()
	if d.running != nil {
		d.running.stage.resize(d.settings.Viewers)
	}
	return d.settings
}

func (d *Demo) current() Settings {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settings
}

// dropEvery is the least time between two drops.
const dropEvery = 2 * time.Second

// Drop cuts all viewers of the crowd off.
func (d *Demo) Drop() (id, cut int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.running == nil:
		return 0, 0, errNobody
	case time.Since(d.running.drop) < dropEvery:
		return 0, 0, errTooSoon
	}
	d.running.drop = time.Now()
	id, cut = d.running.stage.Drop()
	return id, cut, nil
}

// Close ends the show, if one is on, and waits for all of it.
func (d *Demo) Close() {
	d.mu.Lock()
	d.closed = true
	if d.running != nil {
		d.running.cancel()
	}
	d.mu.Unlock()
	d.done.Wait()
}
