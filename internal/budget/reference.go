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
		Publish:   Event{Busy: 11.3, Wake: 677, Most: 0.0647},
		Poll:      Event{Busy: 14.5, Wake: 192, Most: 0.215},
		Write:     map[Transport]Pace{SSE: {6.09, 10.3}, LongPoll: {20.7, 20.8}},
		Connect:   map[Transport]float64{SSE: 39.5, LongPoll: 21.5},
		KiB:       0.138,
		Idle:      0.0565,
		Memory:    map[Transport]float64{SSE: 500, LongPoll: 560},
		Channel:   1990,
		Framing:   map[Transport]float64{SSE: 189, LongPoll: 660, Poll: 629},
		Unchanged: 619,
	},
	Machine: "two shared cores of a virtual machine", Kernel: "6.18", Go: "go1.26.8", Version: "development",
	Cores: 2, Date: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC),
}
