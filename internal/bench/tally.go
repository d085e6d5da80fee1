package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

type histogram = hdrhistogram.Histogram

// newHistogram takes durations in nanoseconds, from a microsecond to ten
// minutes, with three digits.
func newHistogram() *histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(10*time.Minute), 3)
}

// observe records a duration; one out of range counts as the nearest that is not.
func observe(h *histogram, ns int64) {
	_ = h.RecordValue(min(max(ns, 0), int64(10*time.Minute))) // in range, so it cannot fail
}

// Percentiles sums up durations, in milliseconds.
type Percentiles struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p99_9_ms"`
	Max   float64 `json:"max_ms"`
}

// percentilesOf merges histograms; it is nil if there is nothing in them.
func percentilesOf(hs ...*histogram) *Percentiles {
	all := newHistogram()
	for _, h := range hs {
		all.Merge(h)
	}
	if all.TotalCount() == 0 {
		return nil
	}
	ms := func(ns int64) float64 { return float64(ns) / 1e6 }
	return &Percentiles{
		Count: all.TotalCount(), Mean: all.Mean() / 1e6,
		P50: ms(all.ValueAtQuantile(50)), P90: ms(all.ValueAtQuantile(90)), P99: ms(all.ValueAtQuantile(99)),
		P999: ms(all.ValueAtQuantile(99.9)), Max: ms(all.Max()),
	}
}

// Faults are breaches of what the server promises its readers, and a load that
// was too much for it.
type Faults struct {
	Lost       int64    `json:"lost"`
	Doubled    int64    `json:"doubled"`
	Disordered int64    `json:"disordered"`
	Misplaced  int64    `json:"misplaced"`       // in the wrong channel
	Overdue    int64    `json:"overdue"`         // were due at the rate that was asked for, and could not be published
	Unread     int64    `json:"unread"`          // readers that the server refused or cut off for good
	Which      []string `json:"which,omitempty"` // the first of them, in words
}

// Any reports whether there are faults.
func (f *Faults) Any() bool { return f.breaches()+f.Overdue > 0 }

func (f *Faults) breaches() int64 { return f.Lost + f.Doubled + f.Disordered + f.Misplaced + f.Unread }

// Summary says in one line what the faults are, if there are any.
func (f *Faults) Summary() string {
	what := "records were lost, doubled or out of order"
	if f.breaches() == 0 {
		what = "records could not be published in time"
	}
	return what + ": " + f.Which[0]
}

// maxWhich bounds how many faults are told in words.
const maxWhich = 10

func (f *Faults) note(format string, args ...any) {
	if len(f.Which) < maxWhich {
		f.Which = append(f.Which, fmt.Sprintf(format, args...))
	}
}

func (f *Faults) add(g *Faults) {
	f.Lost += g.Lost
	f.Doubled += g.Doubled
	f.Disordered += g.Disordered
	f.Misplaced += g.Misplaced
	f.Overdue += g.Overdue
	f.Unread += g.Unread
	f.Which = append(f.Which, g.Which[:min(len(g.Which), maxWhich-len(f.Which))]...)
}

// tally counts what a group of readers gets during one figure. It belongs to
// their driver.
type tally struct {
	delivered  int64
	last       int64 // when the newest delivery came
	latency    *histogram
	responses  int64
	response   *histogram // from a request to the end of its response
	caughtUp   *histogram // from a resume to its last missed record
	bytes      int64
	reconnects int64
	faults     Faults
}

func newTally() tally {
	return tally{latency: newHistogram(), response: newHistogram(), caughtUp: newHistogram()}
}

func (t *tally) reset() {
	t.latency.Reset()
	t.response.Reset()
	t.caughtUp.Reset()
	*t = tally{latency: t.latency, response: t.response, caughtUp: t.caughtUp}
}
