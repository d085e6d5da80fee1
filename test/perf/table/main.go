// Command table writes the tables of docs/performance.md from the results of the
// measuring harness, so that no figure there is typed by hand:
//
//	go run ./test/perf/table -page docs/performance.md RESULTS.json...
//
// A results file is an array of {server, transport, scenario, case, rep, m}, as
// the harness writes it: m has the figures by name. Several files are one set of
// runs.
//
// Invariant: a row is the median of all its runs with the lowest and highest, and
// its ratio is to the floor of the same transport, or the lowest floor where
// there is none; a row without runs says so.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
)

func main() {
	page := flag.String("page", "docs/performance.md", "the page whose table is written, between its markers")
	flag.Parse()
	if err := run(*page, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func run(page string, files []string) error {
	if len(files) == 0 {
		return errors.New("no results: name the files that the harness wrote")
	}
	var all results
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		var some results
		if err := json.Unmarshal(b, &some); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		all = append(all, some...)
	}
	b, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	text, err := between(string(b), "<!-- table -->\n", "<!-- end of table -->\n", table(all))
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(text), 0o644) //nolint:gosec // a page of the documentation
}

// between replaces what stands between two markers.
func between(text, begin, end, with string) (string, error) {
	head, rest, ok := strings.Cut(text, begin)
	if !ok {
		return "", fmt.Errorf("has no line %q", strings.TrimSpace(begin))
	}
	_, tail, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("has no line %q", strings.TrimSpace(end))
	}
	return head + begin + with + end + tail, nil
}

// result is one server under one case.
type result struct {
	Server    string             `json:"server"`
	Transport string             `json:"transport"`
	Scenario  string             `json:"scenario"`
	Case      string             `json:"case"`
	M         map[string]float64 `json:"m"`
}

type results []result

// figure is the median of some runs.
type figure struct {
	median, low, high float64
	runs              int
}

func (rs results) figure(server, transport, scenario, c, metric string) figure {
	var v []float64
	for _, r := range rs {
		if x, ok := r.M[metric]; ok && r.Server == server && r.Transport == transport && r.Scenario == scenario && r.Case == c {
			v = append(v, x)
		}
	}
	if len(v) == 0 {
		return figure{}
	}
	slices.Sort(v)
	median := v[len(v)/2]
	if len(v)%2 == 0 {
		median = (median + v[len(v)/2-1]) / 2
	}
	return figure{median, v[0], v[len(v)-1], len(v)}
}

// floor is the floor's figure over the same transport, or its lowest one.
func (rs results) floor(transport, scenario, c, metric string) float64 {
	transport, _, _ = strings.Cut(transport, "-")
	if f := rs.figure("floor", transport, scenario, c, metric); f.runs > 0 {
		return f.median
	}
	lowest := 0.0
	for _, t := range []string{"sse", "ws", "longpoll"} {
		if f := rs.figure("floor", t, scenario, c, metric); f.runs > 0 && (lowest == 0 || f.median < lowest) {
			lowest = f.median
		}
	}
	return lowest
}

// bar is what a figure is held to: times the floor's, or an absolute value.
type bar struct {
	what, unit             string
	scenario, c, metric    string
	server                 string
	transports             []string
	times, most            float64
	floorScenario, floorOf string // where they differ: scenario and "case/metric"
}

var (
	single = []string{"sse", "ws", "longpoll"}
	names  = map[string]string{"sse": "SSE", "ws": "WebSocket", "longpoll": "long poll", "sse-100ms": "SSE, 100 ms budget"}
)

var bars = []bar{
	{what: "memory per idle reader, 18,000 on one channel", unit: "KB", scenario: "S1", c: "one N=18000", metric: "pss_kb_per_conn", most: 0.6},
	{what: "memory per idle reader, each on its own channel", unit: "KB", scenario: "S1", c: "own N=18000", metric: "pss_kb_per_conn", most: 1.2},
	{what: "idle CPU, 10,000 readers of one channel", unit: "ms/s", scenario: "S1", c: "one N=10000", metric: "idle_cpu_ms_per_s", most: 0.5},
	{what: "idle CPU, each on its own channel", unit: "ms/s", scenario: "S1", c: "own N=10000", metric: "idle_cpu_ms_per_s", most: 0.5},
	{what: "connect", scenario: "S1", c: "one N=10000", metric: "cpu_us_per_connect", times: 1.4},
	{what: "delivery, 1,000 readers, 100/s", scenario: "S2", c: "N=1000 rate=100", metric: "cpu_us_per_delivery", times: 1},
	{what: "delivery, 10,000 readers, 10/s", scenario: "S2", c: "N=10000 rate=10", metric: "cpu_us_per_delivery", times: 1},
	{what: "delivery, published as fast as acknowledged", scenario: "S2", c: "N=1000 max", metric: "cpu_us_per_delivery", times: 0.15},
	{what: "delivery, published in bulks of 100", scenario: "S2", c: "N=1000 bulk", metric: "cpu_us_per_delivery", times: 0.1},
	{what: "delivery, 1,000 readers, 100/s", scenario: "S2", c: "N=1000 rate=100", metric: "cpu_us_per_delivery", times: 0.15, transports: []string{"sse-100ms"}},
	{what: "2,000 channels x 5 readers, 2,000/s", scenario: "S3", c: "rate=2000", metric: "cpu_us_per_delivery", times: 1.1},
	{what: "2,000 channels, as fast as acknowledged", scenario: "S3", c: "max", metric: "cpu_us_per_delivery", times: 0.8},
	{what: "resume of 5,000, 200 missed each, against a connect", scenario: "S4", c: "N=5000 missed=200", metric: "cpu_us_per_resume", times: 2.5, floorScenario: "S1", floorOf: "one N=10000/cpu_us_per_connect"},
	{what: "poll with nothing new", scenario: "S5", c: "new=0", metric: "cpu_us_per_request", times: 0.9},
	{what: "poll with ten new", scenario: "S5", c: "new=10", metric: "cpu_us_per_request", times: 1.2},
	{what: "publish, one connection", scenario: "S6", c: "1 conn", metric: "cpu_us_per_publish", times: 1.4},
	{what: "publish, 16 connections", scenario: "S6", c: "16 conns", metric: "cpu_us_per_publish", times: 1.4},
	{what: "publish in bulks of 100, per record", scenario: "S6", c: "bulk 100", metric: "cpu_us_per_publish", times: 0.8},
	{what: "publish on disk, synced, 16 connections", server: "twohop-disk", scenario: "S6", c: "16 conns", metric: "cpu_us_per_publish", times: 2.5},
	{what: "publish on disk, synced, bulks of 100, per record", server: "twohop-disk", scenario: "S6", c: "bulk 100", metric: "cpu_us_per_publish", times: 2.5},
	{what: "delivery, 32 KB to 1,050 readers, 10/s", scenario: "S7", c: "all reading", metric: "cpu_us_per_delivery", times: 1.1},
	{what: "delivery, 50 of them stopped reading", scenario: "S7", c: "50 stopped", metric: "cpu_us_per_delivery", times: 1.1},
	{what: "stopped readers that were cut off", unit: "readers", scenario: "S7", c: "50 stopped", metric: "slow_closed"},
	{what: "memory growth while they stand", unit: "MB", scenario: "S7", c: "50 stopped", metric: "slow_pss_growth_mb", most: 4},
	{what: "records lost", unit: "records", scenario: "S7", c: "50 stopped", metric: "lost"},
}

// table is the page's table.
func table(rs results) string {
	var b strings.Builder
	b.WriteString("| what | transport | twohop (lowest to highest) | floor | ratio | bar | |\n|---|---|---|---|---|---|---|\n")
	held, missed := 0, 0
	for _, x := range bars {
		server, transports, unit := x.server, x.transports, x.unit
		if server == "" {
			server = "twohop"
		}
		if transports == nil {
			transports = single
		}
		if unit == "" {
			unit = "us"
		}
		rows := 0
		for _, t := range transports {
			f := rs.figure(server, t, x.scenario, x.c, x.metric)
			if f.runs == 0 {
				continue
			}
			rows++
			ok, line := x.row(rs, t, unit, f)
			if ok {
				held++
			} else {
				missed++
			}
			b.WriteString(line)
		}
		if rows == 0 {
			fmt.Fprintf(&b, "| %s, %s | | not measured | | | | |\n", x.what, unit)
		}
	}
	fmt.Fprintf(&b, "\n%d of %d hold.\n", held, held+missed)
	return b.String()
}

// row is the line of one transport, and whether the bar holds.
func (x *bar) row(rs results, transport, unit string, f figure) (bool, string) {
	head := fmt.Sprintf("| %s, %s | %s | %s (%s to %s) |", x.what, unit, names[transport], number(f.median), number(f.low), number(f.high))
	if x.times == 0 {
		ok := f.median <= x.most
		return ok, fmt.Sprintf("%s | | %s | %s |\n", head, number(x.most), verdict(ok))
	}
	scenario, c, metric := x.scenario, x.c, x.metric
	if x.floorOf != "" {
		scenario = x.floorScenario
		c, metric, _ = strings.Cut(x.floorOf, "/")
	}
	floor := rs.floor(transport, scenario, c, metric)
	if floor == 0 {
		return false, fmt.Sprintf("%s not measured | | %s x | |\n", head, number(x.times))
	}
	ok := f.median <= x.times*floor
	return ok, fmt.Sprintf("%s %s | %.2f x | %s x | %s |\n", head, number(floor), f.median/floor, number(x.times), verdict(ok))
}

func verdict(ok bool) string {
	if ok {
		return "holds"
	}
	return "**missed**"
}

// number is a figure with three digits that count.
func number(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	default:
		return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", x), "0"), ".")
	}
}
