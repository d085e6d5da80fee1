package park

import "time"

// FanOut is a task that tells many of what happened. What happens again before
// it begins costs it nothing more.
type FanOut interface {
	Task
	// Began is when it began the last time.
	Began() time.Time
}

// fanOuts are fan-outs that have not begun, the oldest first.
//
// A round begins all that came in it, but no more than are worth many sends,
// because whoever publishes waits until it is over. When there is something to
// do in each round, and what is published next would often go out with what
// waits, it begins a few only: the busier a loop is, the more it sends at once.
// Of those that have waited for the lag it begins more; only where more came than
// it can send does one wait longer.
type fanOuts struct {
	lag     time.Duration
	waiting []waitingFanOut
	first   int // of waiting; those before it have begun

	// Of those that came lately, how many came within the lag after their last one
	// began: had that waited, the two would be one.
	came, near int
}

type waitingFanOut struct {
	FanOut
	since time.Time
}

// Sends of fan-outs that a round begins.
const (
	fewSends  = 16
	manySends = 256
	lateSends = 1024
)

func (f *fanOuts) len() int { return len(f.waiting) - f.first }

func (f *fanOuts) add(o FanOut, now time.Time) {
	if f.came++; now.Sub(o.Began()) < f.lag {
		f.near++
	}
	if f.came >= 1024 {
		f.came, f.near = f.came/2, f.near/2
	}
	f.waiting = append(f.waiting, waitingFanOut{o, now})
}

// pays reports whether at least every fifth would not have to be sent if all
// waited for the lag.
func (f *fanOuts) pays() bool { return f.near > 0 && f.near*5 >= f.came }

// next takes the fan-out that is to begin now, in a round that has sent so much
// for others, and in which something happened or not. It returns nil if none is.
func (f *fanOuts) next(now time.Time, happened bool, sent int) FanOut {
	if f.len() == 0 {
		return nil
	}
	o, most := &f.waiting[f.first], manySends
	switch {
	case now.Sub(o.since) >= f.lag:
		most = lateSends
	case happened && f.pays():
		most = fewSends
	}
	if sent >= most {
		return nil
	}
	next := o.FanOut
	*o = waitingFanOut{}
	if f.first++; 2*f.first >= len(f.waiting) {
		n := copy(f.waiting, f.waiting[f.first:])
		clear(f.waiting[n:])
		f.waiting, f.first = f.waiting[:n], 0
	}
	return next
}

// behind is how long the oldest has waited.
func (f *fanOuts) behind(now time.Time) time.Duration {
	if f.len() == 0 {
		return 0
	}
	return now.Sub(f.waiting[f.first].since)
}
