package wire

import (
	"errors"
	"runtime"
	"strings"
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
		{"channel":"b","budget":1000,"offset":"now","encoding":"base64"},{"channel":"c","tailRecords":5},{"channel":"d","since":"1790000000000"}]}`), channels))
	f(ParseSubscribeQuery("live=sse&budget=250ms&offset=-1&unknown=1&resume=r1-x&channel=a&channel=b&budget=1s&offset=now&encoding=base64&channel=c&tail_records=5&channel=d&since=1790000000000", channels))
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
	body := func(s string) func(twohop.Code) { return f(ParseSubscribeBody([]byte(s), 3)) }
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
	body(`{"channels":[{"channel":"a","offset":"0"},{}]}`)(twohop.CodeInvalidRequest)
	body(`{"channels":[{"channel":"a"},{"channel":"b"},{"channel":"c"},{"channel":"d"}]}`)(CodeTooManyChannels)
	body(`{"channels":[{"channel":"a"},{"channel":"b"},{"channel":"c"},{}]}`)(CodeTooManyChannels)
	query := func(s string) func(twohop.Code) { return f(ParseSubscribeQuery(s, 3)) }
	for _, s := range []string{"", "live=sse", "channel=", "channel=%zz", "channel=%ff", "channel=a&offset=now&offset=now", "live=sse&live=sse&channel=a",
		"live=sse&channel=a&live=sse", "channel=a&live=ws", "channel=a&tail_records=x", "channel=a&tail_records=%2B5",
		"channel=a&tail_records=-", "channel=a&tail_records=1.5", "channel=a&tail_records=99999999999999999999", "channel=a&tail_records=-1", "channel=a&tail_records=1000001",
		"channel=a&budget=6m", "channel=a&since=x", "channel=a&offset=now&since=1", "channel=a&encoding=hex", "budget=1h&channel=a"} {
		query(s)(twohop.CodeInvalidParameter)
	}
	query("channel=a&offset=0")(twohop.CodeInvalidOffset)
	query("channel=a&channel=b&channel=c&channel=d")(CodeTooManyChannels)
}

// What names far too many channels is not read to its end.
func TestTooManyChannelsTakeLittle(t *testing.T) {
	const n = 250_000
	var f ClientFrame
	list := func(element string) string { return `"channels":[` + strings.Repeat(element+",", n) + element + "]}" }
	frame := func(text string) func() error {
		b := []byte(text)
		return func() error { return ParseClientFrame(b, &f, channels) }
	}
	body := func(text string) func() error {
		b := []byte(text)
		return func() error { _, err := ParseSubscribeBody(b, channels); return err }
	}
	query := strings.Repeat("channel=a&", n)
	for what, c := range map[string]struct {
		parse func() error
		want  twohop.Code
	}{
		"a body of nothing":         {body("{" + list(strings.Repeat("{},", 3)+"{}")), twohop.CodeInvalidRequest},
		"a body of channels":        {body("{" + list(`{"channel":"a"}`)), CodeTooManyChannels},
		"a query":                   {func() error { _, err := ParseSubscribeQuery(query, channels); return err }, CodeTooManyChannels},
		"a subscribe to nothing":    {frame(`{"type":"subscribe",` + list("{}")), CodeTooManyChannels},
		"a subscribe to channels":   {frame(`{"type":"subscribe",` + list(`{"channel":"a"}`)), CodeTooManyChannels},
		"an unsubscribe of nothing": {frame(`{"type":"unsubscribe",` + list(`""`)), CodeTooManyChannels},
	} {
		f = ClientFrame{}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := c.parse()
		runtime.ReadMemStats(&after)
		if e, ok := errors.AsType[*twohop.Error](err); !ok || e.Code != c.want {
			t.Errorf("%s: got %v, want %s", what, err, c.want)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
			t.Errorf("%s: %d bytes were allocated", what, n)
		}
	}
}
