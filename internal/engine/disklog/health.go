package disklog

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"twohop"
)

// watch answers clients when the disk does not take writes, and lets the store
// go when it is closed in such a state.
func (e *Engine) watch() {
	defer close(e.watched)
	var was error
	for {
		select {
		case <-e.guard.changed:
		case <-e.unwatch:
			return
		}
		err := e.guard.trouble()
		flight, waiting := e.queue.refuse(err)
		for _, it := range flight {
			it.finish(&result{err: unknown(it.name, err)})
		}
		for _, it := range waiting {
			it.finish(&result{err: err})
		}
		if err != nil && e.closing() {
			e.guard.kill()
		}
		if (err == nil) != (was == nil) {
			e.logHealth(err)
		}
		was = err
	}
}

func (e *Engine) logHealth(err error) {
	if err == nil {
		e.opts.Logger.Info("the disk takes writes again")
	} else {
		e.opts.Logger.Error("the disk takes no writes", slog.Any("error", err))
	}
}

// Healthy implements engine.Engine.
func (e *Engine) Healthy() error {
	if e.closing() {
		return closing("")
	}
	if err := e.guard.trouble(); err != nil {
		return err
	}
	return e.space.check()
}

const (
	defaultReserve = 64 << 20
	spaceAge       = 100 * time.Millisecond // for so long a look at the disk holds
)

// space looks after the room on the disk.
type space struct {
	fs      vfs.FS
	dir     string
	reserve uint64

	mu struct {
		sync.Mutex
		at  time.Time
		err error
	}
}

// check returns an error if appends would eat up the reserve.
func (s *space) check() error {
	err, fresh := s.known()
	if fresh {
		return err
	}
	err = s.look()
	s.mu.Lock()
	s.mu.at, s.mu.err = time.Now(), err
	s.mu.Unlock()
	return err
}

// known is what check found lately, if it did.
func (s *space) known() (err error, fresh bool) { //nolint:revive // the error is the answer
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.err, time.Since(s.mu.at) < spaceAge
}

func (s *space) look() error {
	u, err := s.fs.GetDiskUsage(s.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return nil // the guard will see whether writes fail
	}
	reserve := s.reserve
	if reserve == 0 {
		reserve = min(defaultReserve, u.TotalBytes/16)
	}
	if u.AvailBytes < reserve {
		return &twohop.Error{Code: twohop.CodeStorageFull, Message: "the disk is almost full; what is left is kept for deletions",
			Hint: "make room or delete channels; the server takes appends again by itself"}
	}
	return nil
}
