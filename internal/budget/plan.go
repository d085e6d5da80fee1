package budget

import (
	"math"
	"time"
)

// Load is what an audience asks of servers.
type Load struct {
	Viewers  int           `json:"viewers"`
	Channels int           `json:"channels"` // that each viewer follows
	Of       int           `json:"of"`       // channels that there are
	Rate     float64       `json:"rate"`     // records a second, on each channel
	Size     int           `json:"size"`     // bytes of a record
	Budget   time.Duration `json:"-"`
	Publish  bool          `json:"publish"` // viewers publish as well
}

// Limits of a node, for which plans are made.
const (
	NodeConnections = 20_000
	NodeCPU         = 0.6 // of its cores
)

// What servers do by default, in seconds.
const (
	longPollWait = 25.0
	sseAge       = 300.0
	heartbeat    = 15.0
)

// Row is what a load costs by one transport.
type Row struct {
	Transport Transport     `json:"transport"`
	Cached    bool          `json:"cached,omitempty"` // a cache or CDN is in front of the server
	Interval  time.Duration `json:"-"`                // between polls
	Budget    time.Duration `json:"-"`                // within which the server collects
	Late      time.Duration `json:"-"`                // a record is at most, by the way it takes
	Meets     bool          `json:"meets_budget"`
	Cheapest  bool          `json:"cheapest,omitempty"` // of those that meet the budget

	Requests    float64 `json:"requests_per_second"` // to the server
	Writes      float64 `json:"writes_per_second"`   // of records, by the server
	Connections float64 `json:"connections"`
	Egress      float64 `json:"egress_bytes_per_second"` // of the server: HTTP, frames and records
	Cores       float64 `json:"cpu_cores"`
	Memory      float64 `json:"memory_bytes"`
	Nodes       int     `json:"nodes"`

	CacheRequests float64 `json:"cache_requests_per_second,omitempty"`
	CacheEgress   float64 `json:"cache_egress_bytes_per_second,omitempty"`
}

// Plan is what a load costs by every transport.
type Plan struct {
	Rows   []Row
	Advice Advice

	live Transport // that is advised if polling is not
}

// Writes is how often what comes at a rate is sent, collected within a budget: a
// write takes what came in the time from the first record until the budget is
// spent.
func Writes(rate float64, budget time.Duration) float64 {
	return rate / (1 + rate*budget.Seconds())
}

// Plan works out what a load costs on nodes with so many cores.
func (u *Units) Plan(l Load, cores int) Plan {
	p := Plan{Advice: Advise(l.Budget, l.Channels, l.Publish), live: Advise(0, l.Channels, l.Publish).Transport}
	p.Rows = append(p.Rows, u.poll(l, true), u.poll(l, false))
	for _, t := range []Transport{LongPoll, SSE, WebSocket} {
		p.Rows = append(p.Rows, u.live(l, t, 0))
		if l.Budget > 0 {
			p.Rows = append(p.Rows, u.live(l, t, l.Budget))
		}
	}
	for i := range p.Rows {
		r := &p.Rows[i]
		r.Nodes = max(1, int(math.Ceil(max(r.Cores/(NodeCPU*float64(cores)), r.Connections/NodeConnections))))
		r.Meets = r.Late <= l.Budget
	}
	p.Cheapest(func(r *Row) bool { return r.Meets }).Cheapest = true
	return p
}

// Differences of CPU below these are none: predictions are not that exact.
const (
	sameCores = 0.01
	sameShare = 0.2
)

// Cheapest is the row that needs the fewest nodes, then the least CPU, among
// those that are asked for, nil if there are none. Of several that cost the same
// it is the one that is advised, or would be if polling were not.
func (p *Plan) Cheapest(of func(*Row) bool) *Row {
	var best *Row
	least := map[Transport]*Row{}
	for i := range p.Rows {
		r := &p.Rows[i]
		if !of(r) {
			continue
		}
		if best == nil || r.less(best) {
			best = r
		}
		if o := least[r.Transport]; o == nil || r.less(o) {
			least[r.Transport] = r
		}
	}
	for _, t := range []Transport{p.Advice.Transport, p.live} {
		if r := least[t]; r != nil && r.Nodes == best.Nodes && r.Cores <= best.Cores*(1+sameShare)+sameCores {
			return r
		}
	}
	return best
}

func (r *Row) less(o *Row) bool { return r.Nodes < o.Nodes || r.Nodes == o.Nodes && r.Cores < o.Cores }

// poll is the cost of polls of each channel on its own, for which answers can be
// cached.
func (u *Units) poll(l Load, cached bool) Row {
	r := Row{Transport: Poll, Cached: cached, Interval: max(MinInterval, l.Budget)}
	if cached {
		r.Interval = max(MinInterval, l.Budget-CacheAge)
	}
	r.Late = r.Interval
	every := r.Interval.Seconds()
	asked := float64(l.Viewers*l.Channels) / every
	// Nothing new is answered without a body; the rest brings what came since.
	news := -math.Expm1(-l.Rate * every)
	bytes := (1-news)*u.Unchanged + news*(u.Framing[Poll]-1) + l.Rate*every*float64(l.Size+1)
	r.Requests, r.Connections = asked, float64(l.Viewers)
	if cached {
		r.Late += CacheAge
		r.CacheRequests, r.CacheEgress = asked, asked*bytes
		r.Requests = min(asked, float64(l.Of)*cacheMisses(l.Rate))
		// Those under way: an answer takes a tenth of a second at most.
		r.Connections = min(r.Connections, math.Ceil(r.Requests/10))
	}
	r.Writes, r.Egress = r.Requests*news, r.Requests*bytes
	r.Memory = r.Connections*u.Memory[LongPoll] + float64(l.Of)*u.Channel[LongPoll]
	r.Cores = u.cores(&work{publishes: float64(l.Of) * l.Rate, polls: r.Requests, bytes: r.Requests * l.Rate * every * float64(l.Size)})
	return r
}

// cacheMisses is how often a cache asks the server for a channel, at most. Each
// record makes a new offset to ask for. Readers get it while it is the newest,
// and for as long as the answer with it may be kept, so they ask within as long
// a time; of these a cache asks once in each time that it keeps the answer.
func cacheMisses(rate float64) float64 { return 1/CacheAge.Seconds() + 2*rate }

// live is the cost of connections that wait: one for each viewer, for all of
// its channels.
func (u *Units) live(l Load, t Transport, budget time.Duration) Row {
	r := Row{Transport: t, Budget: budget, Late: budget, Connections: float64(l.Viewers)}
	viewers, rate := float64(l.Viewers), l.Rate*float64(l.Channels)
	writes := Writes(rate, budget)
	w := work{publishes: float64(l.Of) * l.Rate, idle: viewers * u.Idle[t], pace: writes}
	if budget > 0 {
		w.turns = float64(l.Of) * Writes(l.Rate, budget) // a timer for each channel and budget
	}
	head, beats := u.Framing[LongPoll], heartbeats(writes)
	switch t {
	case LongPoll:
		r.Requests = viewers * max(writes, 1/longPollWait)
		w.writes = map[Transport]float64{t: r.Requests}
		r.Egress = (r.Requests - viewers*writes) * head
		w.idle = 0 // its renewals are requests
	case SSE:
		r.Requests = viewers / sseAge
		w.connects = map[Transport]float64{t: r.Requests}
		w.writes = map[Transport]float64{t: viewers * (writes + beats)}
		r.Egress = viewers*beats*heartbeatBytes + r.Requests*head
	case WebSocket:
		w.writes = map[Transport]float64{t: viewers * (writes + beats*wsPing)}
		r.Egress = viewers * beats * wsPingBytes
	case Poll: // has no connection that waits
	}
	r.Writes = viewers * writes
	w.bytes = viewers * rate * float64(l.Size)
	r.Egress += viewers * (writes*u.framing(l, t, budget) + rate*float64(l.Size+1))
	r.Memory = viewers*(u.Memory[t]+float64(l.Channels-1)*u.Cursor) + float64(l.Of)*u.Channel[t]
	r.Cores = u.cores(&w)
	return r
}

// wsPing is a ping with its answer, in writes; measured with a heartbeat of a
// second.
const wsPing = 1.5

// heartbeats is how often a reader hears a heartbeat who is written to so often.
// They come after silence only; how long it lasts is left to chance.
func heartbeats(writes float64) float64 {
	if writes == 0 {
		return 1 / heartbeat
	}
	return writes / math.Expm1(writes*heartbeat)
}

// Sizes that follow from PROTOCOL.md, section 7 to 9, for names of 16 bytes.
const (
	frameBytes     = float64(len(`{"type":"data","channel":"","offset":"","upToDate":true,"records":[]}`) + 33 + 16 - 1)
	wsHeaderBytes  = 4.0
	eventBytes     = float64(len("00000000\r\nid: \ndata:[]\n\n\r\n") + 8)
	tokenBytes     = 12.0 // of each channel
	heartbeatBytes = float64(len("00000003\r\n: \n\n\r\n"))
	wsPingBytes    = float64(len(`{"type":"ping"}`) + 2)
)

// framing is the bytes of a write that are not records with a comma each.
func (u *Units) framing(l Load, t Transport, budget time.Duration) float64 {
	rate := l.Rate * float64(l.Channels)
	records := 1 + rate*budget.Seconds()
	frames := float64(l.Channels) * (1 - math.Pow(1-1/float64(l.Channels), records))
	var stated float64
	if budget > 0 && t == LongPoll {
		stated = float64(len("Stream-Budget: " + budget.String() + "\r\nStream-Advice: " + Advise(budget, l.Channels, l.Publish).String() + "\r\n"))
	}
	switch {
	case t == WebSocket:
		return frames * (frameBytes + wsHeaderBytes)
	case l.Channels == 1:
		return u.Framing[t] + stated
	case t == SSE:
		return eventBytes + tokenBytes*float64(l.Channels) + frames*(frameBytes+1)
	}
	return u.Framing[t] + tokenBytes*float64(l.Channels) + frames*(frameBytes+1) + stated
}
