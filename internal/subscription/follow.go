package subscription

import (
	"context"
	"time"

	"twohop"
)

// absorb takes from the inbox what became of channels.
func (s *sub) absorb(ctx context.Context) error {
	s.inbox.Lock()
	var marks map[string]mark
	if len(s.inbox.marks) > 0 {
		marks, s.inbox.marks = s.inbox.marks, map[string]mark{}
	}
	s.inbox.Unlock()
	for name, n := range marks {
		if n.deleted {
			delete(s.tails, name)
		} else {
			s.raise(name, n.tail)
		}
	}
	err := s.relink(ctx, marks)
	if err != nil {
		s.listed = false // the next look finds the rest
	}
	return err
}

// relink drops and adds links as the marks say.
func (s *sub) relink(ctx context.Context, marks map[string]mark) error {
	for name, n := range marks { // first: what is gone makes room
		if _, linked := s.st.Links[name]; !linked || !n.deleted {
			continue
		}
		if err := s.verify(ctx, s.st, name); err != nil {
			return err
		}
	}
	for name, n := range marks {
		if n.tail.IsZero() {
			continue
		}
		s.raise(name, n.tail)
		if err := s.discover(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// raise notes a tail. Tails of a name only grow: a new log has a larger epoch.
func (s *sub) raise(name string, tail twohop.Offset) {
	if old, known := s.tails[name]; !known || tail.Compare(old) > 0 {
		s.tails[name] = tail
	}
}

// matches reports whether a channel is linked by the pattern.
func (s *sub) matches(name string) bool {
	return s.glob.matches(name) && !twohop.Reserved(name) && !s.m.isWakeStream(name)
}

// discover links a channel that the pattern matches and that was not there
// before, from its beginning. The link need not be written: any node finds the
// channel again.
func (s *sub) discover(ctx context.Context, name string) error {
	if _, linked := s.st.Links[name]; linked {
		return nil
	}
	if !s.matches(name) {
		delete(s.tails, name)
		return nil
	}
	room, err := s.room(ctx, name)
	if !room {
		delete(s.tails, name)
		return err
	}
	s.st.Links[name] = link{}
	return nil
}

// crowdPause is how often a subscription that leaves out channels looks whether
// links of its own are over, and for the channels once there is room.
const crowdPause = time.Minute

// room reports whether one more channel may be linked. If not, it looks for
// links to channels that are gone, of which this node may not have been told.
// Those that are pending are looked at for their wake.
func (s *sub) room(ctx context.Context, name string) (bool, error) {
	if len(s.st.Links) < s.m.opt.MaxStreams {
		return true, nil
	}
	now := clock()
	if !s.crowded.IsZero() && now.Before(s.crowded.Add(crowdPause)) {
		return false, nil
	}
	for old, l := range s.st.Links {
		if l.Explicit || behind(l.Acked, s.tails[old]) {
			continue
		}
		if err := s.verify(ctx, s.st, old); err != nil {
			return false, err
		}
	}
	if len(s.st.Links) < s.m.opt.MaxStreams {
		return true, nil
	}
	if s.crowded.IsZero() {
		s.log().Warn("subscription leaves out channels that its pattern matches", "channel", name, "limit", s.m.opt.MaxStreams)
	}
	s.crowded = now
	return false, nil
}

// roomDue is when to look for the channels that were left out; zero is never.
func (s *sub) roomDue() time.Time {
	if s.crowded.IsZero() || len(s.st.Links) >= s.m.opt.MaxStreams {
		return time.Time{}
	}
	return s.crowded.Add(crowdPause)
}

// look finds the channels that the pattern matches, and asks for the tails that
// are not known. If time runs out, the next call goes on from there.
func (s *sub) look(ctx context.Context) error {
	err := s.unlinked(ctx, func(name string) (more bool, err error) {
		err = s.discover(ctx, name)
		_, more = s.st.Links[name] // else there is no room
		return more, err
	})
	if err != nil {
		return err
	}
	if err := s.ask(ctx); err != nil {
		return err
	}
	s.listed = true
	return nil
}

// unlinked calls f for the channels that the pattern matches and that are not
// linked, until f wants no more: a store may have millions.
func (s *sub) unlinked(ctx context.Context, f func(name string) (more bool, err error)) error {
	if s.glob == nil {
		return nil
	}
	for after := ""; ; {
		page, err := s.m.store.List(ctx, s.glob.scope(), after, listPage)
		if err != nil {
			return err
		}
		for _, name := range page {
			if _, linked := s.st.Links[name]; linked || !s.matches(name) {
				continue
			}
			if more, err := f(name); !more || err != nil {
				return err
			}
		}
		if len(page) < listPage {
			return nil
		}
		after = page[len(page)-1]
	}
}

// ask asks for the tails of linked channels that are not known.
func (s *sub) ask(ctx context.Context) error {
	for name := range s.st.Links {
		if _, known := s.tails[name]; known {
			continue
		}
		if err := s.verify(ctx, s.st, name); err != nil {
			return err
		}
	}
	return nil
}

// verify asks the store for the tail of a linked channel, and mends the link if
// the channel is another one than when it was linked.
func (s *sub) verify(ctx context.Context, st *state, name string) error {
	l := st.Links[name]
	info, err := s.m.store.Info(ctx, name)
	switch {
	case absent(err) && !l.Explicit:
		s.drop(st, name)
		return nil
	case absent(err):
		s.tails[name] = twohop.Offset{}
		return nil
	case err != nil:
		return err
	}
	if !l.Acked.IsZero() && (l.Acked.Epoch < info.Start.Epoch || l.Acked.Epoch > info.Tail.Epoch) {
		l.Acked = twohop.Offset{} // it was deleted and made anew, maybe as a fork of something older
		st.Links[name] = l
	}
	s.tails[name] = info.Tail
	if info.Start == info.Tail && info.Tail != l.Acked {
		s.tails[name] = twohop.Offset{} // nothing is there to be read
	}
	return nil
}

// drop ends the link to a channel that is gone; if it comes back it is
// discovered. That need not be written: any node finds out.
func (s *sub) drop(st *state, name string) {
	st.drop(name, s.m.opt.MaxStreams)
	s.st.drop(name, s.m.opt.MaxStreams) // st may be a copy that is not written
	delete(s.tails, name)
}

// pending lists the channels that have something for a worker. Those that seem
// so are asked again: what is known of them may be old.
func (s *sub) pending(ctx context.Context, st *state) []string {
	seeming := st.pending(s.tails)
	real := seeming[:0]
	for _, name := range seeming {
		if !st.Links[name].Explicit && !s.matches(name) {
			continue // has become a wake stream
		}
		if err := s.verify(ctx, st, name); err != nil {
			s.log().Warn("asking for the tail of a channel", "channel", name, "error", err)
		}
		if l, linked := st.Links[name]; linked && behind(l.Acked, s.tails[name]) {
			real = append(real, name)
		}
	}
	return real
}

// tailNow is where to begin with a channel that is being linked: its tail, or
// the beginning if it does not exist.
func (m *Manager) tailNow(ctx context.Context, name string) (twohop.Offset, error) {
	info, err := m.store.Info(ctx, name)
	if absent(err) {
		return twohop.Offset{}, nil
	}
	return info.Tail, err
}
