package subscription

import (
	"context"

	"twohop"
)

// absorb takes from the inbox how far channels have grown.
func (s *sub) absorb() {
	s.inbox.Lock()
	var marks map[string]twohop.Offset
	if len(s.inbox.tails) > 0 {
		marks, s.inbox.tails = s.inbox.tails, map[string]twohop.Offset{}
	}
	s.inbox.Unlock()
	for name, tail := range marks {
		s.raise(name, tail)
		s.discover(name)
	}
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
func (s *sub) discover(name string) {
	if _, linked := s.st.Links[name]; linked {
		return
	}
	if !s.matches(name) {
		delete(s.tails, name)
		return
	}
	if len(s.st.Links) >= s.m.opt.MaxStreams {
		delete(s.tails, name)
		if !s.crowded {
			s.log().Warn("subscription leaves out channels that its pattern matches", "channel", name, "limit", s.m.opt.MaxStreams)
		}
		s.crowded = true
		return
	}
	s.st.Links[name] = link{}
}

// look finds the channels that the pattern matches, and asks for the tails that
// are not known. If time runs out, the next call goes on from there.
func (s *sub) look(ctx context.Context) error {
	names, err := s.m.list(ctx, s.glob)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, linked := s.st.Links[name]; !linked && s.matches(name) {
			s.discover(name)
		}
	}
	if err := s.ask(ctx); err != nil {
		return err
	}
	s.listed = true
	return nil
}

// list returns the names of all channels that a pattern matches, but for the
// server's own.
func (m *Manager) list(ctx context.Context, g glob) ([]string, error) {
	if g == nil {
		return nil, nil
	}
	var names []string
	for after := ""; ; {
		page, err := m.store.List(ctx, g.scope(), after, listPage)
		if err != nil {
			return nil, err
		}
		for _, name := range page {
			if g.matches(name) && !twohop.Reserved(name) {
				names = append(names, name)
			}
		}
		if len(page) < listPage {
			return names, nil
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
		delete(st.Links, name) // if it comes back it is discovered
		delete(s.tails, name)
		return nil
	case absent(err):
		s.tails[name] = twohop.Offset{}
		return nil
	case err != nil:
		return err
	}
	if !l.Acked.IsZero() && l.Acked.Epoch < info.Start.Epoch {
		l.Acked = twohop.Offset{} // it was deleted and made anew
		st.Links[name] = l
	}
	s.tails[name] = info.Tail
	if info.Start == info.Tail && info.Tail != l.Acked {
		s.tails[name] = twohop.Offset{} // nothing is there to be read
	}
	return nil
}

// pending lists the channels that have something for a worker. Those that seem
// so are asked again, because channels are deleted without a word.
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
