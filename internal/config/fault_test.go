package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFaults writes files with faults and holds the faults against what they
// must say, with f: for the file's path.
func TestFaults(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		path := write(t, text)
		_, err := Load(Sources{File: path})
		var got []string
		if faults, ok := errors.AsType[Faults](err); ok {
			for i := range faults {
				got = append(got, strings.ReplaceAll(faults[i].String(), path, "f"))
			}
		} else if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%s", text, diff)
		}
	}
	f("")
	f("# nothing\n")
	f("limits:\n")
	f("listn: 127.0.0.1:1\n", "f:1: listn: is not an option (did you mean listen?)")
	f("limits:\n  body_byte: 1\n", "f:2: limits.body_byte: is not an option (did you mean limits.body_bytes?)")
	f("body_bytes: 1\n", "f:1: body_bytes: is not an option (did you mean limits.body_bytes?)")
	f("zzzzzzzzzzzz: 1\n", "f:1: zzzzzzzzzzzz: is not an option (docs/configuration.md lists them all)")
	f("Listen: 127.0.0.1:1\n", "f:1: Listen: is not an option (names are in lower case)")
	f("data: a\ndrain: 1s\ndata: b\n", "f:3: data: stands here a second time, first in line 1")
	f("limits: 5\n", `f:1: limits: options are expected here, not "5" (write name: value, one on each line)`)
	f("- listen\n", "f:1: options are expected here, not a list (write name: value, one on each line)")
	f("listen: [a]\n", "f:1: listen: one value is expected here, not a list")
	f("listen:\n", "f:1: listen: has no value (leave the line out for the default)")
	f("data: 5\n", "f:1: data: 5 is not text (put it in quotes)")
	f("drain: 10\n", `f:1: drain: "10" has no unit: write for example 10s`)
	f("drain: soon\n", `f:1: drain: "soon" is not a duration: write for example 250ms, 20s, 5m or 7d`)
	f("drain: -1s\n", "f:1: drain: a duration cannot be negative")
	f("drain: 2h\n", "f:1: drain: 2h is more than 1h")
	f("page_bytes: 0\n", "f:1: page_bytes: 0 is less than 1")
	f("page_bytes: 4Ki\n", `f:1: page_bytes: "4Ki" has an unknown unit: write B, KB, MB, GB, TB, KiB, MiB, GiB or TiB`)
	f("page_bytes: 99999999TiB\n", `f:1: page_bytes: "99999999TiB" is too large`)
	f("limits: {name_bytes: 1.5}\n", `f:1: limits.name_bytes: "1.5" is not a whole number`)
	f("webhooks: {allow_private: 1}\n", `f:1: webhooks.allow_private: "1" is neither true nor false`)
	f("log: {level: warning}\n", `f:1: log.level: "warning" is none of debug, info, warn, error; did you mean warn?`)
	f("engine: redis://127.0.0.1:6379\n", "f:1: engine: the redis engine is not in this version (use disk or memory)")
	f("engine: dsk\n", `f:1: engine: there is no engine "dsk" (use disk or memory)`)
	f("listen: nowhere\n", `f:1: listen: "nowhere" is not an address (write HOST:PORT, for example 127.0.0.1:4437 or 0.0.0.0:4437)`)
	f("listen: 127.0.0.1:70000\n", `f:1: listen: "127.0.0.1:70000" has no port between 0 and 65535 (write HOST:PORT, for example 127.0.0.1:4437 or 0.0.0.0:4437)`)
	f("debug: {listen: \":6060\"}\n", `f:1: debug.listen: ":6060" is not a loopback address (profiles show the inside of the process; write for example 127.0.0.1:4438)`)
	f("debug: {listen: 'localhost:abc'}\n", `f:1: debug.listen: "localhost:abc" has no port between 0 and 65535 (write for example 127.0.0.1:4438)`)
	f("sse: {heartbeat: 15ms}\n", "f:1: sse.heartbeat: 15ms is less than 1s (0 is the default: 15s, and 45s on plain connections that show no proxy)")
	f("sse: {heartbeat: 1s}\n")
	f("public_url: live.example.com\n", `f:1: public_url: "live.example.com" is not an http or https address`)
	for _, address := range []string{"https://live.example.com?a=b", "https://live.example.com?", "https://live.example.com/#x", "https://user@live.example.com"} {
		f("public_url: "+address+"\n", `f:1: public_url: "`+address+`" has a user, a query or a fragment (write scheme and host, for example https://live.example.com)`)
	}
	f("public_url: https://live.example.com/behind/a/path\n")
	f("cors:\n  origins: [app.example.com]\n", `f:2: cors.origins: "app.example.com" is not an origin (write scheme and host, for example https://app.example.com, or *)`)
	f("cors:\n  origins: ['*', https://app.example.com, 'http://app.example.com:8080', 'https://app.example.com:80', 'http://[::2]:1', capacitor://localhost]\n")
	f("cors: {origins: ['https://*.example.com']}\n", `f:1: cors.origins: "https://*.example.com" is the origin of no page: there are no wildcards (name each origin, or write * for any)`)
	f("cors: {origins: ['https://bücher.example']}\n", `f:1: cors.origins: "https://bücher.example" is not as browsers send it: they write the host in ASCII (write its name that begins with xn--)`)
	f("cors: {origins: ['https://app.example.com#x']}\n", `f:1: cors.origins: "https://app.example.com#x" is not an origin (write scheme and host, for example https://app.example.com, or *)`)
	for origin, sent := range map[string]string{
		"https://App.Example.com": "https://app.example.com", "HTTPS://app.example.com": "https://app.example.com", "https://app.example.com#": "https://app.example.com",
		"https://app.example.com:443": "https://app.example.com", "http://app.example.com:80": "http://app.example.com", "http://app.example.com:": "http://app.example.com",
		"https://APP.example.com:8443": "https://app.example.com:8443", "http://[FE80::2]:80": "http://[fe80::2]",
	} {
		f("cors: {origins: ['"+origin+"']}\n", `f:1: cors.origins: "`+origin+`" is not as browsers send it (write `+sent+`)`)
	}
	f("cors: {origins: \"*\"}\n", `f:1: cors.origins: a list is expected here, not "*" (begin each item with a dash)`)
	f("cors: {origins: [5]}\n", `f:1: cors.origins[0]: text is expected here, not "5"`)
	f("data: ''\n", "f:1: data: is empty, but the disk engine needs a directory")
	f("data: a\n---\ndata: b\n", "f:2: a second document begins here (a configuration is one YAML document)")
	f("data: [a\n", "f:1: did not find expected ',' or ']'")
	f("rules:\n  - create: on-publish\n", `f:2: rules[0]: has no match (a rule needs match: and the names that it is for, for example match: "logs/**")`)
	f("rules:\n  - match: 'a[b'\n", `f:2: rules[0].match: "a[b" is malformed (a [ needs its ]; write a literal one as \[)`)
	for _, match := range []string{"/logs/**", "logs//x", "logs/", "./logs", "logs/../x", "/"} {
		f("rules:\n  - match: '"+match+"'\n", `f:2: rules[0].match: "`+match+`" matches no channel: no segment of a name is empty, . or .. (write for example "logs/**")`)
	}
	f("rules:\n  - match: '**'\n  - match: '*/.x/..y'\n")
	f("rules:\n  - match: a\n    create: on_publish\n", `f:3: rules[0].create: "on_publish" is none of never, on-publish; did you mean on-publish?`)
	f("rules:\n  - match: a\n    content_type: json\n", `f:3: rules[0].content_type: "json" is not a media type (write for example application/json)`)
	f("rules:\n  - match: a\n    retention: {ages: 1d}\n", "f:3: rules[0].retention.ages: is not an option (did you mean rules[0].retention.age?)")
	f("rules:\n  - match: a\n    retention: {records: -1}\n", "f:3: rules[0].retention.records: -1 is less than 0")
	f("engine: memory\nrules:\n  - match: a\n  - match: b\n    sync: always\n",
		`f:5: rules[1].sync: rule "b" asks for sync: always, but the memory engine keeps nothing on disk (leave sync out, or use engine: disk)`)
	f("listen: x\ndrain: 1\nnope_at_all: 1\n",
		`f:2: drain: "1" has no unit: write for example 1s`,
		"f:3: nope_at_all: is not an option (docs/configuration.md lists them all)",
		`f:1: listen: "x" is not an address (write HOST:PORT, for example 127.0.0.1:4437 or 0.0.0.0:4437)`)
}

func TestFaultsOfEnvironmentAndFlags(t *testing.T) {
	_, err := Load(Sources{
		Env:   func(n string) (string, bool) { return "x", n == "TWOHOP_DRAIN" },
		Flags: map[string]string{"log.level": "loud"},
	})
	want := "configuration: 2 faults\n" +
		`  $TWOHOP_DRAIN: "x" is not a duration: write for example 250ms, 20s, 5m or 7d` + "\n" +
		`  --log-level: log.level: "loud" is none of debug, info, warn, error`
	if fmt.Sprint(err) != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := Load(Sources{File: filepath.Join(t.TempDir(), "none.yaml")}); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestNearest(t *testing.T) {
	names := []string{"listen", "data", "drain", "sse"}
	for name, want := range map[string]string{"lisen": "listen", "dat": "data", "dran": "drain", "completely": ""} {
		if got := nearest(name, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
