package subscription

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"
)

// notification is the body of a webhook (DS 7.1).
type notification struct {
	Subscription string       `json:"subscription_id"`
	WakeID       string       `json:"wake_id"`
	Generation   uint64       `json:"generation"`
	Streams      []streamInfo `json:"streams"`
	CallbackURL  string       `json:"callback_url"`
	Token        string       `json:"callback_token"`
}

// result is what became of an attempt.
type result struct {
	wakeID  string
	attempt int
	done    bool
	err     error
}

const maxAnswerBytes = 64 << 10

// deliver carries out the attempt that this node owes, beside the goroutine,
// which gets its result.
func (s *sub) deliver(ctx, life context.Context) {
	if !s.attempt {
		return
	}
	s.attempt = false
	if s.st.Wake == nil || s.st.Wake.AttemptUntil.IsZero() {
		return // the worker has called back in this very turn
	}
	w := *s.st.Wake
	until := w.AttemptUntil
	r := result{wakeID: w.ID, attempt: w.Attempt}
	body, sig, err := s.notification(ctx, &w)
	target := s.st.Config.URL
	s.m.work.Go(func() {
		if err == nil {
			ctx, cancel := context.WithDeadline(life, until)
			defer cancel()
			r.done, err = s.m.post(ctx, target, body, sig)
		}
		r.err = err
		select {
		case s.results <- r:
		case <-life.Done():
		}
	})
}

func (s *sub) notification(ctx context.Context, w *wake) (body []byte, sig string, err error) {
	k, err := s.m.keyring(ctx)
	if err != nil {
		return nil, "", err
	}
	now := time.Now()
	token, err := k.mint(s.id, s.st.Generation, now)
	if err != nil {
		return nil, "", err
	}
	body, err = json.Marshal(notification{
		s.id, w.ID, s.st.Generation, s.toldOf(w), s.m.url(s.st.Base, "subscriptions/"+url.PathEscape(s.id)+"/callback"), token,
	})
	return body, k.signature(now, body), err
}

// toldOf lists what the worker is told in this attempt: the tails are those of
// the snapshot, which is what done acknowledges.
func (s *sub) toldOf(w *wake) []streamInfo {
	list := s.st.told(s.tails)
	for i := range list {
		if tail, ok := w.Snapshot[list[i].Path]; ok {
			list[i].Tail = &tail
		}
	}
	return list
}

// post sends a webhook and reports whether the answer says done. An answer
// other than 2xx is an error; redirects are not followed.
func (m *Manager) post(ctx context.Context, target string, body []byte, sig string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", jsonType)
	req.Header.Set("User-Agent", "twohop")
	req.Header.Set("Webhook-Signature", sig)
	resp, err := m.http.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return false, statusError(resp.Status)
	}
	var answer struct {
		Done bool `json:"done"`
	}
	// The worker has the wake, whatever becomes of the rest of its answer.
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil || json.Unmarshal(b, &answer) != nil {
		return false, nil //nolint:nilerr // not done, but delivered
	}
	return answer.Done, nil
}

// statusError is a webhook's answer that is not 2xx.
type statusError string

func (e statusError) Error() string { return "the webhook answered " + string(e) }

// delivered takes the result of an attempt, unless the wake or the attempt is
// over: the lease ran out, or the worker has called back.
func (s *sub) delivered(ctx context.Context, r *result) error {
	return s.update(ctx, func(st *state) (bool, error) {
		w, now := st.Wake, clock()
		if w == nil || w.ID != r.wakeID || w.Attempt != r.attempt {
			return false, nil
		}
		if r.err != nil && w.AttemptUntil.IsZero() {
			return false, nil
		}
		if r.err != nil {
			st.attemptFailed(now, anyJitter())
			s.log().Warn("webhook delivery failed", "error", r.err, "attempt", w.Attempt, "next_attempt_at", st.NextAttempt)
			return true, nil
		}
		st.heard()
		if !r.done {
			st.accepted(now)
			return true, nil
		}
		st.ackUpTo(w.Snapshot)
		st.Wake = nil
		s.wakeIfPending(ctx, st, now)
		return true, nil
	})
}
