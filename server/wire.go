package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"twohop"
	"twohop/internal/config"
	"twohop/internal/engine"
	"twohop/internal/engine/disklog"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/subscription"
	"twohop/internal/transport/httpstream"
	"twohop/internal/transport/multi"
)

// parts are what a server is made of, in the order of the flow.
type parts struct {
	engine        engine.Engine
	hub           *hub.Hub
	subscriptions *subscription.Manager
	many          *multi.Handler
	streams       *httpstream.Handler
}

// assemble makes and starts the parts.
func assemble(c *config.Config, restored bool, log *slog.Logger, answered func(publish bool, status int, took time.Duration)) (*parts, error) {
	eng, err := openEngine(c, restored, log)
	if err != nil {
		return nil, err
	}
	p := &parts{engine: eng}
	// The engine may drop what expired before the subscriptions are there; they
	// find that out when they start.
	var subs atomic.Pointer[subscription.Manager]
	p.hub = hub.New(eng, hub.Options{
		TailBytes: int(c.TailBufferBytes),
		PageBytes: int(c.PageBytes),
		Changed: func(channel string, tail twohop.Offset) {
			if m := subs.Load(); m != nil {
				m.Changed(channel, tail)
			}
		},
		Deleted: func(channel string) {
			if m := subs.Load(); m != nil {
				m.Deleted(channel)
			}
		},
		Lost: func() {
			if m := subs.Load(); m != nil {
				m.Recheck()
			}
		},
	})
	p.subscriptions = subscription.New(p.hub, subscription.Options{
		PublicURL:      c.PublicURL,
		AllowLoopback:  c.LoopbackWebhooks(),
		AllowPrivate:   c.Webhooks.AllowPrivate,
		WebhookTimeout: c.Webhooks.Timeout,
		NameBytes:      int(c.Limits.NameBytes),
		BodyBytes:      c.Limits.BodyBytes,
		BodyTime:       c.Limits.BodyTime,
		Log:            log.With("component", "subscription"),
	})
	subs.Store(p.subscriptions)
	if err := p.subscriptions.Start(context.Background()); err != nil { //nolint:forbidigo // they live until Stop
		return nil, errors.Join(fmt.Errorf("starting the subscriptions: %w", err), p.close())
	}
	p.many = multi.New(p.hub, multi.Options{
		Rules:        c.ChannelRules(),
		Channels:     int(c.Limits.Channels),
		MessageBytes: int(c.Limits.MessageBytes),
		MessageTime:  c.Limits.BodyTime,
		PageBytes:    int(c.PageBytes),
		NameBytes:    int(c.Limits.NameBytes),
		Heartbeat:    c.SSE.Heartbeat,
		LongPoll:     c.LongPoll,
		MaxAge:       c.SSE.MaxAge,
		Retry:        c.SSE.Retry,
		Logger:       log.With("component", "multi"),
		Fail:         func(w http.ResponseWriter, r *http.Request, err error) { p.streams.Fail(w, r, err) },
		Body:         func(w http.ResponseWriter, r *http.Request) ([]byte, error) { return p.streams.Body(w, r) },
		Answered:     answered,
	})
	p.streams = httpstream.New(p.hub, httpstream.Options{
		Rules:         c.ChannelRules(),
		LongPoll:      c.LongPoll,
		Heartbeat:     c.SSE.Heartbeat,
		MaxAge:        c.SSE.MaxAge,
		Retry:         c.SSE.Retry,
		NameBytes:     int(c.Limits.NameBytes),
		BodyBytes:     c.Limits.BodyBytes,
		BodyTime:      c.Limits.BodyTime,
		HeaderTime:    c.Limits.HeaderTime,
		HeaderBytes:   int(c.Limits.HeaderBytes),
		PublishItems:  int(c.Limits.PublishItems),
		Origins:       c.CORS.Origins,
		Hosts:         hosts(c),
		Subscriptions: p.subscriptions,
		Many:          p.many,
		Logger:        log.With("component", "httpstream"),
		Answered:      answered,
	})
	return p, nil
}

// openEngine is the one switch that knows every engine.
func openEngine(c *config.Config, restored bool, log *slog.Logger) (engine.Engine, error) {
	switch c.Engine {
	case "disk":
		rules := c.ChannelRules()
		return disklog.Open(c.Data, disklog.Options{
			Retention: func(channel string) (twohop.Retention, bool) {
				return rules.For(channel).Retention, !twohop.Reserved(channel)
			},
			RetentionVersion:  fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, rules))),
			Logger:            log.With("component", "disklog"),
			SyncInterval:      c.Disk.SyncInterval,
			CacheBytes:        c.Disk.CacheBytes,
			ReserveBytes:      uint64(c.Disk.ReserveBytes), //nolint:gosec // validated: not negative
			IdempotencyWindow: c.IdempotencyWindow,
			Restored:          restored,
		})
	case "memory":
		return memlog.Open(memlog.Options{
			MaxBytes:          uint64(c.Memory.MaxBytes), //nolint:gosec // validated: not negative
			IdempotencyWindow: c.IdempotencyWindow,
		}), nil
	default:
		return nil, fmt.Errorf("there is no engine %q", c.Engine) // Validate refused it
	}
}

// drain ends the live responses and connections.
func (p *parts) drain() {
	p.streams.Drain()
	p.many.Drain()
}

// live is how many reads, live responses, connections and publishes are under
// way, except those of which net/http alone knows.
func (p *parts) live() int64 {
	s, m := p.streams.Stats(), p.many.Stats()
	return s.Polls.Load() + s.LongPolls.Load() + s.SSE.Load() + s.Publishing.Load() +
		m.WebSockets.Load() + m.LongPolls.Load() + m.SSE.Load() + m.Polls.Load() + m.Publishing.Load()
}

// close stops the parts, the newest first. After it the engine calls nothing.
func (p *parts) close() error {
	p.subscriptions.Stop()
	if p.many != nil {
		p.many.Close()
	}
	err := p.engine.Close()
	p.hub.Close()
	return err
}
