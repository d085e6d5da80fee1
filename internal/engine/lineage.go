package engine

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"

	"twohop"
)

// NewState is the state of a new channel that is not a fork.
func NewState(name string, spec *twohop.Spec, epoch uint64, now time.Time) *State {
	return &State{
		Name: name, Epoch: epoch, ContentType: cmp.Or(spec.ContentType, defaultContentType), Created: now,
		TTL: spec.TTL, ExpiresAt: spec.ExpiresAt, Sync: spec.Sync, Retention: spec.Retention,
	}
}

// NewFork is the state of a new fork of s that leaves it at a position.
func (s *State) NewFork(name string, spec *twohop.Spec, at, epoch uint64, now time.Time) (*State, error) {
	if spec.ContentType != "" && !twohop.SameContentType(spec.ContentType, s.ContentType) {
		return nil, &twohop.Error{Code: twohop.CodeContentType, Channel: name,
			Message: fmt.Sprintf("the source keeps %s, the fork wants %s", s.ContentType, spec.ContentType),
			Hint:    "leave Content-Type out: a fork has its source's"}
	}
	f := NewState(name, spec, epoch, now)
	fork := *spec.Fork
	f.Fork, f.ContentType = &fork, s.ContentType
	if f.TTL == 0 && f.ExpiresAt.IsZero() {
		f.TTL, f.ExpiresAt = s.TTL, s.ExpiresAt
	}
	f.Base, f.Start, f.Tail = at, min(s.Start, at), at
	whole := append(slices.Clip(s.Parents), s.Own())
	n := sort.Search(len(whole), func(i int) bool { return whole[i].From >= at })
	f.Parents = append(f.Parents, whole[:n]...) // a copy: the fork of a long lineage may inherit little of it
	if n > 0 {
		last := &f.Parents[n-1]
		last.To = min(last.To, at)
	}
	return f, nil
}

// ForkPoint is the position at which f leaves s. What is left of f.Sub is the
// number of bytes of the record there that the fork inherits as a record of its
// own; the engine has to look whether the record has that many.
func (s *State) ForkPoint(f *twohop.Fork) (pos, sub uint64, err error) {
	if s.Deleted {
		return 0, 0, &twohop.Error{Code: twohop.CodeForkSource, Channel: s.Name,
			Message: "the source of the fork was deleted", Hint: "fork a channel that is not deleted, for example a fork of this one"}
	}
	if f.At == nil {
		if f.Sub > 0 {
			return 0, 0, BadForkOffset(s.Name, "there is nothing past the tail")
		}
		return s.Tail, 0, nil
	}
	if pos, err = s.Locate(*f.At); err != nil {
		return 0, 0, BadForkOffset(s.Name, fmt.Sprintf("the source cannot be read from offset %s", *f.At))
	}
	if f.Sub == 0 {
		return pos, 0, nil
	}
	if f.Sub > s.Tail-pos && twohop.IsJSON(s.ContentType) {
		return 0, 0, BadForkOffset(s.Name, fmt.Sprintf("only %d records follow the fork offset, %d are asked for", s.Tail-pos, f.Sub))
	}
	if pos == s.Tail {
		return 0, 0, BadForkOffset(s.Name, "no record follows the fork offset")
	}
	if twohop.IsJSON(s.ContentType) {
		return pos + f.Sub, 0, nil
	}
	return pos, f.Sub, nil
}

// Renew begins a new log epoch at the tail: what follows it can then never be
// taken for records of the old epoch that were shown and lost.
func (s *State) Renew(epoch uint64) {
	if s.Tail > s.Base || len(s.Parents) == 0 {
		s.Parents = append(slices.Clip(s.Parents), s.Own())
	}
	s.Epoch, s.Base = epoch, s.Tail
}

// BadForkOffset is the error of a fork that leaves its source at no place of it.
func BadForkOffset(source, why string) error {
	return &twohop.Error{Code: twohop.CodeForkOffset, Channel: source, Message: why,
		Hint: "fork at an offset that the source gave, and at most at the end of the record after it"}
}
