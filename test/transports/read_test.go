package transports

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"twohop"
	"twohop/client"
)

// way is a way to read a channel to its end.
type way struct {
	name string
	read func(ctx context.Context, n *node, channel string, from client.From, wait bool, take func(client.Event)) error
}

var ways = []way{
	{"poll", single(client.Poll)},
	{"long poll", single(client.LongPoll)},
	{"SSE", single(client.SSE)},
	{"WebSocket", many(client.WebSocket)},
	{"SSE of many", many(client.SSE)},
	{"long poll of many", many(client.LongPoll)},
	{"poll of many", many(client.Poll)},
}

const pollEvery = 5 * time.Millisecond

// single reads by requests for the one channel.
func single(transport client.Transport) func(context.Context, *node, string, client.From, bool, func(client.Event)) error {
	return func(ctx context.Context, n *node, channel string, from client.From, wait bool, take func(client.Event)) error {
		o := client.FollowOptions{From: from, Transport: transport, PollInterval: pollEvery, Wait: wait}
		for e, err := range n.Follow(ctx, channel, o) {
			if err != nil {
				return err
			}
			take(e)
		}
		return nil
	}
}

// many reads over a connection that follows other channels, too.
func many(transport client.Transport) func(context.Context, *node, string, client.From, bool, func(client.Event)) error {
	return func(ctx context.Context, n *node, channel string, from client.From, wait bool, take func(client.Event)) error {
		c := n.Connect(ctx, client.ConnOptions{Transport: transport, PollInterval: pollEvery})
		defer c.Close()
		for _, beside := range []string{"beside/a", "beside/b"} {
			if _, err := c.Follow(beside, client.ChannelOptions{}); err != nil {
				return err
			}
		}
		f, err := c.Follow(channel, client.ChannelOptions{From: from, Wait: wait})
		if err != nil {
			return err
		}
		for e, err := range f.Events(ctx) {
			if err != nil {
				return err
			}
			take(e)
		}
		return nil
	}
}

// told is what a reader was told, with offsets as the number of the record that
// they follow.
type told struct {
	strings.Builder
	offsets []string // of the channel: [0] is its beginning, [i] follows record i
	last    string
	closed  bool
	strange []string // offsets of no record
}

func (o *told) place(offset string) int {
	i := slices.Index(o.offsets, offset)
	if i < 0 {
		o.strange = append(o.strange, offset)
	}
	return i
}

func (o *told) take(e client.Event) {
	switch {
	case e.Reset == nil:
	case e.Reset.Reason == twohop.ResetDeleted: // told to those only who wait for news just then
		return
	default:
		o.WriteString("[reset: " + string(e.Reset.Reason) + "]")
	}
	for _, r := range e.Records {
		o.Write(r)
		if e.JSON {
			o.WriteByte(';')
		}
	}
	o.last, o.closed = e.Offset, e.Closed
	o.place(e.Offset)
}

// test is what a scenario works with.
type test struct {
	*node
	channel string
	told    *told
}

// add publishes records, each by itself.
func (s *test) add(contentType string, records ...string) {
	for _, r := range records {
		s.told.offsets = append(s.told.offsets, s.publish(s.channel, contentType, r))
	}
}

// begin creates the channel.
func (s *test) begin(contentType string) {
	s.create(s.channel, contentType)
	info, err := s.Head(s.t.Context(), s.channel)
	if err != nil {
		s.t.Fatal(err)
	}
	s.told.offsets = []string{info.Tail}
}

// numbers makes the records from..to of a JSON channel, and joined what a reader
// of them is told.
func numbers(from, to int) (records []string) {
	for i := from; i < to; i++ {
		records = append(records, fmt.Sprintf(`{"n":%d,"pad":"%s"}`, i, strings.Repeat("x", i%40)))
	}
	return records
}

func joined(records ...string) string { return strings.Join(records, ";") + ";" }

const jsonType = "application/json"

// scenario is something to be read. before makes the channel and says where the
// reader begins; later, if not nil, happens when the reader has caught up.
type scenario struct {
	name   string
	in     string // directory of the channel
	before func(*test) client.From
	later  func(*test)
	wait   bool
	want   func(*test) string
	fails  twohop.Code // how it ends, if not at the channel's end
}

var scenarios = []scenario{
	{name: "all", before: func(s *test) client.From {
		s.begin(jsonType)
		s.add(jsonType, numbers(0, 300)...)
		s.end(s.channel)
		return client.Start()
	}, want: func(*test) string { return joined(numbers(0, 300)...) }},
	{name: "from the middle", before: func(s *test) client.From {
		s.begin(jsonType)
		s.add(jsonType, numbers(0, 200)...)
		s.end(s.channel)
		return client.At(s.told.offsets[120])
	}, want: func(*test) string { return joined(numbers(120, 200)...) }},
	{name: "the last seven", before: func(s *test) client.From {
		s.begin(jsonType)
		s.add(jsonType, numbers(0, 60)...)
		s.end(s.channel)
		return client.Tail(7)
	}, want: func(*test) string { return joined(numbers(53, 60)...) }},
	{name: "since a time", before: func(s *test) client.From {
		s.begin(jsonType)
		s.add(jsonType, numbers(0, 20)...)
		<-time.After(20 * time.Millisecond)
		t := time.Now()
		<-time.After(20 * time.Millisecond)
		s.add(jsonType, numbers(20, 30)...)
		s.end(s.channel)
		return client.Since(t)
	}, want: func(*test) string { return joined(numbers(20, 30)...) }},
	{name: "what comes", before: func(s *test) client.From {
		s.begin(jsonType)
		s.add(jsonType, numbers(0, 3)...)
		return client.Start()
	}, later: func(s *test) {
		s.add(jsonType, numbers(3, 150)...)
		s.end(s.channel)
	}, want: func(*test) string { return joined(numbers(0, 150)...) }},
	{name: "only what comes", before: func(s *test) client.From {
		s.begin(jsonType)
		s.add(jsonType, numbers(0, 3)...)
		return client.Now()
	}, later: func(s *test) {
		s.add(jsonType, numbers(3, 20)...)
		s.end(s.channel)
	}, want: func(*test) string { return joined(numbers(3, 20)...) }},
	{name: "text", before: func(s *test) client.From {
		s.begin("text/plain")
		s.add("text/plain", "Grüße\n", "a line\n\nand two breaks\n", "\"quoted\" \\ and \t tabbed", "data: x\n", "no end")
		s.end(s.channel)
		return client.Start()
	}, want: func(*test) string {
		return "Grüße\na line\n\nand two breaks\n\"quoted\" \\ and \t tabbeddata: x\nno end"
	}},
	{name: "bytes", before: func(s *test) client.From {
		s.begin("application/octet-stream")
		s.add("application/octet-stream", "\x00\xff\r\n", strings.Repeat("\x80\n", 900), "\r")
		s.end(s.channel)
		return client.Start()
	}, want: func(*test) string { return "\x00\xff\r\n" + strings.Repeat("\x80\n", 900) + "\r" }},
	{name: "a record larger than a page", before: func(s *test) client.From {
		s.begin(jsonType)
		s.add(jsonType, `"a"`, `"`+strings.Repeat("b", 100_000)+`"`, `"c"`)
		s.end(s.channel)
		return client.Start()
	}, want: func(*test) string { return joined(`"a"`, `"`+strings.Repeat("b", 100_000)+`"`, `"c"`) }},
	{name: "nothing", before: func(s *test) client.From {
		s.begin(jsonType)
		s.end(s.channel)
		return client.Start()
	}, want: func(*test) string { return "" }},
	{name: "trimmed", in: "short/", before: func(s *test) client.From {
		s.begin(jsonType)
		s.add(jsonType, numbers(0, 400)...)
		s.end(s.channel)
		return client.At(s.told.offsets[5])
	}, want: func(s *test) string {
		info, err := s.Head(s.t.Context(), s.channel)
		if err != nil {
			s.t.Fatal(err)
		}
		start := s.told.place(info.Start)
		if start < 6 || start > 390 {
			s.t.Fatalf("the channel starts at record %d", start)
		}
		return "[reset: trimmed]" + joined(numbers(start, 400)...)
	}},
	{name: "ahead", before: func(s *test) client.From {
		s.begin(jsonType)
		s.add(jsonType, numbers(0, 10)...)
		s.end(s.channel)
		epoch, _, _ := strings.Cut(s.told.offsets[10], "_")
		return client.At(epoch + "_0000000000009999")
	}, want: func(*test) string { return "[reset: ahead]" }},
	{name: "another log", before: func(s *test) client.From {
		s.begin(jsonType)
		s.add(jsonType, numbers(0, 10)...)
		old := s.told.offsets[7]
		s.remove(s.channel)
		s.begin(jsonType)
		s.add(jsonType, numbers(10, 15)...)
		s.end(s.channel)
		return client.At(old)
	}, want: func(*test) string { return "[reset: epoch]" + joined(numbers(10, 15)...) }},
	{name: "deleted meanwhile", before: func(s *test) client.From {
		s.begin(jsonType)
		s.add(jsonType, numbers(0, 10)...)
		return client.Start()
	}, later: func(s *test) { s.remove(s.channel) },
		want: func(*test) string { return joined(numbers(0, 10)...) }, fails: twohop.CodeNotFound},
	{name: "not there", before: func(*test) client.From { return client.Start() },
		want: func(*test) string { return "" }, fails: twohop.CodeNotFound},
	{name: "not there yet", in: "made/", wait: true, before: func(s *test) client.From {
		s.told.offsets = []string{""} // its beginning is not known before
		ctx, done := context.WithoutCancel(s.t.Context()), make(chan struct{})
		s.t.Cleanup(func() { <-done })               // readers may be done before the last answer is there
		time.AfterFunc(50*time.Millisecond, func() { // by then it waits, or it does not matter
			defer close(done)
			for _, r := range numbers(0, 10) {
				if _, err := s.Publish(ctx, s.channel, []byte(r), client.PublishOptions{ContentType: jsonType}); err != nil {
					s.t.Error(err)
				}
			}
			if err := s.CloseChannel(ctx, s.channel); err != nil {
				s.t.Error(err)
			}
		})
		return client.Start()
	}, want: func(*test) string { return joined(numbers(0, 10)...) }},
}

func TestReads(t *testing.T) {
	for _, engine := range []string{"memory", "disk"} {
		for _, serving := range servings {
			t.Run(engine+", "+serving.name, func(t *testing.T) {
				t.Parallel()
				n := start(t, engine, serving)
				n.create("beside/a", jsonType)
				n.create("beside/b", "text/plain")
				for _, sc := range scenarios {
					for _, w := range ways {
						if w.name == "WebSocket" && serving.name == "HTTP2" {
							continue // there is none over HTTP/2
						}
						t.Run(sc.name+"/"+w.name, func(t *testing.T) {
							sc.run(t, n, w)
						})
					}
				}
			})
		}
	}
}

func (sc *scenario) run(t *testing.T, n *node, w way) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s := &test{node: &node{Client: n.Client, t: t, url: n.url}, told: &told{},
		channel: sc.in + strings.ReplaceAll(sc.name+"/"+w.name, " ", "-")}
	from := sc.before(s)
	later := sc.later
	err := w.read(ctx, n, s.channel, from, sc.wait, func(e client.Event) {
		if sc.wait {
			s.told.offsets = append(s.told.offsets, e.Offset)
		}
		s.told.take(e)
		if e.UpToDate && later != nil {
			later(s)
			later = nil
		}
	})
	var failed *twohop.Error
	switch errors.As(err, &failed); {
	case sc.fails == "" && err != nil:
		t.Fatalf("it ended with %v after %q", err, s.told.String())
	case sc.fails != "" && (failed == nil || failed.Code != sc.fails):
		t.Errorf("it ended with %v, want %s", err, sc.fails)
	case sc.fails == "" && !s.told.closed:
		t.Error("it was not told that the channel is closed")
	}
	if want := sc.want(s); s.told.String() != want {
		t.Errorf("it was told\n%.2000q, want\n%.2000q", s.told.String(), want)
	}
	if len(s.told.strange) > 0 {
		t.Errorf("it was given offsets of no record: %q", s.told.strange)
	}
	if sc.fails == "" && s.told.last != s.told.offsets[len(s.told.offsets)-1] {
		t.Errorf("it stands at %s, want %s", s.told.last, s.told.offsets[len(s.told.offsets)-1])
	}
}
