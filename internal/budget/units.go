package budget

import (
	"errors"
	"fmt"
	"math"
)

// Units are what things cost a server on some machine. CPU is in microseconds.
type Units struct {
	Publish   Event                 `json:"publish"`          // of one record, kept in memory
	Poll      Event                 `json:"poll"`             // the request and its answer
	Write     map[Transport]Pace    `json:"cpu_us_per_write"` // to one reader, without its bytes
	Connect   map[Transport]float64 `json:"cpu_us_per_connect"`
	KiB       float64               `json:"cpu_us_per_kib"`                // sent to a reader
	Idle      map[Transport]float64 `json:"idle_cpu_us_per_reader_second"` // without heartbeats
	Memory    map[Transport]float64 `json:"memory_bytes_per_reader"`
	Channel   map[Transport]float64 `json:"memory_bytes_per_channel"` // that is read
	Cursor    float64               `json:"memory_bytes_per_cursor"`  // of each further channel on a connection
	Framing   map[Transport]float64 `json:"framing_bytes"`            // of a write or answer, with its header, around the records
	Unchanged float64               `json:"bytes_unchanged"`
}

// Event is the CPU of something that comes from outside. The less a server has
// to do, the more often it sleeps when something comes, and has to be woken.
type Event struct {
	Busy   float64 `json:"cpu_us_busy"` // when the server is at work already
	Seldom Wakes   `json:"wakes_seldom"`
	Often  Wakes   `json:"wakes_often"`
}

// Wakes is what it took to wake a server for events at a rate, if it slept
// before each.
type Wakes struct {
	PerSecond float64 `json:"per_second"`
	Cores     float64 `json:"cores"`
}

// Wakes is the CPU of waking a server for events at a rate, in cores. One that
// worked a moment ago wakes easily: between the rates that were measured, and
// beyond, it grows as a power of the rate, and below them with it.
func (e Event) Wakes(rate float64) float64 {
	s, o := e.Seldom, e.Often
	if rate <= 0 || s.Cores <= 0 || s.PerSecond <= 0 {
		return 0
	}
	if rate <= s.PerSecond {
		return s.Cores * rate / s.PerSecond
	}
	power := 0.0
	if o.Cores > s.Cores && o.PerSecond > s.PerSecond {
		power = min(1, math.Log(o.Cores/s.Cores)/math.Log(o.PerSecond/s.PerSecond))
	}
	return s.Cores * math.Pow(rate/s.PerSecond, power)
}

// Pace is the CPU of something that is done again and again. What is done seldom
// finds the machine's caches cold, and whoever waits for it asleep.
type Pace struct {
	Often  float64 `json:"often"`  // Often times a second
	Seldom float64 `json:"seldom"` // Seldom times a second
}

// The paces at which a Pace is measured.
const (
	Often  = 40.0
	Seldom = 3.0
)

// At is the CPU at a rate: in between it grows as much with each doubling of the
// time, never by so much that doing less would cost more.
func (p Pace) At(rate float64) float64 {
	doublings := math.Log(Often / min(Often, max(Seldom, rate)))
	slope := (p.Seldom - p.Often) / math.Log(Often/Seldom)
	return p.Often + doublings*min(p.Often, max(0, slope))
}

// Check says what is missing in units that came from outside.
func (u *Units) Check() error {
	var missing []error
	need := func(v float64, format string, args ...any) {
		if v <= 0 {
			missing = append(missing, fmt.Errorf(format, args...))
		}
	}
	need(u.Publish.Busy, "publish")
	need(u.Poll.Busy, "poll")
	need(u.Framing[Poll], "framing_bytes of poll")
	need(u.Unchanged, "bytes_unchanged")
	for _, t := range []Transport{SSE, WebSocket, LongPoll} {
		if _, ok := u.Write[t]; !ok {
			missing = append(missing, fmt.Errorf("cpu_us_per_write of %s", t))
		}
		need(u.Connect[t], "cpu_us_per_connect of %s", t)
		if t != WebSocket { // whose frames are known
			need(u.Framing[t], "framing_bytes of %s", t)
		}
	}
	return errors.Join(missing...)
}

// work is what a server does in a second.
type work struct {
	publishes, polls float64
	turns            float64 // that a timer begins
	writes           map[Transport]float64
	pace             float64 // writes to one reader
	connects         map[Transport]float64
	bytes            float64 // sent
	idle             float64 // CPU of readers that wait, in microseconds
}

// cores is the CPU that a server needs for its work, in cores.
//
// Events find it asleep as often as it is idle, so with B for the work itself
// and W for waking it each time, its share of a core is B + (1-share) W, which
// gives the share below. A server with more to do than one core can never
// sleeps long.
func (u *Units) cores(w *work) float64 {
	busy := w.publishes*u.Publish.Busy + w.polls*u.Poll.Busy + w.bytes/1024*u.KiB + w.idle
	for t, n := range w.writes {
		busy += n * u.Write[t].At(w.pace)
	}
	for t, n := range w.connects {
		busy += n * u.Connect[t]
	}
	return Awake(busy/1e6, u.Publish.Wakes(w.publishes+w.turns)+u.Poll.Wakes(w.polls))
}

// Awake is the CPU of a server, in cores, whose work is so much and whose wakes
// would be, if it slept before each event.
func Awake(busy, wakes float64) float64 {
	if busy >= 1 {
		return busy
	}
	return (busy + wakes) / (1 + wakes)
}

// Woken is the inverse: the wakes of a server that was seen to use cores.
func Woken(cores, busy float64) float64 {
	if cores <= busy || cores >= 1 {
		return 0
	}
	return (cores - busy) / (1 - cores)
}
