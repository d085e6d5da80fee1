package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"twohop/internal/budget"
)

// Proof is the cost model beside what was measured.
type Proof struct {
	Date     time.Time    `json:"date"`
	Version  string       `json:"version"`
	Machine  Machine      `json:"machine"`
	Rounds   int          `json:"rounds"`
	Units    budget.Units `json:"units"`
	Loads    []ProvedLoad `json:"loads"`
	OthersUp float64      `json:"others_cpu_share"` // the largest of any figure
}

// ProvedLoad is one load, as it was predicted and as it was.
type ProvedLoad struct {
	Name           string  `json:"name"`
	Cores          float64 `json:"predicted_cpu_cores"`
	MeasuredCores  float64 `json:"measured_cpu_cores"`
	Egress         float64 `json:"predicted_bytes_per_second"`
	MeasuredEgress float64 `json:"measured_bytes_per_second"`
	Within         bool    `json:"within"`
}

// ProofBound is how far a prediction may be from what is measured.
const ProofBound = 0.25

// proved is a load that predictions are judged by.
type proved struct {
	name string
	sample
	load budget.Load
	row  func(r *budget.Row) bool
}

func provedLoads() map[string]proved {
	live := func(t Transport, readers int, rate float64, size int, b time.Duration) proved {
		name := fmt.Sprintf("%d readers by %s, %g records of %d bytes a second", readers, t, rate, size)
		if b > 0 {
			name += fmt.Sprintf(", budget %s", b)
		}
		return proved{
			name:   name,
			sample: sample{"fanout", Options{Transports: []Transport{t}, Readers: readers, Rate: &rate, Size: size, Budget: b}},
			load:   budget.Load{Viewers: readers, Channels: 1, Of: 1, Rate: rate, Size: size, Budget: b},
			row:    func(r *budget.Row) bool { return r.Transport == t && r.Budget == b && !r.Cached },
		}
	}
	polls := live(Poll, 2000, 5, 200, 2*time.Second)
	polls.name = "2000 clients poll every 2s, 5 records of 200 bytes a second"
	polls.row = func(r *budget.Row) bool { return r.Transport == Poll && !r.Cached }
	const channels = 500
	all := 400.0
	many := live(SSE, 2000, all/channels, 200, 0)
	many.scenario, many.load.Of = "channels", channels
	many.o.Channels, many.o.Rate = channels, &all
	many.name = "2000 readers by sse on 500 channels, 400 records of 200 bytes a second in all"
	return map[string]proved{
		"load 1": live(SSE, 1000, 50, 200, 0),
		"load 2": live(SSE, 1000, 50, 200, 250*time.Millisecond),
		"load 3": live(WebSocket, 1000, 20, 200, 0),
		"load 4": live(LongPoll, 1000, 5, 200, 0),
		"load 5": polls,
		"load 6": many,
	}
}

var errProofOwn = errors.New("the model is proved on servers that the bench starts: leave --server out")

// Prove measures units and loads in turns, so that both see the same machine,
// predicts the loads, and compares medians.
func Prove(ctx context.Context, o Options) (*Proof, error) {
	if o.Server != "" {
		return nil, &UsageError{[]string{errProofOwn.Error()}}
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	readers, rounds := o.Readers, cmp.Or(o.Rounds, 5)
	o.Readers, o.Size, o.Rate, o.Budget = 0, 0, nil, 0
	loads := provedLoads()
	all := samples()
	for name, l := range loads {
		s := l.sample
		s.o.Readers = min(s.o.Readers, readers*2)
		all[name] = s
	}
	p := &Proof{Date: time.Now().UTC().Truncate(time.Second), Machine: ThisMachine(), Rounds: rounds}
	var units []budget.Units
	cores, egress, rates := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	idle, err := idleFigures(ctx, o)
	if err != nil {
		return nil, err
	}
	for range rounds {
		m, err := measureSamples(ctx, o, all)
		if err != nil {
			return nil, err
		}
		units = append(units, m.units(idle))
		for name, l := range loads {
			f := m[name][0]
			cores[name] = append(cores[name], f.cores())
			egress[name] = append(egress[name], float64(f.BytesRead)/f.Seconds)
			// What is awaited after the last publish counts as time, too.
			rates[name] = append(rates[name], float64(f.Published)/f.Seconds/float64(l.load.Of))
			l.load.Viewers = f.Readers
			loads[name] = l
		}
		for _, figures := range m {
			for _, f := range figures {
				if f.OthersShare != nil {
					p.OthersUp = max(p.OthersUp, *f.OthersShare)
				}
			}
		}
	}
	p.Units = medians(units)
	same := func(v *float64) float64 { return *v }
	for _, name := range slices.Sorted(maps.Keys(loads)) {
		l := loads[name]
		l.load.Rate = medianOf(rates[name], same)
		rows := p.Units.Plan(l.load, p.Machine.Cores).Rows
		row := rows[slices.IndexFunc(rows, func(r budget.Row) bool { return l.row(&r) })]
		proved := ProvedLoad{
			Name: l.name, Cores: row.Cores, MeasuredCores: medianOf(cores[name], same),
			Egress: row.Egress, MeasuredEgress: medianOf(egress[name], same),
		}
		proved.Within = near(proved.Cores, proved.MeasuredCores) && near(proved.Egress, proved.MeasuredEgress)
		p.Loads = append(p.Loads, proved)
	}
	return p, nil
}

func near(predicted, seen float64) bool {
	return predicted >= seen*(1-ProofBound) && predicted <= seen*(1+ProofBound)
}
