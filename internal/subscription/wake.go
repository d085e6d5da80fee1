package subscription

import (
	"context"
	"errors"
	"time"

	"twohop"
)

// step does what is due: it ends leases, and issues a wake when something is
// pending and nobody is at work.
func (s *sub) step(ctx context.Context) error {
	if err := s.absorb(ctx); err != nil {
		return err
	}
	now := clock()
	due := s.st.due()
	quiet := due.IsZero() || now.Before(due)
	busy := s.st.Wake != nil || now.Before(s.st.NextAttempt)
	if quiet && (busy || len(s.st.pending(s.tails)) == 0) {
		return nil
	}
	return s.update(ctx, func(st *state) (bool, error) {
		now, write := clock(), false
		if st.lapse(now, anyJitter()) {
			write = true
		}
		if now.Before(st.NextAttempt) {
			return write, nil
		}
		switch {
		case st.Wake == nil:
			calm := st.Retries == 0
			if !s.wakeIfPending(ctx, st, now) && !calm {
				st.Retries, st.NextAttempt = 0, time.Time{} // nothing is left to retry for
				write = true
			}
			write = write || st.Wake != nil
		case !st.NextAttempt.IsZero():
			s.pending(ctx, st)
			st.attempt(now, s.m.opt.WebhookTimeout, s.snapshot(st))
			write = true
		}
		return write, nil
	})
}

// wakeIfPending issues a wake if there is work for one.
func (s *sub) wakeIfPending(ctx context.Context, st *state, now time.Time) bool {
	names := s.pending(ctx, st)
	if len(names) == 0 {
		return false
	}
	st.issue(now, names[0])
	if st.webhook() {
		st.attempt(now, s.m.opt.WebhookTimeout, s.snapshot(st))
	}
	return true
}

// snapshot is what a worker that says done has then processed.
func (s *sub) snapshot(st *state) map[string]twohop.Offset {
	snap := map[string]twohop.Offset{}
	for _, i := range st.told(s.tails) {
		if *i.HasPending {
			snap[i.Path] = *i.Tail
		}
	}
	return snap
}

// wakeEvent is a record of a wake channel (DS 7.2).
type wakeEvent struct {
	Type         string `json:"type"`
	Subscription string `json:"subscription_id"`
	Stream       string `json:"stream"`
	Generation   uint64 `json:"generation"`
	TS           int64  `json:"ts"`
}

// announceDue is when to announce the wake; zero is never.
func (s *sub) announceDue() time.Time {
	w := s.st.Wake
	switch {
	case w == nil || w.Announced || s.st.webhook():
		return time.Time{}
	case !s.announceAt.IsZero():
		return s.announceAt
	case w.ID == s.mine:
		return w.Issued
	}
	return w.Issued.Add(announceGrace) // its node died, or is about to do it
}

// announce appends the wake event of a pull-wake. The idempotency key makes it
// one event, also when the outcome of an append was unknown or two nodes do it.
// That the wake channel is missing is no reason to lose the wake: the event
// follows when the application has created it.
func (s *sub) announce(ctx context.Context) error {
	if s.st == nil || s.deleted {
		return nil
	}
	now := clock()
	if at := s.announceDue(); at.IsZero() || now.Before(at) {
		return nil
	}
	w := s.st.Wake
	data, ends, err := record(wakeEvent{"wake", s.id, w.Stream, s.st.Generation, w.Issued.UnixMilli()})
	if err != nil {
		return err
	}
	_, err = s.m.store.Append(ctx, &twohop.Append{
		Channel: s.st.Config.WakeStream, ContentType: jsonType, Data: data, Ends: ends, Key: w.ID,
	})
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil // this node stops: if the event is missing, another node appends it
	}
	if err != nil {
		s.announceFails++
		s.announceAt = now.Add(backoff(s.announceFails, anyJitter()))
		s.log().Warn("a wake event could not be written", "channel", s.st.Config.WakeStream, "error", err, "retry", s.announceAt)
		return nil
	}
	s.announceAt, s.announceFails = time.Time{}, 0
	return s.update(ctx, func(st *state) (bool, error) {
		if st.Wake == nil || st.Wake.ID != w.ID || st.Wake.Announced {
			return false, nil
		}
		st.Wake.Announced = true
		return true, nil
	})
}
