//go:build linux

package httpstream

import (
	"sync"
	"time"

	"twohop/internal/park"
)

// Finish has loops take on no more requests. What is under way goes on. When it
// returns all loops know, so whoever is not counted in Stats then, and finds the
// loops quiet, can close them without cutting anyone off. It comes before Close.
func (p *Parked) Finish() {
	var known sync.WaitGroup
	for _, l := range p.loops {
		known.Add(1)
		l.loop.Post(finishTask{l, &known})
	}
	known.Wait()
}

// finishTask tells a loop of Finish.
type finishTask struct {
	p     *parkedLoop
	known *sync.WaitGroup
}

// Turn implements park.Task.
func (f finishTask) Turn() bool {
	f.p.finishes = true
	f.known.Done()
	return false
}

// Quiet reports whether all that was answered on loops has been sent, and all
// that they handed over has been accepted. Requests that they wait for are in
// Stats.
func (p *Parked) Quiet() bool {
	for _, l := range p.loops {
		if !l.loop.Quiet() {
			return false
		}
	}
	return p.over.Waiting() == 0 // the last, as loops hand over
}

// Behind is how long the fan-out that has waited longest has, on any loop.
func (p *Parked) Behind() (longest time.Duration) {
	for _, l := range p.loops {
		longest = max(longest, l.loop.Behind())
	}
	return longest
}

// leaveUnread leaves what came with the kernel, for a full HTTP server if the
// connection is handed over yet.
func leaveUnread(c *park.Conn) {
	if c.Paused() { // it broke
		c.Close()
		return
	}
	c.Pause(true)
}
