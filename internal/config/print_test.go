package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPrintLoadsAgain(t *testing.T) {
	l := load(t, "data: \"5\"\nsse: {retry: 1500ms}\nrules:\n  - match: \"#a\"\n    sync: never\n    retention: {bytes: 3MB}\n  - match: b\n")
	text, err := l.Print()
	if err != nil {
		t.Fatal(err)
	}
	again := load(t, string(text))
	if diff := cmp.Diff(l.Config, again.Config); diff != "" {
		t.Errorf("%s\n%s", text, diff)
	}
	for _, line := range []string{"listen: 127.0.0.1:4437 # default", "retry: 1.5s # " + l.Origins["sse.retry"], "bytes: 3MB # " + l.Origins["rules[0].retention.bytes"]} {
		if !strings.Contains(string(text), line) {
			t.Errorf("there is no %q in\n%s", line, text)
		}
	}
}

func TestPrintDefaults(t *testing.T) {
	text, err := (&Loaded{Config: Default()}).Print()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), load(t, string(text)).Config); diff != "" {
		t.Errorf("%s\n%s", text, diff)
	}
}

func TestDurationsAndSizesAreReadAsWritten(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 250 * time.Millisecond, time.Second, 90 * time.Second, time.Hour, 25 * time.Hour, 7 * day} {
		if got, err := ParseDuration(formatDuration(d)); err != nil || got != d {
			t.Errorf("%v is written %s and read %v, %v", d, formatDuration(d), got, err)
		}
	}
	for _, n := range []int64{0, 1, 999, 1000, 1024, 4096, 1 << 20, 3e6, 1 << 40, 1<<40 + 1} {
		if got, err := parseSize(formatSize(n)); err != nil || got != n {
			t.Errorf("%d is written %s and read %d, %v", n, formatSize(n), got, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("listen: a\nrules:\n  - match: x\n    retention: {age: 1d}\n")
	f.Add("a: &x [*x]\n<<: {}\n? {a: b}\n: c\n")
	f.Add("limits: !!binary aGk=\ncors: {origins: [!!null ~]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		d := &decoder{file: "f", origins: map[string]string{}}
		c := Default()
		d.document([]byte(text), &c)
		if len(d.faults) > 0 || c.Validate() != nil {
			return
		}
		printed, err := (&Loaded{Config: c}).Print()
		if err != nil {
			t.Fatal(err)
		}
		again := &decoder{file: "f", origins: map[string]string{}}
		c2 := Default()
		again.document(printed, &c2)
		if diff := cmp.Diff(c, c2); len(again.faults) > 0 || diff != "" {
			t.Fatalf("printed configuration is another one: %v %s\n%s", again.faults, diff, printed)
		}
	})
}
