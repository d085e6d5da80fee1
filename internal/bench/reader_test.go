package bench

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newReader(t Transport) *reader {
	g := &group{transport: t}
	(&target{url: &url.URL{Host: "h"}}).prepare(g)
	r := &reader{group: g, channel: &channel{number: 7, name: "c"}, offset: "e_0", due: 1, safe: 1}
	r.sent(0)
	return r
}

// event is an SSE event with records and its control event.
func event(offset string, seqs ...uint64) string {
	var b strings.Builder
	b.WriteString("id: " + offset + "\nevent: data\ndata:[")
	for _, n := range seqs {
		record := newRecord(minRecord)
		stamp(record, mark{7, n, 100})
		b.Write(record)
		b.WriteByte(',')
	}
	return b.String() + "]\n\nevent: control\ndata:{\"streamNextOffset\":\"" + offset + "\",\"upToDate\":true}\n\n"
}

const sseHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

func TestReaderJudgesTheOrder(t *testing.T) {
	f := func(published uint64, seqs []uint64, want Faults) {
		t.Helper()
		r := newReader(SSE)
		r.feed(200, []byte(sseHead+chunk(event("e_1", seqs...))))
		r.settle(published)
		got := r.group.faults
		if got.Any() != (len(got.Which) > 0) {
			t.Errorf("%v: faults are not told: %+v", seqs, got)
		}
		got.Which = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", seqs, diff)
		}
	}
	f(3, []uint64{1, 2, 3}, Faults{})
	f(3, []uint64{1, 3}, Faults{Lost: 1})
	f(3, []uint64{1, 2}, Faults{Lost: 1})
	f(3, nil, Faults{Lost: 3})
	f(3, []uint64{1, 2, 2, 3}, Faults{Doubled: 1})
	f(3, []uint64{1, 3, 2}, Faults{Disordered: 1})
	f(5, []uint64{1, 3, 2, 3, 5}, Faults{Disordered: 1, Doubled: 1, Lost: 1})
}

func TestReaderKnowsItsChannel(t *testing.T) {
	r := newReader(SSE)
	r.channel.number = 8
	r.feed(200, []byte(sseHead+chunk(event("e_1", 1))))
	if r.group.faults.Misplaced != 1 || r.group.delivered != 0 {
		t.Errorf("a record of another channel was taken: %+v", r.group.tally)
	}
}

// TestReaderGoesOnAfterABrokenConnection cuts a response at each byte. What it
// gets again from its offset is no double.
func TestReaderGoesOnAfterABrokenConnection(t *testing.T) {
	first, second := event("e_2", 1, 2), event("e_4", 3, 4)
	whole := sseHead + chunk(first) + chunk(second)
	for cut := range len(whole) {
		r := newReader(SSE)
		r.feed(200, []byte(whole[:cut]))
		if r.ended(300, errEnded) != reopen {
			t.Fatalf("cut at %d: the reader gave up", cut)
		}
		r.sent(300)
		switch r.offset {
		case "e_0":
			r.feed(400, []byte(whole))
		case "e_2":
			r.feed(400, []byte(sseHead+chunk(second)))
		}
		r.settle(4)
		if r.group.faults.Any() || r.group.delivered != 4 || r.offset != "e_4" {
			t.Fatalf("cut at %d: %d deliveries, offset %s, %+v", cut, r.group.delivered, r.offset, r.group.faults)
		}
	}
}

func TestReaderPolls(t *testing.T) {
	r := newReader(Poll)
	r.group.interval = 1000
	page := event("x", 1, 2)
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nStream-Next-Offset: e_2\r\nStream-Up-To-Date: true\r\nETag: \"t\"\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
	if got := r.feed(5000, []byte(answer)); got != askNext || r.askAt < 5000 || r.askAt > 6000 {
		t.Errorf("step %d at %d, want another poll within the interval", got, r.askAt)
	}
	want := "GET /v1/stream/c?offset=e_2 HTTP/1.1\r\nIf-None-Match: \"t\"\r\nHost: h\r\nAccept: */*\r\n\r\n"
	if got := string(r.request(nil)); got != want {
		t.Errorf("request %q, want %q", got, want)
	}
	r.sent(6000)
	if got := r.feed(6500, []byte("HTTP/1.1 304 Not Modified\r\n\r\n")); got != askNext || r.askAt != 7500 {
		t.Errorf("step %d at %d, want another poll after the interval", got, r.askAt)
	}
	if r.group.delivered != 2 || r.group.responses != 2 {
		t.Errorf("%d deliveries in %d responses, want 2 in 2", r.group.delivered, r.group.responses)
	}
}

func TestReaderMissesRecordsOfAPage(t *testing.T) {
	r := newReader(Poll)
	r.group.again, r.page = true, [2]uint64{1, 3}
	r.sent(0)
	page := event("x", 1, 2)
	r.feed(10, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(page), page))
	if r.group.faults.Lost != 1 {
		t.Errorf("a page without its last record is no fault: %+v", r.group.faults)
	}
}

func TestReaderGivesUp(t *testing.T) {
	f := func(stream, want string) {
		t.Helper()
		r := newReader(SSE)
		if got := r.feed(1, []byte(stream)); got != giveUp || r.failed == nil || !strings.Contains(r.failed.Error(), want) {
			t.Errorf("%.40q: step %d, error %v; want %q", stream, got, r.failed, want)
		}
	}
	f("HTTP/1.1 410 Gone\r\nStream-Reset: trimmed\r\nContent-Length: 0\r\n\r\n", "410, a reset: trimmed")
	f("SSH-2.0-OpenSSH\r\n\r\n", "not an HTTP/1.1 response")
	f(sseHead+chunk("event: reset\ndata:{}\n\n"), "a reset after e_0")

	r := newReader(LongPoll)
	for range 5 {
		if r.ended(1, errEnded) != reopen {
			t.Fatal("a broken connection is no reason to give up")
		}
	}
	if r.ended(1, errEnded) != giveUp {
		t.Error("a reader tries for ever")
	}
}

func TestPercentilesMerge(t *testing.T) {
	low, high := newHistogram(), newHistogram()
	for i := range int64(900) {
		observe(low, 1_000_000+i)
	}
	for range 100 {
		observe(high, 50_000_000)
	}
	observe(high, 1<<62) // beyond what is tracked
	observe(high, -5)
	p := percentilesOf(low, high)
	if p.Count != 1002 || p.P50 < 0.99 || p.P50 > 1.01 || p.P99 < 49.9 || p.P99 > 50.1 || p.Max < 599_000 {
		t.Errorf("percentiles %+v", p)
	}
	if percentilesOf(newHistogram()) != nil {
		t.Error("nothing has percentiles")
	}
}
