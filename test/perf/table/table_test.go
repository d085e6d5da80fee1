package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const runs = `[
{"server":"twohop","transport":"sse","scenario":"S2","case":"N=1000 rate=100","m":{"cpu_us_per_delivery":4}},
{"server":"twohop","transport":"sse","scenario":"S2","case":"N=1000 rate=100","m":{"cpu_us_per_delivery":6}},
{"server":"twohop","transport":"sse","scenario":"S2","case":"N=1000 rate=100","m":{"cpu_us_per_delivery":4.5}},
{"server":"twohop","transport":"ws","scenario":"S2","case":"N=1000 rate=100","m":{"cpu_us_per_delivery":8}},
{"server":"floor","transport":"sse","scenario":"S2","case":"N=1000 rate=100","m":{"cpu_us_per_delivery":5}},
{"server":"twohop","transport":"sse","scenario":"S7","case":"50 stopped","m":{"slow_closed":1,"lost":0}},
{"server":"twohop","transport":"sse","scenario":"S4","case":"N=5000 missed=200","m":{"cpu_us_per_resume":30}},
{"server":"floor","transport":"sse","scenario":"S1","case":"one N=10000","m":{"cpu_us_per_connect":20}}
]`

func TestTable(t *testing.T) {
	dir := t.TempDir()
	file, page := filepath.Join(dir, "r.json"), filepath.Join(dir, "page.md")
	for name, text := range map[string]string{file: runs, page: "before\n<!-- table -->\nformer figures\n<!-- end of table -->\nafter\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(page, []string{file}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{
		"before\n<!-- table -->\n| what |",
		"| delivery, 1,000 readers, 100/s, us | SSE | 4.5 (4 to 6) | 5 | 0.90 x | 1 x | holds |\n",
		"| delivery, 1,000 readers, 100/s, us | WebSocket | 8 (8 to 8) | 5 | 1.60 x | 1 x | **missed** |\n",
		"| stopped readers that were cut off, readers | SSE | 1 (1 to 1) | | | 0 | **missed** |\n",
		"| records lost, records | SSE | 0 (0 to 0) | | | 0 | holds |\n",
		"| resume of 5,000, 200 missed each, against a connect, us | SSE | 30.0 (30.0 to 30.0) | 20.0 | 1.50 x | 2.5 x | holds |\n",
		"| poll with ten new, us | | not measured | | | | |\n",
		"\n3 of 5 hold.\n<!-- end of table -->\nafter\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "former") {
		t.Error("the old table is still there")
	}
}

func TestPageWithoutMarkers(t *testing.T) {
	if _, err := between("nothing", "<!-- a -->\n", "<!-- b -->\n", "x"); err == nil {
		t.Error("a page without markers was written to")
	}
}
