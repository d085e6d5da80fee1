package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// row is a line of the table: one measure of each figure.
type row struct {
	name string
	of   func(f *Figure) (float64, bool)
}

// server makes a row of what is known only where the server is.
func server(of func(c *ServerCost) float64) func(*Figure) (float64, bool) {
	return func(f *Figure) (float64, bool) {
		if f.Server == nil {
			return 0, false
		}
		v := of(f.Server)
		return v, v != 0
	}
}

func plain(of func(f *Figure) float64) func(*Figure) (float64, bool) {
	return func(f *Figure) (float64, bool) {
		v := of(f)
		return v, v != 0
	}
}

// times makes rows of percentiles.
func times(what string, of func(f *Figure) *Percentiles) (rows []row) {
	add := func(name string, value func(p *Percentiles) float64) {
		rows = append(rows, row{what + " " + name, func(f *Figure) (float64, bool) {
			p := of(f)
			if p == nil {
				return 0, false
			}
			return value(p), true
		}})
	}
	add("p50, ms", func(p *Percentiles) float64 { return p.P50 })
	add("p90, ms", func(p *Percentiles) float64 { return p.P90 })
	add("p99, ms", func(p *Percentiles) float64 { return p.P99 })
	add("p99.9, ms", func(p *Percentiles) float64 { return p.P999 })
	add("max, ms", func(p *Percentiles) float64 { return p.Max })
	return rows
}

// rows are all that a table can have. Those that no figure of a scenario has
// are left out.
func rows() []row {
	return slices.Concat([]row{
		{"readers", plain(func(f *Figure) float64 { return float64(f.Readers) })},
		{"publishing connections", plain(func(f *Figure) float64 { return float64(f.Publishers) })},
		{"records published", plain(func(f *Figure) float64 { return float64(f.Published) })},
		{"published a second", plain(func(f *Figure) float64 { return f.PublishedPS })},
		{"deliveries", plain(func(f *Figure) float64 { return float64(f.Deliveries) })},
		{"deliveries a second", plain(func(f *Figure) float64 { return f.DeliveriesPS })},
		{"responses", plain(func(f *Figure) float64 { return float64(f.Responses) })},
		{"responses a second", plain(func(f *Figure) float64 { return f.ResponsesPS })},
		{"bytes a delivery", plain(func(f *Figure) float64 { return f.BytesPerDelivery })},
		{"bytes a response", plain(func(f *Figure) float64 { return f.BytesPerResponse })},
	},
		times("latency", func(f *Figure) *Percentiles { return f.Latency }),
		times("acknowledged", func(f *Figure) *Percentiles { return f.Ack }),
		times("answered", func(f *Figure) *Percentiles { return f.Response }),
		times("caught up", func(f *Figure) *Percentiles { return f.CaughtUp }),
		[]row{
			{"server CPU a delivery, µs", server(func(c *ServerCost) float64 { return c.PerDelivery })},
			{"server CPU a connect, µs", server(func(c *ServerCost) float64 { return c.PerConnect })},
			{"server CPU a resume, µs", server(func(c *ServerCost) float64 { return c.PerResume })},
			{"server CPU a poll, µs", server(func(c *ServerCost) float64 { return c.PerResponse })},
			{"server CPU a record, µs", func(f *Figure) (float64, bool) {
				if f.Server == nil || f.Deliveries > 0 {
					return 0, false // deliveries are in it
				}
				return f.Server.PerPublish, f.Server.PerPublish > 0
			}},
			{"server CPU when idle, ms/s", server(func(c *ServerCost) float64 { return c.Idle })},
			{"server memory a reader, KiB", server(func(c *ServerCost) float64 { return c.PerReader / 1024 })},
			{"server memory, MiB", server(func(c *ServerCost) float64 { return float64(c.Memory) / (1 << 20) })},
			{"  of it since the start, MiB", server(func(c *ServerCost) float64 {
				if c.Grown == nil {
					return 0
				}
				return float64(*c.Grown) / (1 << 20)
			})},
			{"stalled: records behind", slowRow(func(s *SlowState) float64 { return float64(s.Behind) })},
			{"stalled: readers", slowRow(func(s *SlowState) float64 { return float64(s.Readers) })},
			{"  complete in the end", slowRow(func(s *SlowState) float64 { return float64(s.Complete) })},
			{"reconnects", plain(func(f *Figure) float64 { return float64(f.Reconnects) })},
			{"CPU of other programs, %", func(f *Figure) (float64, bool) {
				if f.OthersShare == nil {
					return 0, false
				}
				return *f.OthersShare * 100, true
			}},
			{"not published in time", plain(func(f *Figure) float64 { return float64(f.Faults.Overdue) })},
			{"lost, doubled, disordered", func(f *Figure) (float64, bool) {
				return float64(f.Faults.Lost + f.Faults.Doubled + f.Faults.Disordered + f.Faults.Misplaced), true
			}},
		})
}

func slowRow(of func(s *SlowState) float64) func(*Figure) (float64, bool) {
	return func(f *Figure) (float64, bool) {
		if f.Slow == nil {
			return 0, false
		}
		return of(f.Slow), true
	}
}

// WriteTable writes a block for each scenario: its figures side by side.
func (r *Result) WriteTable(w io.Writer) error {
	var b strings.Builder
	where := r.Server
	if where == "" {
		where = "a server of the bench's own, engine " + r.Engine
	}
	fmt.Fprintf(&b, "%s; %d cores, %s, %s/%s, %s\n", where, r.Machine.Cores, r.Machine.CPU, r.Machine.OS, r.Machine.Arch, r.Date.Format("2006-01-02 15:04 MST"))
	for rest := r.Figures; len(rest) > 0; {
		n := slices.IndexFunc(rest, func(f *Figure) bool { return f.Scenario != rest[0].Scenario })
		if n < 0 {
			n = len(rest)
		}
		writeBlock(&b, rest[:n])
		rest = rest[n:]
	}
	r.remarks(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// maxAcross is how many figures stand side by side.
const maxAcross = 6

func writeBlock(b *strings.Builder, figures []*Figure) {
	fmt.Fprintf(b, "\n%s\n", figures[0].Scenario)
	for _, f := range figures {
		fmt.Fprintf(b, "  %s: %s.\n", f.Case, f.Did)
	}
	for part := range slices.Chunk(figures, maxAcross) {
		b.WriteByte('\n')
		lines := [][]string{{""}}
		for _, f := range part {
			lines[0] = append(lines[0], f.Case)
		}
		for _, row := range rows() {
			line, known := []string{row.name}, false
			for _, f := range part {
				cell := ""
				if v, ok := row.of(f); ok {
					cell, known = number(v), true
				}
				line = append(line, cell)
			}
			if known {
				lines = append(lines, line)
			}
		}
		align(b, lines)
	}
}

func align(b *strings.Builder, lines [][]string) {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, line := range lines {
		for i, cell := range line {
			width := widths[i]
			if i == 0 {
				width = -width // to the left
			}
			line[i] = fmt.Sprintf("  %*s", width, cell)
		}
		b.WriteString(strings.TrimRight(strings.Join(line, ""), " ") + "\n")
	}
}

// number writes three digits, or all of a larger whole part.
func number(v float64) string {
	switch a := math.Abs(v); {
	case v == 0:
		return "0"
	case a >= 100:
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	case a >= 10:
		return trimmed(strconv.FormatFloat(v, 'f', 1, 64))
	}
	return trimmed(strconv.FormatFloat(v, 'f', 2, 64))
}

func trimmed(s string) string {
	if strings.ContainsRune(s, '.') {
		return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func thousands(s string) string {
	digits := strings.TrimPrefix(s, "-")
	sign := s[:len(s)-len(digits)]
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// busyShare is the CPU of other programs from which figures of time mean little.
const busyShare = 0.15

// remarks tell what casts doubt on the figures.
func (r *Result) remarks(b *strings.Builder) {
	b.WriteByte('\n')
	var busy, cut, bounded []string
	for _, f := range r.Figures {
		name := f.Scenario + " (" + f.Case + ")"
		if f.OthersShare != nil && *f.OthersShare > busyShare {
			busy = append(busy, name)
		}
		if f.Interrupted {
			cut = append(cut, name)
		}
		if f.Bounded {
			bounded = append(bounded, fmt.Sprintf("%s after %s s", name, number(f.Seconds)))
		}
	}
	if len(busy) > 0 {
		fmt.Fprintf(b, "The machine was busy with other programs in %d of %d figures; rates and times of these are worse than they need be: %s.\n", len(busy), len(r.Figures), strings.Join(busy, ", "))
	}
	if len(cut) > 0 {
		fmt.Fprintf(b, "Cut short: %s.\n", strings.Join(cut, ", "))
	}
	if len(bounded) > 0 {
		fmt.Fprintf(b, "Ended early, with all that a figure may publish or deliver: %s.\n", strings.Join(bounded, ", "))
	}
	faults := r.Faults()
	if !faults.Any() {
		b.WriteString("No record was lost, doubled or out of order.\n")
		return
	}
	fmt.Fprintf(b, "FAULTS: %d records lost, %d doubled, %d out of order, %d in the wrong channel, %d overdue, %d readers refused:\n",
		faults.Lost, faults.Doubled, faults.Disordered, faults.Misplaced, faults.Overdue, faults.Unread)
	for _, which := range faults.Which {
		fmt.Fprintf(b, "  %s\n", which)
	}
}

// headline is what matters most of a figure, in a few words.
func (f *Figure) headline() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case f.Scenario == "idle" && f.Server != nil:
		add("%s KiB a reader, %s µs of CPU a connect, %s ms/s when idle", number(f.Server.PerReader/1024), number(f.Server.PerConnect), number(f.Server.Idle))
	case f.CaughtUp != nil:
		add("all caught up after %s ms", number(f.CaughtUp.Max))
	case f.Deliveries > 0:
		add("%s deliveries a second", number(f.DeliveriesPS))
		if f.Server != nil {
			add("%s µs of CPU each", number(f.Server.PerDelivery))
		}
	case f.Published > 0:
		add("%s records a second", number(f.PublishedPS))
	case f.Responses > 0:
		add("%s responses a second", number(f.ResponsesPS))
	}
	if f.Latency != nil {
		add("latency p50 %s ms, p99 %s ms", number(f.Latency.P50), number(f.Latency.P99))
	}
	if f.Faults.Any() {
		add("FAULTS: %s", f.Faults.Which[0])
	}
	if f.Interrupted {
		add("cut short")
	}
	if len(parts) == 0 {
		return "done"
	}
	return strings.Join(parts, ", ")
}

// count writes a number of things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}
