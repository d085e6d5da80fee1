package bench

import (
	"context"
	"time"
)

// clock tells nanoseconds since the bench began. It cannot be set back.
type clock struct{ began time.Time }

func (c clock) now() int64 { return int64(time.Since(c.began)) }

// A driver does the I/O of readers. Their state, and their groups' tallies, may
// be touched only inside of do while they are with a driver.
type driver interface {
	open(readers []*reader)              // connects them, a few hundred at a time
	drop(readers []*reader)              // closes their connections, wherever they are
	stall(readers []*reader, stall bool) // stops reading from them, or goes on
	do(f func())                         // runs f between two reads, and waits for it
	close()                              // ends everything, and waits for it
}

// connecting bounds how many connections are being made at a time.
const connecting = 256

// await asks again and again, inside of do, whether something has come about.
func await(ctx context.Context, d driver, every time.Duration, come func() bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var ok bool
		d.do(func() { ok = come() })
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// rest waits.
func rest(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
