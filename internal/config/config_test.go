package config

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"twohop"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

func TestManualIsTheStruct(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "configuration.md")
	if *update {
		if err := os.WriteFile(path, []byte(Reference()), 0o644); err != nil { //nolint:gosec // a page of the manual
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Reference(), string(got)); diff != "" {
		t.Errorf("docs/configuration.md is not what the struct says; run make docs (-want +got):\n%s", diff)
	}
}

func TestManualExampleIsValid(t *testing.T) {
	_, rest, _ := strings.Cut(Reference(), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	load(t, example)
}

func TestOptionsAreFewAndDocumented(t *testing.T) {
	options := append(Options(), RuleOptions()...)
	if len(options) > 40 {
		t.Errorf("%d options, 40 are the most", len(options))
	}
	seen := map[string]bool{}
	for _, o := range options {
		if o.Doc == "" || !strings.HasSuffix(o.Doc, ".") {
			t.Errorf("%s: doc %q is no sentence", o.Path, o.Doc)
		}
		if seen[o.Flag()] {
			t.Errorf("flag --%s stands for two options", o.Flag())
		}
		seen[o.Flag()] = true
		for _, bound := range []string{o.Min, o.Max} {
			field := reflect.New(fieldType(t, &o)).Elem()
			if bound != "" && o.set(field, bound) != nil {
				t.Errorf("%s: bound %q cannot be read", o.Path, bound)
			}
		}
	}
}

func fieldType(t *testing.T, o *Option) reflect.Type {
	t.Helper()
	top := reflect.TypeFor[Config]()
	if strings.HasPrefix(o.Path, "rules.") {
		top = reflect.TypeFor[Rule]()
	}
	return top.FieldByIndex(o.index).Type
}

func TestDefaultIsValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if !c.Loopback() {
		t.Errorf("the default address %s is not a loopback one", c.Listen)
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "page_bytes: 1KiB\nlong_poll: 2s\ndrain: 3s\nlimits:\n  name_bytes: 7\n")
	env := map[string]string{"TWOHOP_LONG_POLL": "4s", "TWOHOP_DRAIN": "5s", "TWOHOP_CORS_ORIGINS": "https://a.example, https://b.example"}
	l, err := Load(Sources{
		File:  file,
		Env:   func(n string) (string, bool) { v, ok := env[n]; return v, ok },
		Flags: map[string]string{"drain": "6s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &l.Config
	got := []any{c.PageBytes, c.LongPoll, c.Drain, c.Limits.NameBytes, c.Data, c.CORS.Origins}
	want := []any{int64(1024), 4 * time.Second, 6 * time.Second, int64(7), "./twohop-data", []string{"https://a.example", "https://b.example"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for path, want := range map[string]string{
		"page_bytes": file + ":1", "limits.name_bytes": file + ":5",
		"long_poll": "$TWOHOP_LONG_POLL", "drain": "--drain", "data": "",
	} {
		if got := l.Origins[path]; got != want {
			t.Errorf("origin of %s is %q, want %q", path, got, want)
		}
	}
}

func TestRules(t *testing.T) {
	c := load(t, `
rules:
  - match: "logs/**"
    create: on-publish
    content_type: Text/Plain
    ttl: 1d12h
    sync: interval
    retention: {age: 7d, records: 10, bytes: 1MB}
  - match: "*"
`).Config
	want := twohop.Rules{
		{
			Match: "logs/**", Create: true, ContentType: "text/plain", TTL: 36 * time.Hour, Sync: twohop.SyncInterval,
			Retention: twohop.Retention{Age: 7 * 24 * time.Hour, Records: 10, Bytes: 1e6},
		},
		{Match: "*"},
	}
	if diff := cmp.Diff(want, c.ChannelRules()); diff != "" {
		t.Error(diff)
	}
}

func TestLoopbackWebhooks(t *testing.T) {
	f := func(listen, allow string, want bool) {
		t.Helper()
		c := Default()
		c.Listen, c.Webhooks.AllowLoopback = listen, allow
		if got := c.LoopbackWebhooks(); got != want {
			t.Errorf("listen %s, allow_loopback %s: %v", listen, allow, got)
		}
	}
	f("127.0.0.1:1", "auto", true)
	f("[::1]:1", "auto", true)
	f("localhost:1", "auto", true)
	f(":4437", "auto", false)
	f("0.0.0.0:4437", "auto", false)
	f("0.0.0.0:4437", "true", true)
	f("127.0.0.1:1", "false", false)
}

// load reads a valid configuration.
func load(t *testing.T, text string) *Loaded {
	t.Helper()
	l, err := Load(Sources{File: write(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "twohop.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
