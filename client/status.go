package client

import "fmt"

// State is what a Conn does.
type State uint8

// The states.
const (
	Idle       State = iota // nothing is followed
	Connecting              // a connection is being made
	Open                    // it serves
	Waiting                 // it failed, and is made anew after a wait
	Closed                  // the Conn has ended
)

var stateNames = [...]string{"idle", "connecting", "open", "waiting", "closed"}

func (s State) String() string { return stateNames[s] }

// Status is how a Conn stands.
type Status struct {
	State      State
	Transport  Transport // that serves, or is being tried
	Advice     Advice    // what Auto would use if everything got through
	BytesIn    uint64    // of frames
	Batches    uint64
	Records    uint64 // in JSON channels; elsewhere a batch counts as one
	Reconnects uint64 // connections but the first
	LastError  error
}

func (s Status) String() string {
	return fmt.Sprintf("%v over %v, %d records in %d batches, %d reconnects", s.State, s.Transport, s.Records, s.Batches, s.Reconnects)
}

// Status tells how the Conn stands.
func (c *Conn) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// enter changes the state. The lock is held.
func (c *Conn) enter(s State, t Transport) {
	if c.status.State == s && c.status.Transport == t {
		return
	}
	c.status.State, c.status.Transport = s, t
	if c.opts.OnStatus != nil {
		now := c.status
		c.notes = append(c.notes, func() { c.opts.OnStatus(now) })
	}
}
