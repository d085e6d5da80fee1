package budget

import "time"

// Reference are the units that are used where none were measured: those of the
// run of "twohop bench --check-model" in docs/advice.md, and the memory and idle CPU of
// "twohop bench idle --readers 10000".
var Reference = struct {
	Units
	Machine, Kernel, Go, Version string
	Cores                        int
	Date                         time.Time
}{
	Units: Units{
		Publish:   Event{Busy: 8.39, Wake: 758, Most: 0.0578},
		Poll:      Event{Busy: 12.7, Wake: 111, Most: 0.173},
		Write:     map[Transport]Pace{SSE: {4.53, 6.5}, LongPoll: {12.3, 20.1}},
		Connect:   map[Transport]float64{SSE: 32, LongPoll: 21.2},
		KiB:       0.138, // of an earlier run: what a KiB costs was lost in the noise of that one
		Idle:      0.0565,
		Memory:    map[Transport]float64{SSE: 500, LongPoll: 560},
		Channel:   1990,
		Framing:   map[Transport]float64{SSE: 189, LongPoll: 660, Poll: 629},
		Unchanged: 619,
	},
	Machine: "two shared cores of a virtual machine", Kernel: "6.18", Go: "go1.26.8", Version: "development",
	Cores: 2, Date: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC),
}
