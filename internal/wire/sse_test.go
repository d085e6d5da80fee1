package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"twohop"
)

// event is one event as a browser reads it.
type event struct{ name, data, id string }

// parse reads SSE as the HTML standard says (9.2.6), for whole input.
func parse(b []byte) (events []event) {
	var e event
	var data []string
	id := ""
	s := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(b))
	for line := range strings.SplitSeq(s, "\n") {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if data != nil {
				e.data, e.id = strings.Join(data, "\n"), id
				events = append(events, e)
			}
			e, data = event{}, nil
		case field == "event":
			e.name = value
		case field == "data":
			data = append(data, value)
		case field == "id":
			id = value
		}
	}
	return events
}

func TestSSEJSON(t *testing.T) {
	c := Control{Next: twohop.Offset{Epoch: 7, Pos: 2}, CacheToken: 42, UpToDate: true}
	got := parse(SSEData(SSEOpen(nil, time.Second), EncodeJSON, []byte(`{"a":1},{"b":2},`), c))
	want := []event{
		{"data", `[{"a":1},{"b":2}]`, "0000000000000007_0000000000000002"},
		{"control", `{"streamNextOffset":"0000000000000007_0000000000000002","streamCursor":"42","upToDate":true}`, "0000000000000007_0000000000000002"},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSSEControlAlone(t *testing.T) {
	c := Control{Next: twohop.Offset{Epoch: 7, Pos: 2}, Closed: true, UpToDate: true}
	got := parse(SSEData(nil, EncodeJSON, nil, c))
	if len(got) != 1 || got[0].name != "control" || got[0].id != c.Next.String() || strings.Contains(got[0].data, "streamCursor") {
		t.Errorf("got %q", got)
	}
}

// Whatever the bytes, there is one data event and one control event, and the
// text comes back but for its kinds of line breaks.
func FuzzSSEText(f *testing.F) {
	for _, s := range []string{"a", "a\nb\n", " x", "a\r\n\r\nevent: control\ndata:x\n\n", "\r", "\n\n", "id: 1\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		got := parse(SSEData(nil, EncodeText, in, Control{}))
		if len(got) != 2 || got[0].name != "data" || got[1].name != "control" {
			t.Fatalf("%q gave %q", in, got)
		}
		want := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(in))
		if got[0].data != want {
			t.Fatalf("%q came back as %q", in, got[0].data)
		}
		exact, err := base64.StdEncoding.DecodeString(parse(SSEData(nil, EncodeBase64, in, Control{}))[0].data)
		if err != nil || !bytes.Equal(exact, in) {
			t.Fatalf("base64: %q came back as %q, %v", in, exact, err)
		}
	})
}

func TestSSEReset(t *testing.T) {
	r := &twohop.Reset{Reason: twohop.ResetTrimmed, Start: twohop.Offset{Epoch: 1, Pos: 9}, Tail: twohop.Offset{Epoch: 1, Pos: 12}, Missed: 4}
	got := parse(SSEReset(nil, r))
	var m map[string]any
	if len(got) != 1 || got[0].name != "reset" || got[0].id != r.Start.String() || json.Unmarshal([]byte(got[0].data), &m) != nil ||
		m["reason"] != "trimmed" || m["start"] != r.Start.String() || m["missed"] != 4.0 {
		t.Errorf("got %q", got)
	}
	r = &twohop.Reset{Reason: twohop.ResetDeleted}
	if got := parse(SSEReset(nil, r)); len(got) != 1 || got[0].id != "" || got[0].data != `{"reason":"deleted","missed":0}` {
		t.Errorf("got %q", got)
	}
}

func TestCacheTokenGrows(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	present := CacheToken(now)
	if present == 0 || NextCacheToken(now, 0, false) != present || NextCacheToken(now, present-1, true) != present {
		t.Error("the token of the present is not given where it may be")
	}
	if CacheTokenRoom(now, present) != 0 {
		t.Error("the token of the present is not the only one")
	}
	for range 100 {
		if got := NextCacheToken(now, present, true); got <= present || got+CacheTokenRoom(now, got) != present+180 {
			t.Fatalf("after %d came %d", present, got)
		}
	}
}

func TestETagTellsPagesApart(t *testing.T) {
	a, b := twohop.Offset{Epoch: 1}, twohop.Offset{Epoch: 1, Pos: 1}
	seen := map[string]bool{}
	for _, tag := range []string{ETag(a, b, false, false), ETag(a, b, true, false), ETag(a, b, true, true), ETag(b, b, true, false)} {
		if seen[tag] {
			t.Errorf("%s names two pages", tag)
		}
		seen[tag] = true
	}
}

func BenchmarkSSEData(b *testing.B) {
	data := []byte(`{"id":123456,"name":"` + strings.Repeat("x", 100) + `"},`)
	for name, enc := range map[string]Encoding{"json": EncodeJSON, "text": EncodeText, "base64": EncodeBase64} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst = SSEData(dst[:0], enc, data, Control{Next: twohop.Offset{Epoch: 1, Pos: 2}, UpToDate: true})
			}
		})
	}
}
