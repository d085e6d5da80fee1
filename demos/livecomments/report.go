package livecomments

import (
	"slices"
	"time"
)

// Settings are what a page may change, for everybody.
type Settings struct {
	Rate    int `json:"rate"`    // comments a second, on average
	Viewers int `json:"viewers"` // of the crowd
}

// The bounds of Settings.
const (
	MinRate, MaxRate, startRate          = 10, 1000, 240
	MinViewers, MaxViewers, startViewers = 0, 1000, 250
)

func (s Settings) bounded() Settings {
	return Settings{min(max(s.Rate, MinRate), MaxRate), min(max(s.Viewers, MinViewers), MaxViewers)}
}

// report is a record of the state channel: how show and crowd are, as seen by
// the crowd's own side of the wire.
type report struct {
	origin
	Settings Settings    `json:"settings"`
	Scene    string      `json:"scene"`
	Energy   float64     `json:"energy"`
	Moment   bool        `json:"moment"`  // a burst is on
	Readers  int         `json:"readers"` // live readers of the comments, pages included, as the server says with an acknowledgement
	Crowd    crowdReport `json:"crowd"`
	Drop     *dropReport `json:"drop,omitempty"`
	Samples  []sample    `json:"samples"` // since the last report
	Totals   totals      `json:"totals"`
}

type crowdReport struct {
	Connected  int64  `json:"connected"`
	Records    uint64 `json:"records"`
	Missing    uint64 `json:"missing"`
	Twice      uint64 `json:"twice"`
	Reconnects uint64 `json:"reconnects"`
}

type dropReport struct {
	ID     int     `json:"id"`
	Time   float64 `json:"t"`
	Cut    int     `json:"cut"`
	Back   int     `json:"back"`
	Half   int64   `json:"half,omitempty"` // ms until half of those who were cut were connected again
	All    int64   `json:"all,omitempty"`
	Missed uint64  `json:"missed"` // records they read again from the log
}

// sample is a point of the curve: Unix milliseconds and viewers connected.
type sample [2]int64

// totals are all reactions up to an offset of their channel: who shows them
// follows that channel from there and adds.
type totals struct {
	Counts counts `json:"counts"`
	Offset string `json:"offset"`
}

func (c *crowd) report() (r crowdReport, d *drop) {
	sum := c.count()
	r = crowdReport{c.connected.Load(), sum.Records, sum.Missing, sum.Twice, c.reconnects.Load()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drop != nil {
		copied := *c.drop
		copied.back = slices.Clone(copied.back)
		d = &copied
	}
	return r, d
}

func (d *drop) report() *dropReport {
	r := &dropReport{ID: d.id, Time: milliseconds(d.at), Cut: d.cut, Back: len(d.back), Missed: d.missed}
	if half := (d.cut + 1) / 2; half > 0 && len(d.back) >= half {
		r.Half = d.back[half-1].Milliseconds()
	}
	if d.cut > 0 && len(d.back) == d.cut {
		r.All = d.back[d.cut-1].Milliseconds()
	}
	return r
}

func (s *sample) set(t time.Time, connected int64) { s[0], s[1] = t.UnixMilli(), connected }
