package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"twohop/internal/budget"
)

// The guide's tables are what the command prints.
func TestAdviceGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/advice.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "\n    $ twohop advise")[1:]
	if len(blocks) < 10 {
		t.Errorf("the guide has %d tables", len(blocks))
	}
	for _, block := range blocks {
		flags, rest, _ := strings.Cut(block, "\n")
		var want strings.Builder
		for line := range strings.Lines(rest) {
			if line != "\n" && !strings.HasPrefix(line, "    ") {
				break
			}
			want.WriteString(strings.TrimPrefix(line, "    "))
		}
		var out bytes.Buffer
		a := &app{Context: t.Context(), Stdout: &out, Stderr: &out}
		if err := parseAndRun(a, append([]string{"advise"}, strings.Fields(flags)...)); err != nil {
			t.Errorf("advise%s: %v", flags, err)
			continue
		}
		got, _, _ := strings.Cut(out.String(), "\nA node: ")
		if got, want := strings.TrimSpace(got), strings.TrimSpace(want.String()); got != want {
			t.Errorf("the guide says of advise%s\n%s\nand the command\n%s", flags, want, got)
		}
	}
}

func TestAdviceFormats(t *testing.T) {
	for v, want := range map[float64]string{0: "0 B", 999: "999 B", 1000: "1.00 kB", 9999: "10.0 kB", 123456: "123 kB", 999900: "1.00 MB", 2.5e9: "2.50 GB", 3e15: "3000 TB"} {
		if got := bytesOf(v); got != want {
			t.Errorf("%g bytes: %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", 0.14: "0.1", 9.96: "10", 7: "7", 1234.5: "1,235", 1e6: "1,000,000"} {
		if got := grouped(v); got != want {
			t.Errorf("%g: %s, want %s", v, got, want)
		}
	}
	for r, want := range map[*budget.Row]string{
		{Transport: budget.Poll, Interval: 299e9, Cached: true}: "poll every 4m59s, a cache in front",
		{Transport: budget.Poll, Interval: 300e9}:               "poll every 5m",
		{Transport: budget.LongPoll}:                            "long poll, at once",
		{Transport: budget.WebSocket, Budget: 25e7}:             "WebSocket, collecting 250ms",
	} {
		if got := rowName(r); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
