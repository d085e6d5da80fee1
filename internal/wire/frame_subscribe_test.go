package wire

import (
	"errors"
	"testing"
	"time"

	"twohop"
)

func TestParseSubscribe(t *testing.T) {
	last, at := uint64(5), time.UnixMilli(1790000000000)
	want := &Subscribe{Live: "sse", Resume: "r1-x", Subs: []Follow{
		{Channel: "a", From: twohop.From{Kind: twohop.FromStart}, Budget: 250 * time.Millisecond},
		{Channel: "b", From: twohop.From{Kind: twohop.FromTail}, Budget: time.Second, Base64: true},
		{Channel: "c", TailRecords: &last, Budget: 250 * time.Millisecond},
		{Channel: "d", Since: &at, Budget: 250 * time.Millisecond},
	}}
	f := func(got *Subscribe, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got.Live != want.Live || got.Resume != want.Resume || len(got.Subs) != len(want.Subs) {
			t.Fatalf("got %+v", got)
		}
		for i, w := range want.Subs {
			g := got.Subs[i]
			if g.Channel != w.Channel || g.Budget != w.Budget || g.Base64 != w.Base64 || g.Err != nil ||
				(g.TailRecords == nil) != (w.TailRecords == nil) || g.TailRecords != nil && *g.TailRecords != *w.TailRecords ||
				(g.Since == nil) != (w.Since == nil) || g.Since != nil && !g.Since.Equal(*w.Since) ||
				g.TailRecords == nil && g.Since == nil && g.From != w.From {
				t.Errorf("got %+v, want %+v", g, w)
			}
		}
	}
	f(ParseSubscribeBody([]byte(`{"live":"sse","budget":"250ms","offset":"-1","resume":"r1-x","channels":[{"channel":"a"},
		{"channel":"b","budget":1000,"offset":"now","encoding":"base64"},{"channel":"c","tailRecords":5},{"channel":"d","since":"1790000000000"}]}`)))
	f(ParseSubscribeQuery("live=sse&budget=250ms&offset=-1&unknown=1&resume=r1-x&channel=a&channel=b&budget=1s&offset=now&encoding=base64&channel=c&tail_records=5&channel=d&since=1790000000000"))
}

func TestParseSubscribeRefuses(t *testing.T) {
	f := func(got *Subscribe, err error) func(code twohop.Code) {
		return func(code twohop.Code) {
			t.Helper()
			if e, ok := errors.AsType[*twohop.Error](err); !ok || e.Code != code || e.Hint == "" {
				t.Errorf("got %+v, %v, want %s", got, err, code)
			}
		}
	}
	body := func(s string) func(twohop.Code) { return f(ParseSubscribeBody([]byte(s))) }
	body(`{"channels":[{"channel":"a"}]`)(twohop.CodeInvalidJSON)
	body(`[]`)(twohop.CodeInvalidRequest)
	body(`{}`)(twohop.CodeInvalidRequest)
	body(`{"channels":[]}`)(twohop.CodeInvalidRequest)
	body(`{"channels":["a"]}`)(twohop.CodeInvalidRequest)
	body(`{"channels":[{}]}`)(twohop.CodeInvalidRequest)
	body(`{"channel":"a"}`)(twohop.CodeInvalidRequest)
	body(`{"channel":"a","channels":[{"channel":"b"}]}`)(twohop.CodeInvalidRequest)
	body(`{"live":true,"channels":[{"channel":"a"}]}`)(twohop.CodeInvalidRequest)
	body(`{"live":"ws","channels":[{"channel":"a"}]}`)(twohop.CodeInvalidParameter)
	body(`{"budget":"1h","channels":[{"channel":"a"}]}`)(twohop.CodeInvalidParameter)
	body(`{"channels":[{"channel":"a","offset":"0"}]}`)(twohop.CodeInvalidOffset)
	query := func(s string) func(twohop.Code) { return f(ParseSubscribeQuery(s)) }
	for _, s := range []string{"", "live=sse", "channel=", "channel=%zz", "channel=%ff", "channel=a&offset=now&offset=now", "live=sse&live=sse&channel=a",
		"live=sse&channel=a&live=sse", "channel=a&live=ws", "channel=a&tail_records=x", "channel=a&tail_records=-1", "channel=a&tail_records=1000001",
		"channel=a&budget=6m", "channel=a&since=x", "channel=a&offset=now&since=1", "channel=a&encoding=hex", "budget=1h&channel=a"} {
		query(s)(twohop.CodeInvalidParameter)
	}
	query("channel=a&offset=0")(twohop.CodeInvalidOffset)
}
