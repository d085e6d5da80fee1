package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"twohop/internal/budget"
)

// Options say what to measure. The zero value of a field is its default.
type Options struct {
	Scenarios []string // none is all
	Server    string   // URL; without one the bench starts a server of its own
	PID       int      // of the server, if it runs on this machine and is not the bench's own
	Program   string   // twohop's executable, for servers of the bench's own
	Engine    string   // of those: memory or disk; memory
	Headers   []string // header lines for every request

	Transports []Transport   // SSE, WebSocket and LongPoll
	Readers    int           // 1000, or what the limit of open files allows
	Rate       *float64      // records a second, 0 is as fast as acknowledged; nil is what the scenario thinks fit
	Size       int           // bytes of a record; 128
	Channels   int           // of scenarios with many; 200
	Missed     int           // records that readers miss who resume; 100
	Budget     time.Duration // latency that readers tolerate; interval of polls; 0 is none, and a second for polls
	Duration   time.Duration // of each figure; 2 s
	Bulk       int           // records in a bulk request; 100
	Rounds     int           // of measuring unit costs, whose medians count; 3, to prove the model 5
	Publishers int           // connections that publish; 0 is what the scenario thinks fit

	Status func(string) // gets a line about the present moment, now and then
	Note   func(string) // gets a line for each step
}

// Limits of options.
const (
	maxReaders  = 1_000_000
	maxChannels = 100_000
	maxMissed   = 1_000_000
	maxBulk     = 1_000
	maxSize     = 8 << 20
	maxRounds   = 1000
	maxDuration = 24 * time.Hour
)

// spareFiles are left for everything but readers.
const spareFiles = 100

// complete sets defaults and checks. It returns all faults at once.
func (o *Options) complete() error {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }

	if len(o.Scenarios) == 0 {
		o.Scenarios = Scenarios()
	}
	for _, name := range o.Scenarios {
		if find(name) == nil {
			fault("there is no scenario %q; there are %s", name, strings.Join(Scenarios(), ", "))
		}
	}
	if len(o.Transports) == 0 {
		o.Transports = []Transport{SSE, WebSocket, LongPoll}
	}
	for _, t := range o.Transports {
		if !slices.Contains([]Transport{SSE, WebSocket, LongPoll, Poll}, t) {
			fault("there is no transport %q; there are sse, ws, long-poll and poll", t)
		}
	}
	if o.Engine == "" {
		o.Engine = "memory"
	}
	limit := openFiles() - spareFiles
	if o.Readers == 0 {
		o.Readers = max(1, min(1000, limit))
	}
	if o.Readers > limit {
		fault("%d readers need as many open files, and this system allows %d readers at most; raise it with ulimit -n", o.Readers, limit)
	}
	defaults := func(v *int, byDefault, least, most int, name string) {
		if *v == 0 {
			*v = byDefault
		}
		if *v < least || *v > most {
			fault("%s %d is not between %d and %d", name, *v, least, most)
		}
	}
	defaults(&o.Readers, 0, 1, maxReaders, "--readers")
	defaults(&o.Size, max(128, minRecord), minRecord, maxSize, "--size")
	defaults(&o.Channels, 200, 1, maxChannels, "--channels")
	defaults(&o.Missed, 100, 1, maxMissed, "--missed")
	defaults(&o.Bulk, 100, 1, maxBulk, "--bulk")
	if o.Publishers < 0 || o.Publishers > limit {
		fault("--publishers %d is not between 1 and %d", o.Publishers, limit)
	}
	if o.Rate != nil && (*o.Rate < 0 || *o.Rate > 1e7) {
		fault("--rate %g is not between 0 and 10000000", *o.Rate)
	}
	if o.Rounds < 0 || o.Rounds > maxRounds {
		fault("--rounds %d is not between 1 and %d", o.Rounds, maxRounds)
	}
	if o.Duration == 0 {
		o.Duration = 2 * time.Second
	}
	if o.Duration < 100*time.Millisecond || o.Duration > maxDuration {
		fault("--duration %s is not between 100ms and 24h", o.Duration)
	}
	if o.Budget < 0 || o.Budget > budget.Max {
		fault("--budget %s is not between 0s and 5m", o.Budget)
	}
	if len(faults) > 0 {
		return &UsageError{faults}
	}
	return nil
}

// UsageError says what is wrong with options.
type UsageError struct{ Faults []string }

func (e *UsageError) Error() string { return strings.Join(e.Faults, "\n  ") }

// interval is the time between polls at the tail.
func (o *Options) interval() time.Duration {
	if o.Budget > 0 {
		return o.Budget
	}
	return min(time.Second, o.Duration/2)
}

// mostRecords bounds the records of one figure, so that no server runs out of
// memory.
func (o *Options) mostRecords(size int) int { return min(2_000_000, max(1, 256<<20/size)) }

func (o *Options) status(format string, args ...any) {
	if o.Status != nil {
		o.Status(fmt.Sprintf(format, args...))
	}
}

func (o *Options) note(format string, args ...any) {
	if o.Note != nil {
		o.Note(fmt.Sprintf(format, args...))
	}
}
