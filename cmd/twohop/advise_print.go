package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"twohop/internal/budget"
)

// rowName says what a row of the plan is.
func rowName(r *budget.Row) string {
	switch {
	case r.Transport == budget.Poll && r.Cached:
		return "poll every " + brief(r.Interval) + ", a cache in front"
	case r.Transport == budget.Poll:
		return "poll every " + brief(r.Interval)
	case r.Budget > 0:
		return transportNames[r.Transport] + ", collecting " + brief(r.Budget)
	}
	return transportNames[r.Transport] + ", at once"
}

var transportNames = map[budget.Transport]string{
	budget.Poll: "poll", budget.LongPoll: "long poll", budget.SSE: "SSE", budget.WebSocket: "WebSocket",
}

// brief writes a duration without the units that are zero.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func printAdvice(w io.Writer, l *budget.Load, p *budget.Plan, used *costsUsed) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, each on %s%s; %s of %d bytes a second on each; at most %s late.\n\n", counted(l.Viewers, "viewer"), counted(l.Channels, "channel"),
		map[bool]string{true: " of " + grouped(float64(l.Of))}[l.Of > l.Channels], recordsASecond(l.Rate), l.Size, brief(l.Budget))

	lines := [][]string{{"", "late by", "requests/s", "connections", "sends/s", "CPU cores", "memory", "nodes", ""}}
	for i := range p.Rows {
		r := &p.Rows[i]
		mark := ""
		switch {
		case r.Cheapest:
			mark = "<- cheapest"
		case !r.Meets:
			mark = "too late"
		}
		lines = append(lines, []string{
			rowName(r), late(r), grouped(r.Requests), grouped(r.Connections), bytesOf(r.Egress), cores(r.Cores), bytesOf(r.Memory), strconv.Itoa(r.Nodes), mark,
		})
	}
	writeColumns(&b, lines)
	b.WriteString("\n" + verdict(l, p) + "\n\n")
	if r := &p.Rows[0]; r.CacheRequests > 0 {
		fmt.Fprintf(&b, "The cache or CDN answers %s requests/s and sends %s/s.\n", grouped(r.CacheRequests), bytesOf(r.CacheEgress))
	}
	fmt.Fprintf(&b, "A node: %s at %.0f %%, %s connections. Bytes are those of HTTP and records; TLS, TCP and IP add to them.\n",
		counted(used.Machine.Cores, "core"), budget.NodeCPU*100, grouped(budget.NodeConnections))
	if used.File == "" {
		fmt.Fprintf(&b, "Costs that come with twohop, measured on %s, Linux %s, %s. For your machine:\n  twohop bench --calibrate costs.json && twohop advise --costs costs.json ...\n",
			used.Machine.CPU, used.Machine.Kernel, used.Machine.Go)
	} else {
		fmt.Fprintf(&b, "Costs of %s: %s, twohop %s, %s.\n", used.File, counted(used.Machine.Cores, "core"), used.Version, used.Date.Format("2006-01-02"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// verdict answers what to use, and whether polling is enough.
func verdict(l *budget.Load, p *budget.Plan) string {
	var best, plain *budget.Row
	for i := range p.Rows {
		r := &p.Rows[i]
		if r.Cheapest {
			best = r
		}
		if r.Transport == budget.Poll && !r.Cached {
			plain = r
		}
	}
	cached := &p.Rows[0]
	switch {
	case best.Transport == budget.Poll && best.Cached:
		s := fmt.Sprintf("Polling is enough: every %s, with a cache or CDN in front, it needs %s.", brief(cached.Interval), needs(cached))
		if other := p.Cheapest(func(r *budget.Row) bool { return r.Meets && !r.Cached }); other != nil {
			s += fmt.Sprintf("\nWithout a cache the cheapest is %s: %s.", rowName(other), needs(other))
		}
		return s
	case best.Transport == budget.Poll:
		return fmt.Sprintf("Polling is enough: every %s it needs %s.", brief(best.Interval), needs(best))
	case cached.Meets || plain.Meets:
		meets, through := plain, ""
		if cached.Meets && (!plain.Meets || cached.Cores < plain.Cores) {
			meets, through = cached, ", with a cache or CDN in front,"
		}
		return fmt.Sprintf("Polling would be enough: every %s%s it needs %s.\nThe cheapest is %s: %s.", brief(meets.Interval), through, needs(meets), rowName(best), needs(best))
	}
	s := fmt.Sprintf("Polling is not enough: updates may be %s late at most, and polls every %s bring them up to %s late.\nThe cheapest is %s: %s.",
		brief(l.Budget), brief(plain.Interval), brief(plain.Late), rowName(best), needs(best))
	if p.Advice.Transport == budget.WebSocket && best.Transport != budget.WebSocket {
		ws := p.Cheapest(func(r *budget.Row) bool { return r.Transport == budget.WebSocket })
		why := "several channels"
		if l.Publish {
			why = "publishing"
		}
		s += fmt.Sprintf("\nFor %s on the same connection: %s, %s.", why, rowName(ws), needs(ws))
	}
	return s
}

func needs(r *budget.Row) string {
	return fmt.Sprintf("%s CPU cores, %s", cores(r.Cores), counted(r.Nodes, "node"))
}

func late(r *budget.Row) string {
	if r.Late == 0 {
		return "0"
	}
	return brief(r.Late)
}

func cores(v float64) string {
	switch {
	case v < 0.01:
		return "<0.01"
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return grouped(v)
}

func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return grouped(float64(n)) + " " + thing
}

func recordsASecond(rate float64) string {
	if rate == 1 {
		return "1 record"
	}
	return plainNumber(rate) + " records"
}

// plainNumber writes all digits that count, and no exponent.
func plainNumber(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// grouped writes a whole number with commas; what is below ten keeps a digit.
func grouped(v float64) string {
	if v > 0 && v < 9.95 && v != math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	s := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// bytesOf writes bytes with three digits and a decimal unit.
func bytesOf(v float64) string {
	for _, u := range []struct {
		name string
		of   float64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if v >= u.of*0.9995 {
			return strconv.FormatFloat(v/u.of, 'f', max(0, 2-int(math.Log10(v/u.of*1.0005))), 64) + " " + u.name
		}
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " B"
}

// writeColumns aligns numbers to the right, and the first and last column to the
// left.
func writeColumns(b *strings.Builder, lines [][]string) {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, line := range lines {
		var row strings.Builder
		for i, cell := range line {
			width := widths[i]
			if i == 0 || i == len(line)-1 {
				width = -width
			}
			fmt.Fprintf(&row, "  %*s", width, cell)
		}
		b.WriteString(strings.TrimRight(row.String(), " ") + "\n")
	}
}

// printAdviceJSON writes the plan as JSON. Times are in milliseconds.
func printAdviceJSON(w io.Writer, l *budget.Load, p *budget.Plan, used *costsUsed) error {
	type row struct {
		Name     string  `json:"name"`
		Interval float64 `json:"interval_ms,omitempty"`
		Budget   float64 `json:"collects_ms"`
		Late     float64 `json:"late_ms"`
		budget.Row
	}
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	out := struct {
		budget.Load
		Budget  float64    `json:"budget_ms"`
		Advice  string     `json:"advice"` // as a Stream-Advice header
		Verdict string     `json:"verdict"`
		Rows    []row      `json:"transports"`
		Costs   *costsUsed `json:"costs"`
	}{Load: *l, Budget: ms(l.Budget), Advice: p.Advice.String(), Verdict: strings.ReplaceAll(verdict(l, p), "\n", " "), Costs: used}
	for i := range p.Rows {
		r := p.Rows[i]
		out.Rows = append(out.Rows, row{rowName(&r), ms(r.Interval), ms(r.Budget), ms(r.Late), r})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
