package livecomments

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"twohop/client"
	"twohop/server"
)

// serve runs a real server with the demo's channels; it ends with the test.
func serve(t *testing.T) (url string) {
	t.Helper()
	c := server.DefaultConfig()
	c.Listen, c.Engine = "127.0.0.1:0", "memory"
	c.Rules = slices.Grow(c.Rules, 1)[:1]
	c.Rules[0].Match, c.Rules[0].Create, c.Rules[0].ContentType = Prefix+"**", "on-publish", "application/json"
	ready := make(chan net.Addr, 1)
	s, err := server.New(server.Options{Config: &c, Log: slog.New(slog.DiscardHandler), Ready: func(a net.Addr) { ready <- a }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-ready:
		return "http://" + a.String()
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
		return ""
	}
}

// waitFor asks until it is so.
func waitFor(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !isSo() {
		select {
		case <-deadline.C:
			t.Fatal("timed out waiting for " + what)
		case <-again.C:
		}
	}
}

func publish(t *testing.T, url string, records ...[]byte) {
	t.Helper()
	c, err := client.New(url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i, r := range records {
		fmt.Fprintf(&b, "%c%s", "[,"[min(i, 1)], r)
	}
	b.WriteByte(']')
	if _, err := c.Publish(t.Context(), comments, []byte(b.String()), client.PublishOptions{ContentType: "application/json"}); err != nil {
		t.Fatal(err)
	}
}

// A number that is missing in the channel is a gap for every viewer, and the
// crowd says so; without one it says zero.
func TestCrowdCountsGaps(t *testing.T) {
	url := serve(t)
	publish(t, url, record("a", 1))
	c, err := newCrowd(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const viewers = 20
	c.resize(viewers)
	waitFor(t, "the viewers", func() bool { return c.connected.Load() == viewers })
	publish(t, url, record("a", 2), record("a", 3))
	waitFor(t, "two records each", func() bool { return c.count().Records == 2*viewers })
	if sum := c.count(); sum.Missing != 0 || sum.Twice != 0 {
		t.Errorf("%+v before the gap", sum)
	}
	publish(t, url, record("a", 6))
	waitFor(t, "the record after the gap", func() bool { return c.count().Records == 3*viewers })
	publish(t, url, record("a", 6))
	waitFor(t, "the double", func() bool { return c.count().Records == 4*viewers })
	if sum := c.count(); sum.Missing != 2*viewers || sum.Twice != viewers {
		t.Errorf("%+v, want %d missing and %d twice", sum, 2*viewers, viewers)
	}
}

// Viewers that are cut off come back, are given what they missed, and miss
// nothing.
func TestDropLosesNothing(t *testing.T) {
	url := serve(t)
	publish(t, url, record("a", 1))
	c, err := newCrowd(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const viewers, missed = 30, 50
	c.resize(viewers)
	waitFor(t, "the viewers", func() bool { return c.connected.Load() == viewers })
	publish(t, url, record("a", 2))
	waitFor(t, "a record each", func() bool { return c.count().Records == viewers })

	if id, cut := c.Drop(); id != 1 || cut != viewers {
		t.Errorf("drop %d cut %d, want 1 and %d", id, cut, viewers)
	}
	for i := range uint64(missed) {
		publish(t, url, record("a", 3+i))
	}
	waitFor(t, "everybody to be back", func() bool { return c.connected.Load() == viewers })
	waitFor(t, "what was missed", func() bool { return c.count().Records == viewers*(1+missed) })
	sum, d := c.report()
	if sum.Missing != 0 || sum.Twice != 0 {
		t.Errorf("%+v, want none missing and none twice", sum)
	}
	r := d.report()
	if r.ID != 1 || r.Cut != viewers || r.Back != viewers || r.Half <= 0 || r.All < r.Half {
		t.Errorf("the report of the drop is %+v", r)
	}
	if r.Missed == 0 {
		t.Error("nobody read anything again")
	}
	if sum.Reconnects < viewers {
		t.Errorf("%d reconnects, want %d at least", sum.Reconnects, viewers)
	}
}

func TestCrowdShrinksAndEnds(t *testing.T) {
	url := serve(t)
	publish(t, url, record("a", 1))
	c, err := newCrowd(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	c.resize(20)
	waitFor(t, "the viewers", func() bool { return c.connected.Load() == 20 })
	publish(t, url, record("a", 2))
	waitFor(t, "a record each", func() bool { return c.count().Records == 20 })
	c.resize(5)
	waitFor(t, "most to have left", func() bool { return c.connected.Load() == 5 })
	if sum := c.count(); sum.Records != 20 {
		t.Errorf("%d records, want those of the viewers that left too: 20", sum.Records)
	}
	c.Close()
	if n := c.connected.Load(); n != 0 {
		t.Errorf("%d viewers are connected after Close", n)
	}
	c.resize(5)
	if len(c.viewers) != 5 {
		t.Errorf("a closed crowd has %d viewers, want the 5 that were", len(c.viewers))
	}
}

// A whole show: it publishes comments, reactions and reports, the totals in a
// report are the sum up to the offset that it names, and a later show goes on
// with them.
func TestShow(t *testing.T) {
	url := serve(t)
	settings := func() Settings { return Settings{Rate: 400, Viewers: 10} }
	run := func(until func(r *report) bool) report {
		ctx, cancel := context.WithCancel(t.Context())
		l, err := start(ctx, slog.New(slog.DiscardHandler), url, settings)
		if err != nil {
			t.Fatal(err)
		}
		l.resize(settings().Viewers)
		var last report
		c, err := client.New(url, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for event, err := range c.Follow(t.Context(), state, client.FollowOptions{From: client.Start(), Wait: true}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range event.Records {
				last = report{}
				if err := json.Unmarshal(text, &last); err != nil {
					t.Fatal(err)
				}
			}
			if last.Source == l.source && until(&last) {
				break
			}
		}
		cancel()
		l.wait()
		return last
	}
	first := run(func(r *report) bool {
		return r.Crowd.Connected == 10 && r.Crowd.Records > 1000 && r.Readers >= 10 && r.Totals.Counts["heart"] > 50
	})
	if first.Crowd.Missing+first.Crowd.Twice != 0 {
		t.Errorf("the crowd's report: %+v", first.Crowd)
	}
	if len(first.Samples) != reportEvery {
		t.Errorf("%d samples, want %d", len(first.Samples), reportEvery)
	}
	if sum := sumUpTo(t, url, first.Totals.Offset); sum["heart"] != first.Totals.Counts["heart"] || sum["wow"] != first.Totals.Counts["wow"] {
		t.Errorf("the totals are %v, the channel has %v up to there", first.Totals.Counts, sum)
	}
	second := run(func(r *report) bool { return r.Totals.Counts["heart"] > first.Totals.Counts["heart"] })
	if sum := sumUpTo(t, url, second.Totals.Offset); sum["heart"] != second.Totals.Counts["heart"] {
		t.Errorf("the totals of the second show are %v, the channel has %v up to there", second.Totals.Counts, sum)
	}
}

// sumUpTo adds up the reactions that stand before an offset.
func sumUpTo(t *testing.T, url, offset string) counts {
	t.Helper()
	c, err := client.New(url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, after := counts{}, counts{}
	for from, sum := range map[client.From]counts{client.Start(): all, client.At(offset): after} {
		for event, err := range c.Follow(t.Context(), reactions, client.FollowOptions{From: from, Transport: client.LongPoll}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range event.Records {
				sum.fold(r)
			}
			if event.UpToDate {
				break
			}
		}
	}
	for kind, n := range after {
		all[kind] -= n
	}
	return all
}
