package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"twohop/internal/budget"
)

// Costs are what each thing costs on a machine: the unit costs that plans are
// made from. CPU is the server's, in microseconds.
type Costs struct {
	Format  int       `json:"format"` // CostsFormat
	Version string    `json:"version"`
	Date    time.Time `json:"date"`
	Machine Machine   `json:"machine"`

	RecordBytes int `json:"record_bytes"`
	Readers     int `json:"readers"`      // to whom was delivered
	IdleReaders int `json:"idle_readers"` // who waited

	Connect  map[Transport]float64      `json:"cpu_us_per_connect"`
	Delivery map[Transport]DeliveryCost `json:"delivery"`
	Memory   map[Transport]float64      `json:"memory_bytes_per_idle_reader"`
	Idle     map[Transport]float64      `json:"idle_cpu_us_per_reader_second"`
	Publish  map[string]PublishCost     `json:"publish"` // by engine
	Poll     PollCost                   `json:"poll"`

	Units budget.Units `json:"units"` // what plans are made from

	OthersShare float64 `json:"others_cpu_share"` // the largest of any figure
}

// DeliveryCost is what one record to one reader costs, fan-out and publish
// together.
type DeliveryCost struct {
	Steady    float64 `json:"cpu_us_steady"`    // few records a second: a wake and a write each
	Saturated float64 `json:"cpu_us_saturated"` // as fast as they are acknowledged
	Bulk      float64 `json:"cpu_us_bulk"`      // many records in a write
	Bytes     float64 `json:"bytes_steady"`     // on the wire, with framing
}

// PublishCost is what one record costs that nobody reads.
type PublishCost struct {
	Single    float64 `json:"cpu_us_single"`
	Parallel  float64 `json:"cpu_us_parallel"`
	Bulk      float64 `json:"cpu_us_bulk"`
	Pipelined float64 `json:"cpu_us_pipelined"`
	AckMS     float64 `json:"single_acknowledged_p50_ms"`
	PerSecond float64 `json:"parallel_per_second"`
}

// PollCost is what one poll costs.
type PollCost struct {
	Empty          float64 `json:"cpu_us_empty"`
	Unchanged      float64 `json:"cpu_us_unchanged"`
	Ten            float64 `json:"cpu_us_ten_records"`
	EmptyBytes     float64 `json:"bytes_empty"`
	UnchangedBytes float64 `json:"bytes_unchanged"`
	TenBytes       float64 `json:"bytes_ten_records"`
}

// CostsFormat is the form of Costs. Older ones lack costs that plans need.
const CostsFormat = 4

// ReadCosts reads what was written of Costs.
func ReadCosts(text []byte) (*Costs, error) {
	var c Costs
	switch err := json.Unmarshal(text, &c); {
	case c.Format != 0 && c.Format != CostsFormat:
		return nil, fmt.Errorf("has format %d, and this version reads %d", c.Format, CostsFormat)
	case err != nil || c.Format == 0:
		return nil, errors.New("is not what twohop bench --calibrate writes")
	}
	if err := c.Units.Check(); err != nil {
		return nil, fmt.Errorf("lacks costs: %s", strings.ReplaceAll(err.Error(), "\n", ", "))
	}
	return &c, nil
}

var (
	errCostsUnknown = errors.New("what things cost can be measured on Linux only: elsewhere the CPU of the server's process is not known")
	errCostsOwn     = errors.New("what things cost is measured on servers that the bench starts, which do nothing else: leave --server out")
)

// manyIdle is how many readers wait when their memory is measured: with few,
// what the server's runtime keeps free makes more of a difference.
const manyIdle = 10_000

// Measure measures all costs. Its result has the figures that they are from.
func (c *Costs) Measure(ctx context.Context, o Options) (*Result, error) {
	if o.Server != "" {
		return nil, &UsageError{[]string{errCostsOwn.Error()}}
	}
	o.Rate, o.Transports = nil, nil
	waiting, publishing := o, o
	if o.Readers == 0 {
		waiting.Readers = max(1, min(manyIdle, openFiles()-spareFiles))
	}
	waiting.Scenarios = []string{"idle"}
	o.Scenarios = []string{"fanout", "poll", "publish"}
	publishing.Scenarios, publishing.Engine = []string{"publish"}, "disk" // the other engine differs in publishing only
	if o.Engine == "disk" {
		publishing.Engine = "memory"
	}
	var result *Result
	for _, o := range []Options{waiting, o, publishing} {
		more, err := Run(ctx, o)
		if result == nil {
			result = more
		} else if more != nil {
			result.Figures = append(result.Figures, more.Figures...)
			result.Interrupted = more.Interrupted
		}
		if err != nil || result.Interrupted {
			return result, err
		}
	}
	if slices.ContainsFunc(result.Figures, func(f *Figure) bool { return f.Server == nil }) {
		return result, errCostsUnknown
	}
	c.from(result)
	idle := slices.DeleteFunc(slices.Clone(result.Figures), func(f *Figure) bool { return f.Scenario != "idle" })
	var units []budget.Units
	for range cmp.Or(o.Rounds, 3) {
		m, err := measureSamples(ctx, o, samples())
		if err != nil {
			if errors.Is(err, context.Canceled) {
				result.Interrupted, err = true, nil
			}
			return result, err
		}
		units = append(units, m.units(idle))
	}
	c.Units = medians(units)
	return result, nil
}

func (c *Costs) from(r *Result) {
	c.Format, c.Date, c.Machine = CostsFormat, r.Date, r.Machine
	c.Connect, c.Delivery = map[Transport]float64{}, map[Transport]DeliveryCost{}
	c.Memory, c.Idle, c.Publish = map[Transport]float64{}, map[Transport]float64{}, map[string]PublishCost{}
	for _, f := range r.Figures {
		if f.OthersShare != nil {
			c.OthersShare = max(c.OthersShare, *f.OthersShare)
		}
		switch f.Scenario {
		case "idle":
			c.idle(f)
		case "fanout":
			c.RecordBytes, c.Readers = f.RecordBytes, f.Readers
			c.delivery(f)
		case "publish":
			c.publish(f)
		case "poll":
			c.poll(f)
		}
	}
}

// idle takes the dearer way: each reader on its own channel.
func (c *Costs) idle(f *Figure) {
	if f.Channels == 1 && f.Readers > 1 || f.Each > 0 {
		return
	}
	c.IdleReaders = f.Readers
	c.Connect[f.Transport] = f.Server.PerConnect
	c.Memory[f.Transport] = f.Server.PerReader
	c.Idle[f.Transport] = f.Server.Idle * 1000 / float64(f.Readers)
}

func (c *Costs) delivery(f *Figure) {
	d := c.Delivery[f.Transport]
	switch {
	case f.Bulk > 1:
		d.Bulk = f.Server.PerDelivery
	case f.Rate == 0:
		d.Saturated = f.Server.PerDelivery
	default:
		d.Steady, d.Bytes = f.Server.PerDelivery, f.BytesPerDelivery
	}
	c.Delivery[f.Transport] = d
}

func (c *Costs) publish(f *Figure) {
	p := c.Publish[f.Engine]
	us := f.Server.PerPublish
	switch {
	case f.Bulk > 1:
		p.Bulk = us
	case f.Publishers > 1:
		p.Parallel, p.PerSecond = us, f.PublishedPS
	case f.Ahead > 1:
		p.Pipelined = us
	default:
		p.Single = us
		if f.Ack != nil {
			p.AckMS = f.Ack.P50
		}
	}
	c.Publish[f.Engine] = p
}

func (c *Costs) poll(f *Figure) {
	us, bytes := f.Server.PerResponse, f.BytesPerResponse
	switch f.Case {
	case pollEmpty:
		c.Poll.Empty, c.Poll.EmptyBytes = us, bytes
	case pollUnchanged:
		c.Poll.Unchanged, c.Poll.UnchangedBytes = us, bytes
	case pollTen:
		c.Poll.Ten, c.Poll.TenBytes = us, bytes
	}
}
