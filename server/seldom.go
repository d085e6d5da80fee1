package server

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// seldom leaves warnings and errors out that come again and again: when a disk
// fails every publish does, and a log that fills the disk would be the next
// failure. Messages are told apart by their text, which is one of a few.
type seldom struct {
	slog.Handler
	said *said
}

const (
	saidOften = 10 // times in a while, then the rest of it is left out
	saidWhile = 10 * time.Second
)

// said is what was logged, by message.
type said struct {
	sync.Mutex
	of map[string]*saying
}

type saying struct {
	began time.Time
	n     int // since then
}

func newSeldom(h slog.Handler) seldom { return seldom{h, &said{of: map[string]*saying{}}} }

// Handle implements slog.Handler.
func (s seldom) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return s.Handler.Handle(ctx, r)
	}
	leftOut, ok := s.said.again(r.Message, time.Now())
	if !ok {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return s.Handler.Handle(ctx, r)
}

// again counts a message. It returns how many were left out before it, and false
// if it is to be left out, too.
func (s *said) again(message string, now time.Time) (leftOut int, ok bool) {
	s.Lock()
	defer s.Unlock()
	m := s.of[message]
	if m == nil {
		m = &saying{began: now}
		s.of[message] = m
	}
	if now.Sub(m.began) >= saidWhile {
		leftOut = max(0, m.n-saidOften)
		*m = saying{began: now}
	}
	m.n++
	return leftOut, m.n <= saidOften
}

// WithAttrs implements slog.Handler.
func (s seldom) WithAttrs(attrs []slog.Attr) slog.Handler {
	return seldom{s.Handler.WithAttrs(attrs), s.said}
}

// WithGroup implements slog.Handler.
func (s seldom) WithGroup(name string) slog.Handler { return seldom{s.Handler.WithGroup(name), s.said} }
