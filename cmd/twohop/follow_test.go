package main

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"twohop"
	"twohop/client"
)

func TestParseFrom(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := func(s string, want client.From) {
		t.Helper()
		if got, err := parseFrom(s, now); err != nil || got != want {
			t.Errorf("%q is %v, %v", s, got, err)
		}
	}
	f("start", client.Start())
	f("now", client.Now())
	f("-1", client.Tail(1))
	f("-10", client.Tail(10))
	f("0000000000000001_0000000000000002", client.At("0000000000000001_0000000000000002"))
	f("2026-01-02T00:00:00Z", client.Since(now.Truncate(24*time.Hour)))
	f("5m", client.Since(now.Add(-5*time.Minute)))
	f("7d", client.Since(now.Add(-7*24*time.Hour)))
	f("1h30m ago", client.Since(now.Add(-90*time.Minute)))
	for _, bad := range []string{"", "-", "-x", "-1x", "-5m", "two words", "5m before"} {
		if got, err := parseFrom(bad, now); err == nil {
			t.Errorf("%q is taken for %v", bad, got)
		}
	}
}

// output is a follow of one-letter channels: events[i] is of channels[i].
type output struct {
	json, prefix bool
	records      uint64
	events       []client.Event
	channels     string
}

func (o output) print(t *testing.T) (string, error) {
	t.Helper()
	var b bytes.Buffer
	out := newFollowOutput(&b, o.json, o.prefix, o.records)
	for i := range o.events {
		before := b.Len()
		err := out.write(o.channels[i:i+1], &o.events[i])
		if err != nil {
			return b.String(), err
		}
		if len(o.events[i].Records) > 0 && b.Len() == before {
			t.Error("an event's output was kept back")
		}
	}
	return b.String(), nil
}

func text(s string) client.Event {
	return client.Event{Records: [][]byte{[]byte(s)}, Offset: "at-" + s[:1]}
}

func values(s ...string) client.Event {
	e := client.Event{JSON: true, Offset: "at-" + s[len(s)-1]}
	for _, v := range s {
		e.Records = append(e.Records, []byte(v))
	}
	return e
}

func TestFollowOutput(t *testing.T) {
	f := func(o output, want string) {
		t.Helper()
		got, err := o.print(t)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
	}
	f(output{channels: "aa", events: []client.Event{text("1\r\n\xff"), text("2")}}, "1\r\n\xff2")
	f(output{channels: "a", events: []client.Event{values("1", "{\"a\":\r\n2}")}}, "1\n{\"a\":  2}\n")
	f(output{channels: "abab", prefix: true, events: []client.Event{text("1\n2"), text("3\n"), text("4"), text("5\n")}},
		"a: 1\na: 2\nb: 3\na: 4\nb: 5\n")
	f(output{channels: "aa", prefix: true, events: []client.Event{text("1"), text("2\n3\n")}}, "a: 12\na: 3\n")
	f(output{channels: "a", json: true, events: []client.Event{text("1\n\xff\n\n")}},
		`{"channel":"a","text":"1\n"}`+"\n"+`{"channel":"a","base64":"/wo="}`+"\n"+`{"channel":"a","offset":"at-1","text":"\n"}`+"\n")
	f(output{channels: "a", json: true, events: []client.Event{values("1", "null")}},
		`{"channel":"a","data":1}`+"\n"+`{"channel":"a","offset":"at-null","data":null}`+"\n")
	f(output{channels: "a", json: true, events: []client.Event{{Offset: "x", Reset: &client.Reset{Reason: twohop.ResetTrimmed, Missed: 3}}}},
		`{"channel":"a","offset":"x","reset":{"reason":"trimmed","missed":3}}`+"\n")
}

func TestFollowOutputEndsAfterNRecords(t *testing.T) {
	f := func(o output, want string) {
		t.Helper()
		got, err := o.print(t)
		if d := cmp.Diff(want, got); d != "" || !errors.Is(err, errEnough) {
			t.Errorf("%v\n%s", err, d)
		}
	}
	f(output{channels: "aa", records: 3, events: []client.Event{text("1\n2\n"), text("3\n4\n")}}, "1\n2\n3\n")
	f(output{channels: "aa", records: 2, events: []client.Event{text("1\n2\n"), text("3\n4\n")}}, "1\n2\n")
	f(output{channels: "a", records: 1, json: true, events: []client.Event{values("1", "2")}}, `{"channel":"a","data":1}`+"\n")
}

func TestFollowOutputTellsOfAReaderThatIsGone(t *testing.T) {
	r, w := io.Pipe()
	_ = r.Close()
	e := text("1\n")
	if err := newFollowOutput(w, false, false, 0).write("a", &e); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func TestFollowNoticesTellTroubleOnce(t *testing.T) {
	var b bytes.Buffer
	n := followNotices{w: &b, down: map[string]bool{}}
	away := &twohop.Error{Code: twohop.CodeUnavailable, Message: "no answer"}
	missing := &twohop.Error{Code: twohop.CodeNotFound}
	n.retrying("a", away)
	n.retrying("a", away)
	n.retrying("b", missing)
	n.event("a", &client.Event{})
	n.event("a", &client.Event{})
	n.retrying("a", away)
	n.retrying("", away) // of the connection to all
	n.retrying("", away)
	n.event("c", &client.Event{})
	want := "twohop: a: no answer; trying again\ntwohop: b: does not exist; waiting for it\n" +
		"twohop: a: going on\ntwohop: a: no answer; trying again\n" +
		"twohop: no answer; trying again\ntwohop: going on\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}
