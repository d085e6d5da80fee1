package subscription

import (
	"context"
	"fmt"
	"maps"

	"twohop"
)

// view is a subscription as clients see it (DS 6.3).
type view struct {
	ID           string       `json:"id"`
	Subscription string       `json:"subscription_id"`
	Type         string       `json:"type"`
	Pattern      *string      `json:"pattern"`
	Streams      []streamInfo `json:"streams"`
	Webhook      *webhookView `json:"webhook"`
	WakeStream   *string      `json:"wake_stream"`
	LeaseMS      int64        `json:"lease_ttl_ms"`
	Created      string       `json:"created_at"`
	Status       string       `json:"status"`
	NextAttempt  *string      `json:"next_attempt_at,omitempty"` // of a delivery that failed
	Description  *string      `json:"description"`
}

type webhookView struct {
	URL     string      `json:"url"`
	Signing signingView `json:"signing"`
}

type signingView struct {
	Alg  string `json:"alg"`
	Kid  string `json:"kid"`
	JWKS string `json:"jwks_url"`
}

const timeForm = "2006-01-02T15:04:05.000Z"

func (s *sub) view(ctx context.Context) (*view, error) {
	st := s.st
	v := &view{
		ID: s.id, Subscription: s.id, Type: st.Config.Type, Pattern: orNull(st.Config.Pattern), Streams: st.links(),
		WakeStream: orNull(st.Config.WakeStream), LeaseMS: st.Config.LeaseMS, Created: st.Created.UTC().Format(timeForm),
		Status: "active", Description: st.Config.Description,
	}
	if st.Retries > 0 {
		v.Status = "failed"
	}
	if !st.NextAttempt.IsZero() {
		at := st.NextAttempt.UTC().Format(timeForm)
		v.NextAttempt = &at
	}
	if st.webhook() {
		k, err := s.m.keyring(ctx)
		if err != nil {
			return nil, err
		}
		v.Webhook = &webhookView{st.Config.URL, signingView{"ed25519", k.kid, s.m.url(st.Base, "jwks.json")}}
	}
	return v, nil
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// get reads the subscription.
func (s *sub) get(ctx context.Context) (*view, error) {
	return s.viewed(ctx, func(context.Context) error { return nil })
}

// viewed runs f on the goroutine, and tells how the subscription is then.
func (s *sub) viewed(ctx context.Context, f func(context.Context) error) (*view, error) {
	var v *view // of the goroutine, until do returns nil
	err := s.do(ctx, func(ctx context.Context) error {
		err := f(ctx)
		if err == nil {
			v, err = s.view(ctx)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// confirm answers a PUT of a subscription that exists.
func (s *sub) confirm(ctx context.Context, hash, base string) (*view, error) {
	return s.viewed(ctx, func(ctx context.Context) error {
		if s.st.Hash != hash {
			return errDiffers
		}
		return s.update(ctx, func(st *state) (bool, error) {
			changed := st.Base != base
			st.Base = base
			return changed, nil
		})
	})
}

// create makes a subscription. If another was faster it reports so by a nil sub.
func (m *Manager) create(ctx context.Context, id string, c *config, hash, base string) (*sub, error) {
	if m.full() {
		return nil, &twohop.Error{Code: twohop.CodeUnavailable, Message: fmt.Sprintf("%d subscriptions exist, no more are allowed", m.opt.MaxSubscriptions),
			Hint: "delete some, or raise the limit"}
	}
	s := newSub(m, id)
	s.st = &state{ID: id, Config: *c, Hash: hash, Base: base, Created: clock(), Links: map[string]link{}}
	s.glob = parseGlob(c.Pattern)
	for _, name := range c.Streams {
		s.st.Links[name] = link{Explicit: true}
	}
	// From here on changes are told, so that none is missed between the look at
	// a channel's tail and the first wake.
	m.making(id, 1)
	m.follow(s, c, s.st.Links)
	won, err := s.found(ctx)
	m.making(id, -1)
	if err != nil || !won {
		m.forget(s)
		_, _ = m.open(id, nil) // it may be there all the same: its goroutine finds out
		return nil, err
	}
	kept, err := m.open(id, s)
	if kept != s {
		m.forget(s) // another request has found it in the log already
	}
	return kept, err
}

// found links what exists and writes the first state.
func (s *sub) found(ctx context.Context) (bool, error) {
	most := s.m.opt.MaxStreams
	err := s.unlinked(ctx, func(name string) (more bool, err error) {
		s.st.Links[name] = link{}
		return len(s.st.Links) <= most, nil
	})
	if err != nil {
		return false, err
	}
	if len(s.st.Links) > most {
		return false, badField("pattern", "and streams match more than %d channels, no more are allowed", most)
	}
	for name, l := range s.st.Links {
		if l.Acked, err = s.m.tailNow(ctx, name); err != nil {
			return false, err
		}
		s.st.Links[name] = l
		s.tails[name] = l.Acked
	}
	s.listed = true
	var won bool
	s.tail, won, err = found(ctx, s.m.store, s.channel, s.st)
	return won, err
}

// remove deletes the subscription.
func (s *sub) remove(ctx context.Context) error {
	err := s.do(ctx, func(ctx context.Context) error {
		if err := s.m.store.Delete(ctx, s.channel); err != nil && !absent(err) {
			return err
		}
		s.deleted = true
		return nil
	})
	if err == nil {
		<-s.gone // so that the id is free
	}
	return err
}

// link adds explicit streams, at their tails.
func (s *sub) link(ctx context.Context, names []string) error {
	return s.do(ctx, func(ctx context.Context) error {
		// Their changes must be told before their tails are asked for.
		links := maps.Clone(s.st.Links)
		for _, name := range names {
			links[name] = link{Explicit: true}
		}
		s.m.follow(s, &s.st.Config, links)
		err := s.update(ctx, func(st *state) (bool, error) {
			write := false
			for _, name := range names {
				l, linked := st.Links[name]
				if l.Explicit {
					continue
				}
				if name == st.Config.WakeStream {
					return false, badField("streams", "must not hold the wake_stream: each wake would cause the next")
				}
				if !linked {
					tail, err := s.m.tailNow(ctx, name)
					if err != nil {
						return false, err
					}
					l.Acked = tail
					s.raise(name, tail)
				}
				l.Explicit = true
				st.Links[name] = l
				write = true
			}
			if n := len(st.Links); write && n > s.m.opt.MaxStreams {
				return false, badField("streams", "would be %d, %d are allowed", n, s.m.opt.MaxStreams)
			}
			return write, nil
		})
		s.m.follow(s, &s.st.Config, s.st.Links)
		return err
	})
}

// unlink removes an explicit stream; the pattern may keep it.
func (s *sub) unlink(ctx context.Context, name string) error {
	return s.do(ctx, func(ctx context.Context) error {
		err := s.update(ctx, func(st *state) (bool, error) {
			l, linked := st.Links[name]
			if !linked || !l.Explicit {
				return false, nil
			}
			if l.Explicit = false; s.matches(name) {
				st.Links[name] = l
			} else {
				delete(st.Links, name)
			}
			return true, nil
		})
		if _, linked := s.st.Links[name]; !linked {
			delete(s.tails, name)
		}
		s.m.follow(s, &s.st.Config, s.st.Links)
		return err
	})
}
