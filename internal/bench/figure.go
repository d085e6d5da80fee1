package bench

import "time"

// Figure is what one measurement gave. Figures that do not apply are left out.
type Figure struct {
	Scenario  string    `json:"scenario"`
	Case      string    `json:"case"`
	Did       string    `json:"did"`
	Transport Transport `json:"transport,omitempty"`
	Engine    string    `json:"engine,omitempty"`

	Readers     int     `json:"readers,omitempty"`
	Channels    int     `json:"channels,omitempty"`
	Each        int     `json:"channels_each,omitempty"` // that a reader follows, if it is more than one
	Publishers  int     `json:"publishers,omitempty"`
	RecordBytes int     `json:"record_bytes,omitempty"`
	Bulk        int     `json:"bulk,omitempty"`
	Ahead       int     `json:"requests_ahead,omitempty"` // of their answers, on a connection
	Rate        float64 `json:"rate,omitempty"`
	BudgetMS    float64 `json:"budget_ms,omitempty"`

	Seconds      float64 `json:"seconds"`
	Published    int     `json:"published,omitempty"`
	Requests     int     `json:"publish_requests,omitempty"`
	PublishedPS  float64 `json:"published_per_second,omitempty"`
	Deliveries   int64   `json:"deliveries,omitempty"`
	DeliveriesPS float64 `json:"deliveries_per_second,omitempty"`
	Responses    int64   `json:"responses,omitempty"` // complete ones
	ResponsesPS  float64 `json:"responses_per_second,omitempty"`
	Connects     int     `json:"connects,omitempty"`
	Reconnects   int64   `json:"reconnects,omitempty"` // that nobody asked for

	BytesRead        int64   `json:"bytes_read,omitempty"` // by readers, with all headers
	BytesPerDelivery float64 `json:"bytes_per_delivery,omitempty"`
	BytesPerResponse float64 `json:"bytes_per_response,omitempty"`
	BytesPerPublish  float64 `json:"bytes_per_publish,omitempty"` // of requests, for each record

	Latency  *Percentiles `json:"latency,omitempty"`         // from when a record was due to the read that brings it
	Ack      *Percentiles `json:"acknowledgement,omitempty"` // from when a publish was due to its answer
	Response *Percentiles `json:"response,omitempty"`        // of polls
	CaughtUp *Percentiles `json:"caught_up,omitempty"`       // from the resume to the last record that was missed

	Server *ServerCost `json:"server,omitempty"` // only where it runs on this machine
	Slow   *SlowState  `json:"slow,omitempty"`

	BenchCPU    float64  `json:"bench_cpu_seconds"`
	OthersShare *float64 `json:"others_cpu_share,omitempty"` // of the machine's CPU, used by other programs
	Interrupted bool     `json:"interrupted,omitempty"`
	Bounded     bool     `json:"bounded,omitempty"` // ended early, with all that a figure may publish
	Faults      Faults   `json:"faults"`
}

// ServerCost is what the server's process used. CPU is in microseconds.
type ServerCost struct {
	CPU         float64 `json:"cpu_seconds"`
	PerDelivery float64 `json:"cpu_us_per_delivery,omitempty"`
	PerPublish  float64 `json:"cpu_us_per_publish,omitempty"` // for each record
	PerConnect  float64 `json:"cpu_us_per_connect,omitempty"`
	PerResume   float64 `json:"cpu_us_per_resume,omitempty"`
	PerResponse float64 `json:"cpu_us_per_response,omitempty"`
	Idle        float64 `json:"idle_cpu_ms_per_second,omitempty"`
	Memory      int64   `json:"memory_bytes,omitempty"` // proportional set size
	Grown       *int64  `json:"memory_grown_bytes,omitempty"`
	PerReader   float64 `json:"memory_bytes_per_reader,omitempty"`
}

// SlowState is what became of readers that stopped reading.
type SlowState struct {
	Readers  int   `json:"readers"`
	Behind   int64 `json:"records_behind"` // on average, when they went on
	Complete int   `json:"complete"`       // had everything in the end
}

// span is a measurement under way.
type span struct {
	session *session
	groups  []*group
	from    usage
	memory  int64
	until   int64 // the publishing took at least so long
}

// begin begins a measurement of groups, which forget what they counted before.
func (s *session) begin(groups ...*group) *span {
	sp := &span{session: s, groups: groups, memory: s.memory()}
	s.driver.do(func() {
		for _, g := range groups {
			g.reset()
		}
	})
	sp.from = s.meter.read()
	return sp
}

// end fills in what holds for all figures.
func (sp *span) end(f *Figure) {
	s := sp.session
	u := s.meter.read().since(sp.from)
	f.Seconds = float64(u.at) / 1e9
	f.BenchCPU = float64(u.self) / 1e9
	f.OthersShare = s.meter.others(u)
	last := max(sp.from.at, sp.until)
	var latency, response, caughtUp []*histogram
	s.driver.do(func() {
		for _, g := range sp.groups {
			f.Deliveries += g.delivered
			f.Responses += g.responses
			f.BytesRead += g.bytes
			f.Reconnects += g.reconnects
			f.Faults.add(&g.faults)
			last = max(last, g.last)
			latency, response, caughtUp = append(latency, g.latency), append(response, g.response), append(caughtUp, g.caughtUp)
		}
		f.Latency, f.Response, f.CaughtUp = percentilesOf(latency...), percentilesOf(response...), percentilesOf(caughtUp...)
	})
	f.DeliveriesPS = ratio(float64(f.Deliveries), float64(last-sp.from.at)/1e9)
	f.ResponsesPS = ratio(float64(f.Responses), f.Seconds)
	f.BytesPerDelivery = ratio(float64(f.BytesRead), float64(f.Deliveries))
	f.BytesPerResponse = ratio(float64(f.BytesRead), float64(f.Responses))
	if f.Transport != Poll {
		f.Response = nil // they last as long as the server likes
	}
	if f.Transport == SSE {
		f.BytesPerResponse = 0
	}
	if s.meter.pid == 0 {
		return
	}
	f.Server = &ServerCost{CPU: float64(u.server) / 1e9, Memory: s.memory()}
	us := float64(u.server) / 1e3
	f.Server.PerDelivery = ratio(us, float64(f.Deliveries))
	grown := f.Server.Memory - sp.memory
	f.Server.Grown = &grown
}

// took fills in what a load did.
func (f *Figure) took(l *load, done *loaded) {
	f.Publishers, f.RecordBytes, f.Bulk, f.Rate = max(1, min(l.publishers, len(l.channels))), l.size, l.bulk, l.rate
	f.Ahead = l.depth
	f.Channels = len(l.channels)
	f.Published, f.Requests = done.records, done.requests
	f.PublishedPS = ratio(float64(done.records), float64(done.ended-done.began)/1e9)
	f.BytesPerPublish = ratio(float64(done.bytes), float64(done.records))
	f.Ack = percentilesOf(done.acks)
	f.Bounded = done.full && done.ended-done.began < int64(l.lasts)
	if done.overdue > 0 {
		f.Faults.Overdue = int64(done.overdue)
		f.Faults.note("%d of the records that were due in %s were not acknowledged, not even %s later", done.overdue, l.lasts, patience)
	}
}

func ratio(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

// memory is the server's, 0 where it is not known.
func (s *session) memory() int64 {
	if s.meter.pid == 0 {
		return 0
	}
	n, _ := processMemory(s.meter.pid)
	return n
}

// drain waits until readers have all that was published, or nothing comes for
// quiet, counts what never came, and returns how many readers have everything.
func (s *session) drain(readers []*reader, quiet time.Duration) (whole int) {
	var last, at int64
	_ = await(s.base, s.driver, 5*time.Millisecond, func() bool {
		now := s.clock.now()
		var delivered int64
		missing := false
		seen := map[*group]bool{}
		for _, r := range readers {
			if !seen[r.group] {
				seen[r.group] = true
				delivered += r.group.delivered
			}
			missing = missing || !r.complete(r.channel.published)
		}
		if delivered != last || at == 0 {
			last, at = delivered, now
		}
		return !missing || now-at > int64(quiet)
	}) // base is not cancelled; quiet ends it
	s.driver.do(func() {
		for _, r := range readers {
			if r.settle(r.channel.published) {
				whole++
			}
		}
	})
	return whole
}
