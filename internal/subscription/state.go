package subscription

import (
	"cmp"
	"crypto/rand"
	"maps"
	"math"
	mrand "math/rand/v2"
	"slices"
	"time"

	"twohop"
)

// state is all that is kept of a subscription. Its methods are the rules; they
// do no I/O and are told the time.
type state struct {
	ID          string          `json:"id"`
	Config      config          `json:"config"`
	Hash        string          `json:"hash"` // of Config as it was at creation
	Base        string          `json:"base"` // scheme and host of the URLs in answers and wakes
	Created     time.Time       `json:"created"`
	Links       map[string]link `json:"links"`
	Generation  uint64          `json:"generation"`
	Wake        *wake           `json:"wake,omitempty"`
	Retries     int             `json:"retries,omitempty"` // attempts that failed since the last that did not
	NextAttempt time.Time       `json:"next_attempt_at,omitzero"`
	Write       string          `json:"write"` // names the write, so that its author knows it again
}

// link is a channel that is followed. It is one by the pattern if it is not
// explicit.
type link struct {
	Explicit bool          `json:"explicit,omitempty"`
	Acked    twohop.Offset `json:"acked"`
}

// wake is the one wake that may be in flight.
type wake struct {
	ID     string    `json:"id"`
	Stream string    `json:"stream"` // that caused it
	Issued time.Time `json:"issued"`

	// LeaseUntil bounds the worker's time; it is zero until a pull-wake is claimed.
	LeaseUntil time.Time `json:"lease_until,omitzero"`
	Holder     string    `json:"holder,omitempty"` // pull-wake
	Announced  bool      `json:"announced,omitempty"`

	// Dropped are channels that went since the wake was issued: its worker may
	// have been told of them.
	Dropped map[string]bool `json:"dropped,omitempty"`

	// A webhook's attempts. One is under way until AttemptUntil, or forgotten by
	// a node that died. Snapshot is what the latest one told.
	Attempt      int                      `json:"attempt,omitempty"`
	AttemptUntil time.Time                `json:"attempt_until,omitzero"`
	Snapshot     map[string]twohop.Offset `json:"snapshot,omitempty"`
}

// The schedule of retries (DS 7.1), and how long after its end an attempt is
// taken for lost with the node that made it.
const (
	retryMin    = time.Second
	retryMax    = time.Minute
	retryJitter = 0.2
	lostGrace   = time.Second
)

// clock is the time as states keep it. All times that are waited for are whole
// milliseconds, so that one whose timer has fired is due.
func clock() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// clone copies what methods change.
func (st *state) clone() *state {
	c := *st
	c.Links = maps.Clone(st.Links)
	if st.Wake != nil {
		w := *st.Wake
		w.Dropped = maps.Clone(w.Dropped)
		c.Wake = &w
	}
	return &c
}

func (st *state) webhook() bool { return st.Config.Type == typeWebhook }

// issue makes a wake for channels that have something new.
func (st *state) issue(now time.Time, stream string) {
	st.Generation++
	st.Wake = &wake{ID: "w_" + rand.Text(), Stream: stream, Issued: now}
	if st.webhook() {
		st.Wake.LeaseUntil = now.Add(st.Config.lease())
	}
}

// attempt begins to deliver the wake with what is pending by now.
func (st *state) attempt(now time.Time, timeout time.Duration, snapshot map[string]twohop.Offset) {
	w := st.Wake
	w.Attempt++
	w.Snapshot = snapshot
	w.AttemptUntil = now.Add(timeout)
	if w.LeaseUntil.Before(w.AttemptUntil) {
		w.AttemptUntil = w.LeaseUntil
	}
	st.NextAttempt = time.Time{}
}

// attemptFailed ends an attempt and sets the time of the next.
func (st *state) attemptFailed(now time.Time, jitter float64) {
	st.Wake.AttemptUntil = time.Time{}
	st.Retries++
	st.NextAttempt = now.Add(backoff(st.Retries, jitter))
}

// differs reports whether st has a wake, or an attempt, that old has not.
func (st *state) differs(old *state) (issued, attempted bool) {
	w := st.Wake
	if w == nil {
		return false, false
	}
	issued = old.Wake == nil || old.Wake.ID != w.ID
	return issued, !w.AttemptUntil.IsZero() && (issued || old.Wake.Attempt != w.Attempt)
}

// heard notes a sign of life of the webhook: nothing is left to retry.
func (st *state) heard() {
	st.Wake.AttemptUntil = time.Time{}
	st.Retries, st.NextAttempt = 0, time.Time{}
}

// accepted gives the worker that took the wake its whole lease: attempts that
// failed may have used up most of it.
func (st *state) accepted(now time.Time) {
	if until := now.Add(st.Config.lease()); until.After(st.Wake.LeaseUntil) {
		st.Wake.LeaseUntil = until
	}
}

// backoff is the delay before the n-th retry; jitter is between -1 and 1.
func backoff(n int, jitter float64) time.Duration {
	d := min(float64(retryMin)*math.Pow(2, float64(n-1)), float64(retryMax))
	return time.Duration(d * (1 + retryJitter*jitter)).Truncate(time.Millisecond)
}

// anyJitter is a random argument of backoff.
func anyJitter() float64 { return 2*mrand.Float64() - 1 } //nolint:gosec // spreads retries, guards nothing

// leased reports whether the wake is one that its worker may still act on.
func (st *state) leased(now time.Time) bool {
	return st.Wake != nil && now.Before(st.Wake.LeaseUntil)
}

// lapse ends what is over by now: the lease, or an attempt whose node died.
func (st *state) lapse(now time.Time, jitter float64) bool {
	w := st.Wake
	if w == nil {
		return false
	}
	expired := !w.LeaseUntil.IsZero() && !now.Before(w.LeaseUntil)
	lost := !w.AttemptUntil.IsZero() && !now.Before(w.AttemptUntil.Add(lostGrace))
	if (expired || lost) && !w.AttemptUntil.IsZero() {
		st.attemptFailed(now, jitter)
	}
	if expired {
		st.Wake = nil
	}
	return expired || lost
}

// due is when something will be to do without anybody asking; zero is never.
func (st *state) due() time.Time {
	at := st.NextAttempt
	if w := st.Wake; w != nil {
		at = sooner(at, w.LeaseUntil)
		if !w.AttemptUntil.IsZero() {
			at = sooner(at, w.AttemptUntil.Add(lostGrace))
		}
	}
	return at
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// pending lists the linked channels whose tail is beyond what was acknowledged.
func (st *state) pending(tails map[string]twohop.Offset) []string {
	var names []string
	for name, l := range st.Links {
		if behind(l.Acked, tails[name]) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// behind reports whether a tail has something for who processed up to acked. A
// tail of an older log epoch can only be of another log.
func behind(acked, tail twohop.Offset) bool {
	return !tail.IsZero() && (tail.Compare(acked) > 0 || tail.Epoch < acked.Epoch)
}

// drop ends a link to a channel that is gone. At most limit are remembered.
func (st *state) drop(name string, limit int) {
	if _, linked := st.Links[name]; !linked {
		return
	}
	delete(st.Links, name)
	w := st.Wake
	if w == nil || len(w.Dropped) >= limit {
		return
	}
	if w.Dropped == nil {
		w.Dropped = map[string]bool{}
	}
	w.Dropped[name] = true
}

// ackUpTo moves cursors to where a webhook that says done was told they end.
func (st *state) ackUpTo(snapshot map[string]twohop.Offset) {
	for name, tail := range snapshot {
		if l, ok := st.Links[name]; ok && behind(l.Acked, tail) {
			l.Acked = tail
			st.Links[name] = l
		}
	}
}

// streamInfo is a linked channel as workers see it.
type streamInfo struct {
	Path       string         `json:"path"`
	LinkType   string         `json:"link_type"`
	Acked      twohop.Offset  `json:"acked_offset"`
	Tail       *twohop.Offset `json:"tail_offset,omitempty"`
	HasPending *bool          `json:"has_pending,omitempty"`
}

func (st *state) links() []streamInfo {
	list := make([]streamInfo, 0, len(st.Links))
	for name, l := range st.Links {
		kind := "glob"
		if l.Explicit {
			kind = "explicit"
		}
		list = append(list, streamInfo{Path: name, LinkType: kind, Acked: l.Acked})
	}
	slices.SortFunc(list, func(a, b streamInfo) int { return cmp.Compare(a.Path, b.Path) })
	return list
}

// maxTold is how many channels one wake tells of. What is pending comes first,
// and what does not fit gets the next wake.
const maxTold = 1000

// told lists what a worker is told of the linked channels.
func (st *state) told(tails map[string]twohop.Offset) []streamInfo {
	list := st.links()
	for i := range list {
		tail := tails[list[i].Path]
		yes := behind(list[i].Acked, tail)
		list[i].Tail, list[i].HasPending = &tail, &yes
	}
	if len(list) > maxTold {
		slices.SortStableFunc(list, func(a, b streamInfo) int { return rank(a) - rank(b) })
		list = list[:maxTold]
	}
	return list
}

func rank(i streamInfo) int {
	if *i.HasPending {
		return 0
	}
	return 1
}
