package subscription

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"twohop"
)

// storeTimeout bounds what one turn of a subscription's goroutine may wait for
// the store.
const storeTimeout = 10 * time.Second

// announceGrace is how long other nodes leave it to the one that issued a wake
// to announce it.
const announceGrace = 5 * time.Second

// sub is a subscription as one node keeps it.
type sub struct {
	m       *Manager
	id      string
	channel string
	glob    glob

	ops     chan op
	results chan result
	signal  chan struct{} // one token: there is something in the inbox
	gone    chan struct{} // closed when the goroutine has ended

	// inbox is what others tell the goroutine.
	inbox struct {
		sync.Mutex

		marks   map[string]mark
		state   twohop.Offset // the tail of the subscription's own channel
		recheck bool
	}

	// The rest belongs to the goroutine.
	st      *state        // nil until it was read
	tail    twohop.Offset // after the record that holds st
	deleted bool          // gone, here or on another node

	// tails are the newest known ends of the linked channels, zero where there
	// is nothing to read. They may be old, never wrong: before a wake is issued
	// the store is asked.
	tails   map[string]twohop.Offset
	listed  bool      // the pattern's channels were listed
	crowded time.Time // when channels began to be left out for MaxStreams, zero if none are

	attempt       bool      // this node has to carry out the attempt that st says is under way
	mine          string    // the wake that this node issued, and has to announce
	announceAt    time.Time // after failures: not before
	announceFails int       // in a row
	troubleAt     time.Time // after failures of the store: not before
	troubles      int       // in a row
}

// op is a request that runs on the goroutine.
type op struct {
	run  func(context.Context) error
	done chan error // has room for the answer
}

func newSub(m *Manager, id string) *sub {
	s := &sub{
		m: m, id: id, channel: stateChannels + id,
		ops: make(chan op), results: make(chan result), signal: make(chan struct{}, 1), gone: make(chan struct{}),
		tails: map[string]twohop.Offset{},
	}
	s.inbox.marks = map[string]mark{}
	return s
}

func (s *sub) tellMark(channel string, n mark) {
	s.inbox.Lock()
	s.inbox.marks[channel] = n.after(s.inbox.marks[channel])
	s.inbox.Unlock()
	wakeUp(s.signal)
}

func (s *sub) tellState(tail twohop.Offset) {
	s.inbox.Lock()
	s.inbox.state = tail
	s.inbox.Unlock()
	wakeUp(s.signal)
}

func (s *sub) tellRecheck() {
	s.inbox.Lock()
	s.inbox.recheck = true
	s.inbox.Unlock()
	wakeUp(s.signal)
}

// do runs f on the goroutine, with the newest state, and waits for it. When ctx
// ends first f still runs: what it writes may be read only if do returns nil.
func (s *sub) do(ctx context.Context, f func(context.Context) error) error {
	o := op{run: f, done: make(chan error, 1)}
	select {
	case s.ops <- o:
		select {
		case err := <-o.done: // once taken, it is carried out
			if noSubscription(err) {
				<-s.gone // so that the id is free
			}
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	case <-s.gone:
		if s.deleted {
			return errNoSubscription
		}
		return errNotRunning
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run is the goroutine.
func (s *sub) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // deliveries end too
	defer close(s.gone)
	defer s.m.forget(s)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !s.deleted {
		select {
		case <-ctx.Done():
			return
		case o := <-s.ops:
			s.turn(ctx, &o, nil)
		case r := <-s.results:
			s.turn(ctx, nil, &r)
		case <-s.signal:
			s.turn(ctx, nil, nil)
		case <-timer.C:
			s.turn(ctx, nil, nil)
		}
		if d, ok := s.rest(); ok {
			timer.Reset(d)
		} else {
			timer.Stop()
		}
	}
}

// turn brings the subscription up to date, and carries out an op or takes the
// result of a delivery.
func (s *sub) turn(life context.Context, o *op, r *result) {
	ctx, cancel := context.WithTimeout(life, storeTimeout)
	defer cancel()
	err := s.fresh(ctx, o != nil)
	if err == nil {
		err = s.step(ctx)
	}
	switch {
	case o != nil && err == nil:
		o.done <- o.run(ctx)
	case o != nil:
		o.done <- err
	case r != nil && err == nil:
		err = s.delivered(ctx, r)
	}
	s.deliver(ctx, life)
	if err == nil {
		err = s.announce(ctx)
	}
	if s.deleted {
		return
	}
	if err == nil || life.Err() != nil {
		s.troubles, s.troubleAt = 0, time.Time{}
		return
	}
	s.troubles++
	s.troubleAt = clock().Add(backoff(s.troubles, anyJitter()))
	s.log().Warn("subscription waits for the store", "error", err, "retry", s.troubleAt)
}

// rest is how long the goroutine may sleep if nobody tells it anything.
func (s *sub) rest() (time.Duration, bool) {
	at := s.troubleAt
	if at.IsZero() && s.st != nil {
		at = sooner(sooner(s.st.due(), s.announceDue()), s.roomDue())
	}
	return time.Until(at), !at.IsZero()
}

// fresh reads the state if there is a newer one. When ask is set the store is
// asked whether there is; otherwise what the inbox says is enough.
func (s *sub) fresh(ctx context.Context, ask bool) error {
	s.inbox.Lock()
	told := s.inbox.state
	if s.inbox.recheck {
		s.listed, s.inbox.recheck = false, false
		clear(s.tails)
	}
	s.inbox.Unlock()
	if s.st == nil || told.Compare(s.tail) > 0 {
		if err := s.load(ctx); err != nil {
			return err
		}
	} else if ask {
		info, err := s.m.store.Info(ctx, s.channel)
		if err != nil {
			return s.lost(err)
		}
		if info.Tail != s.tail {
			if err := s.load(ctx); err != nil {
				return err
			}
		}
	}
	if at := s.roomDue(); !at.IsZero() && !clock().Before(at) {
		s.crowded, s.listed = time.Time{}, false
	}
	if !s.listed {
		return s.look(ctx)
	}
	return nil
}

// load reads the state from the log.
func (s *sub) load(ctx context.Context) error {
	st := &state{}
	tail, err := last(ctx, s.m.store, s.channel, st)
	if err != nil {
		return s.lost(err)
	}
	if st.Links == nil {
		st.Links = map[string]link{}
	}
	s.st, s.tail = st, tail
	s.glob = parseGlob(st.Config.Pattern)
	s.m.follow(s, &st.Config, st.Links)
	err = s.ask(ctx) // first: what is gone makes room
	for name := range s.tails {
		if err == nil {
			err = s.discover(ctx, name)
		}
	}
	if err != nil {
		s.listed = false // the next look finds the rest
	}
	return err
}

// update changes the state: f is run on a copy, which is then written if f says
// so. If another node was faster, f is run again on what that one wrote. What f
// returns besides is returned.
func (s *sub) update(ctx context.Context, f func(*state) (write bool, err error)) error {
	for range 16 {
		next := s.st.clone()
		write, err := f(next)
		if err != nil || !write {
			return err
		}
		won, err := s.save(ctx, next)
		if won || err != nil {
			return err
		}
	}
	return &twohop.Error{Code: twohop.CodeUnavailable, Message: "the subscription is being changed by others all the time", Hint: "try again"}
}

// save writes a state in place of the present one. It reports false if another
// node did so first; the state is then that node's.
func (s *sub) save(ctx context.Context, next *state) (bool, error) {
	next.Write = s.m.node + "-" + strconv.FormatUint(s.m.writes.Add(1), 10)
	data, ends, err := record(next)
	if err != nil {
		return false, err
	}
	issued, attempted := next.differs(s.st)
	for try := 0; ; try++ {
		at := s.tail
		ack, err := s.m.store.Append(ctx, &twohop.Append{
			Channel: s.channel, ContentType: jsonType, If: &at,
			Data: append([]byte(nil), data...), Ends: append([]uint32(nil), ends...),
		})
		switch code := codeOf(err); {
		case err == nil:
			s.st, s.tail = next, ack.Offset
			s.owe(issued, attempted)
			return true, nil
		case code == twohop.CodeTailMoved:
			// The one that won may be this very write, tried before with an
			// unknown outcome.
			err := s.load(ctx)
			if err != nil || s.st.Write != next.Write {
				return false, err
			}
			s.owe(issued, attempted)
			return true, nil
		case code == twohop.CodeUnknownOutcome && try < 3:
			continue // under the same condition only one of them can take effect
		default:
			return false, s.lost(err)
		}
	}
}

// lost takes an error of the subscription's own channel: if that is gone, so is
// the subscription.
func (s *sub) lost(err error) error {
	if !absent(err) {
		return err
	}
	s.deleted = true
	return errNoSubscription
}

// owe notes what this node has to do because it wrote it.
func (s *sub) owe(issued, attempted bool) {
	if issued {
		s.mine, s.announceAt, s.announceFails = s.st.Wake.ID, time.Time{}, 0
	}
	s.attempt = s.attempt || attempted
}

func (s *sub) log() *slog.Logger { return s.m.opt.Log.With("subscription", s.id) }
