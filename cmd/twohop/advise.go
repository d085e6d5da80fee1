package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"twohop/internal/bench"
	"twohop/internal/budget"
)

type adviseCmd struct {
	Viewers  int           `placeholder:"N" default:"10000" help:"Who follows, all at once. Default 10000."`
	Rate     float64       `placeholder:"R" default:"1" help:"Records a second on each channel. Default 1."`
	Size     int           `placeholder:"BYTES" default:"200" help:"Of a record. Default 200."`
	Budget   time.Duration `placeholder:"TIME" default:"1s" help:"How late an update may be, 0s to 5m. Default 1s."`
	Channels int           `placeholder:"N" default:"1" help:"That each viewer follows. Default 1."`
	Of       int           `placeholder:"N" help:"How many channels there are. Default as many as each follows: all follow the same."`
	Publish  bool          `help:"Viewers publish as well."`
	Costs    string        `placeholder:"FILE" help:"What things cost on your machine, from twohop bench --calibrate FILE. Without it costs that come with twohop are used."`
	Output   string        `short:"o" enum:"table,json" default:"table" placeholder:"FORM" help:"table or json."`
}

// Help is what --help says below the usage.
func (adviseCmd) Help() string {
	return `Works out what an audience costs by polling, long polling, SSE and WebSocket:
requests, connections, bytes, CPU and memory of the servers; and says which is
the cheapest that meets the budget, and whether polling is enough.

  twohop advise --viewers 100000 --rate 5 --budget 3s
  twohop advise --viewers 50000 --channels 10 --of 5000 --rate 2 --budget 250ms
  twohop bench --calibrate costs.json && twohop advise --costs costs.json ...

docs/advice.md has typical cases, and how far the predictions can be trusted.`
}

// Limits of what is asked about.
const (
	maxViewers = 1_000_000_000
	maxRate    = 1e6
	maxBytes   = 16 << 20
)

// costsUsed says where costs are from.
type costsUsed struct {
	File    string        `json:"file,omitempty"` // empty for those that come with twohop
	Machine bench.Machine `json:"machine"`
	Version string        `json:"version"`
	Date    time.Time     `json:"date"`
}

// Run works the plan out and prints it.
func (c *adviseCmd) Run(a *app) error {
	if c.Of == 0 {
		c.Of = c.Channels
	}
	if err := c.check(); err != nil {
		return err
	}
	costs, err := c.costs()
	if err != nil {
		return err
	}
	used := &costsUsed{File: c.Costs, Machine: costs.Machine, Version: costs.Version, Date: costs.Date}
	l := budget.Load{
		Viewers: c.Viewers, Channels: c.Channels, Of: c.Of, Rate: c.Rate, Size: c.Size, Budget: c.Budget, Publish: c.Publish,
	}
	cores := max(1, used.Machine.Cores)
	p := costs.Units.Plan(l, cores)
	if c.Output == "json" {
		return printAdviceJSON(a.Stdout, &l, &p, used)
	}
	return printAdvice(a.Stdout, &l, &p, used)
}

// check says all that is wrong with the flags at once.
func (c *adviseCmd) check() error {
	var faults []string
	within := func(name string, v, least, most float64) {
		if !(v >= least && v <= most) { // not a number is neither
			faults = append(faults, fmt.Sprintf("--%s %v is not between %v and %v", name, plainNumber(v), plainNumber(least), plainNumber(most)))
		}
	}
	within("viewers", float64(c.Viewers), 1, maxViewers)
	within("rate", c.Rate, 0, maxRate)
	within("size", float64(c.Size), 1, maxBytes)
	within("channels", float64(c.Channels), 1, 10_000)
	within("of", float64(c.Of), float64(max(1, c.Channels)), maxViewers)
	if c.Budget < 0 || c.Budget > budget.Max {
		faults = append(faults, fmt.Sprintf("--budget %s is not between 0s and 5m", c.Budget))
	}
	if len(faults) > 0 {
		return &usageError{message: strings.Join(faults, "\n  "), hint: "twohop advise --help says what the flags mean"}
	}
	return nil
}

// costs reads costs from the file, or takes those that come with twohop.
func (c *adviseCmd) costs() (*bench.Costs, error) {
	if c.Costs == "" {
		return bench.ReadCosts([]byte(budget.Reference))
	}
	again := "make one with: twohop bench --calibrate " + c.Costs
	text, err := os.ReadFile(c.Costs)
	if err != nil {
		return nil, &failure{message: "the costs cannot be read", hint: again, err: err}
	}
	costs, err := bench.ReadCosts(text)
	if err != nil {
		return nil, &failure{message: c.Costs + " " + err.Error(), hint: again}
	}
	return costs, nil
}
