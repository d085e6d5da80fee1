package subscription

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"twohop"
)

// claimed answers a claim.
type claimed struct {
	WakeID     string       `json:"wake_id"`
	Generation uint64       `json:"generation"`
	Token      string       `json:"token"`
	Streams    []streamInfo `json:"streams"`
	LeaseMS    int64        `json:"lease_ttl_ms"`
}

// claim gives the lease to a worker. A wake that is in flight can be claimed
// whether or not its event was read; if there is none, the turn has issued one
// if anything was pending, so that a worker may also just ask. If nothing is, the
// answer is 409 NO_PENDING_WORK, as the reference server has it.
func (s *sub) claim(ctx context.Context, worker string) (*claimed, error) {
	var c *claimed // of the goroutine, until do returns nil
	err := s.do(ctx, func(ctx context.Context) error {
		if s.st.webhook() {
			return wrongType(typePullWake)
		}
		k, err := s.m.keyring(ctx)
		if err != nil {
			return err
		}
		err = s.update(ctx, func(st *state) (bool, error) {
			now := clock()
			if st.lapse(now, 0) { // just then
				s.wakeIfPending(ctx, st, now)
			}
			if st.leased(now) {
				return false, claimedBy(st.Wake.Holder, st.Generation)
			}
			if st.Wake == nil {
				return false, errNoWork
			}
			st.Wake.Holder, st.Wake.LeaseUntil = worker, now.Add(st.Config.lease())
			return true, nil
		})
		if err != nil {
			return err
		}
		token, err := k.mint(s.id, s.st.Generation, time.Now())
		c = &claimed{s.st.Wake.ID, s.st.Generation, token, s.st.told(s.tails), s.st.Config.LeaseMS}
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// workerRequest is what a worker says of the wake that it works on.
type workerRequest struct {
	WakeID     string `json:"wake_id"`
	Generation uint64 `json:"generation"`
	Done       bool   `json:"done"`
	Acks       []ack  `json:"acks"`
}

type ack struct {
	Stream string `json:"stream"`
	Path   string `json:"path"` // another word for stream, which the reference server knows too
	Offset string `json:"offset"`
}

// fence refuses what is not about the present wake (DS 7.3).
func (st *state) fence(r *workerRequest, tokenGeneration uint64, now time.Time) error {
	if !st.leased(now) || tokenGeneration != st.Generation || r.Generation != st.Generation || r.WakeID != st.Wake.ID {
		return errFenced
	}
	return nil
}

// worked takes an ack, a heartbeat or a callback. It is written before it is
// answered.
func (s *sub) worked(ctx context.Context, kind, token string, body func() (*workerRequest, error)) (bool, error) {
	var nextWake bool // of the goroutine, until do returns nil
	err := s.do(ctx, func(ctx context.Context) error {
		gen, r, err := s.admit(ctx, kind, token, body)
		if err != nil {
			return err
		}
		return s.update(ctx, func(st *state) (bool, error) {
			now := clock()
			if err := st.fence(r, gen, now); err != nil {
				return false, err
			}
			for i := range r.Acks {
				if err := s.ack(ctx, st, &r.Acks[i]); err != nil {
					return false, err
				}
			}
			if st.webhook() {
				st.heard()
			}
			if nextWake = false; !r.Done {
				st.Wake.LeaseUntil = now.Add(st.Config.lease())
				return true, nil
			}
			st.Wake = nil
			nextWake = s.wakeIfPending(ctx, st, now)
			return true, nil
		})
	})
	return err == nil && nextWake, err
}

// release gives a lease back. What is pending then gets a new wake.
func (s *sub) release(ctx context.Context, token string, body func() (*workerRequest, error)) error {
	return s.do(ctx, func(ctx context.Context) error {
		gen, r, err := s.admit(ctx, typePullWake, token, body)
		if err != nil {
			return err
		}
		return s.update(ctx, func(st *state) (bool, error) {
			now := clock()
			if err := st.fence(r, gen, now); err != nil {
				return false, err
			}
			st.Wake = nil
			s.wakeIfPending(ctx, st, now)
			return true, nil
		})
	})
}

// admit judges what comes before the wake: the type, the token, the body.
func (s *sub) admit(ctx context.Context, kind, token string, body func() (*workerRequest, error)) (uint64, *workerRequest, error) {
	if s.st.Config.Type != kind {
		return 0, nil, wrongType(kind)
	}
	k, err := s.m.keyring(ctx)
	if err != nil {
		return 0, nil, err
	}
	gen, err := k.check(token, s.id, time.Now())
	if err != nil {
		return 0, nil, err
	}
	r, err := body()
	return gen, r, err
}

// ack moves a cursor. A channel that was deleted meanwhile has none to move;
// that is not the worker's fault, so it is passed over.
func (s *sub) ack(ctx context.Context, st *state, a *ack) error {
	name := a.name()
	l, linked := st.Links[name]
	if !linked && st.Wake.Dropped[name] {
		return nil
	}
	if !linked {
		return badAck("%q is not linked to the subscription", clip(name))
	}
	to, err := twohop.ParseOffset(a.Offset)
	if err != nil {
		return badAck("%q is not an offset", clip(a.Offset))
	}
	if to.Compare(s.tails[name]) > 0 { // what is known of the tail may be old
		if err := s.verify(ctx, st, name); err != nil {
			return err
		}
		if l, linked = st.Links[name]; !linked || s.tails[name].IsZero() {
			return nil
		}
	}
	switch {
	case to.Compare(l.Acked) < 0:
		return badAck("the offset for %q is before %s, which was acknowledged already", name, l.Acked)
	case to.Compare(s.tails[name]) > 0:
		return badAck("the offset for %q is beyond its tail, %s", name, s.tails[name])
	}
	l.Acked = to
	st.Links[name] = l
	return nil
}

func badAck(format string, a ...any) error {
	return &apiError{status: http.StatusConflict, ds: "INVALID_OFFSET", err: twohop.Error{
		Code: twohop.CodeInvalidAck, Message: "the ack is not accepted: " + fmt.Sprintf(format, a...),
		Hint: "acknowledge the offset after the last record that was processed, as Stream-Next-Offset or tail_offset gave it"}}
}
