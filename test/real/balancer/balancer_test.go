//go:build real

package balancer_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"twohop/client"
	"twohop/test/rig"
)

// publish publishes a record as text that must be acknowledged.
func publish(t *testing.T, url, record string) *rig.Answer {
	t.Helper()
	return mustSend(t, http.StatusNoContent, http.MethodPost, url, rig.JSON, record)
}

// TestAnswers looks at every kind of request through every balancer.
func TestAnswers(t *testing.T) {
	binary := rig.Build(t)
	for _, of := range setups {
		t.Run(of.name, func(t *testing.T) {
			s := startServer(t, binary, settings+"long_poll: 1s\n")
			p := startProxy(t, of, s)
			url := func(channel string) string { return p.url + "/v1/stream/" + channel }
			t.Run("SSE", func(t *testing.T) { testSSE(t, of, url("seats/sse")) })
			t.Run("auto", func(t *testing.T) { testAuto(t, p.url, "seats/sse") })
			t.Run("poll", func(t *testing.T) { testPoll(t, of, url("seats/poll")) })
			t.Run("long poll", func(t *testing.T) { testLongPoll(t, s, url("seats/long-poll")) })
			t.Run("publish", func(t *testing.T) { testPublish(t, of, url("seats/publish")) })
		})
	}
}

// testSSE wants each event before the next one is published: nothing holds back
// what it has for more to come. The first comment comes well before any
// heartbeat.
func testSSE(t *testing.T, of setup, url string) {
	first := publish(t, url, `{"n":-1}`).Header.Get("Stream-Next-Offset")
	streams := []*stream{
		openStream(t, url+"?offset=now&live=sse", nil),
		openStream(t, url+"?offset=-1&live=sse", rig.Header{"Last-Event-ID": first}),
	}
	for _, s := range streams {
		if l, err := s.line(); !strings.HasPrefix(l, ":") {
			t.Fatalf("the response begins with %q, %v", l, err)
		}
		checkStreamHeader(t, of, s.header)
	}
	late := time.AfterFunc(patience, func() { t.Error("each event takes its time") }) // 0.2 s are enough to be noticed
	for n := range 100 {
		record := fmt.Sprintf(`{"n":%d}`, n)
		publish(t, url, record)
		for _, s := range streams {
			if got := s.until(t, "data:["); got != record+"]" {
				t.Fatalf("%s came as [%s", record, got)
			}
		}
	}
	late.Stop()
}

func checkStreamHeader(t *testing.T, of setup, got http.Header) {
	t.Helper()
	want := rig.Header{"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform", "Content-Encoding": "", "X-Accel-Buffering": "no"}
	if of.hidesAccel {
		want["X-Accel-Buffering"] = ""
	}
	for name, value := range want {
		if got.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, got.Get(name), value)
		}
	}
}

// testAuto wants a client that chooses its transport to stay with SSE.
func testAuto(t *testing.T, url, channel string) {
	f := follow(t.Context(), t, url, channel, client.Auto)
	publish(t, url+"/v1/stream/"+channel, `"last"`)
	eventually(t, "the last record", func() bool { return strings.HasSuffix(f.text(), "\"last\"\n") })
	if asked := f.asked(); asked["sse"] != 1 || asked["long-poll"] != 0 {
		t.Errorf("the client asked %v", asked)
	}
}

// testPoll asks twice for the same: the second answer is that nothing changed.
func testPoll(t *testing.T, of setup, url string) {
	publish(t, url, `{"text":"`+strings.Repeat("all the same ", 1000)+`"}`)
	page := mustSend(t, http.StatusOK, http.MethodGet, url+"?offset=-1", rig.Header{"Accept-Encoding": "gzip"}, "")
	if got := page.Header.Get("Content-Encoding") == "gzip"; got != of.compresses {
		t.Errorf("compressed: %v", got)
	}
	tag, next := page.Header.Get("ETag"), page.Header.Get("Stream-Next-Offset")
	if tag == "" || next == "" || page.Header.Get("Stream-Up-To-Date") != "true" {
		t.Errorf("a page with %v", page.Header)
	}
	again := rig.Header{"If-None-Match": tag}
	same := mustSend(t, http.StatusNotModified, http.MethodGet, url+"?offset=-1", again, "")
	if same.Body != "" {
		t.Errorf("304 with %q", same.Body)
	}
	publish(t, url, `{}`)
	mustSend(t, http.StatusOK, http.MethodGet, url+"?offset=-1", again, "")
}

// testLongPoll waits once in vain and once for a record.
func testLongPoll(t *testing.T, s *rig.Server, url string) {
	tail := publish(t, url, `{"n":0}`).Header.Get("Stream-Next-Offset")
	live := url + "?live=long-poll&offset=" + tail
	if nothing := mustSend(t, http.StatusNoContent, http.MethodGet, live, nil, ""); nothing.Header.Get("Stream-Next-Offset") != tail {
		t.Errorf("204 with %v", nothing.Header)
	}
	for n := range 5 {
		answered := make(chan *rig.Answer, 1)
		go func() {
			defer close(answered)
			a, err := rig.Send(t.Context(), http.MethodGet, live, nil, "")
			if err != nil {
				t.Error(err)
				return
			}
			answered <- a
		}()
		eventually(t, "the long poll to wait", func() bool {
			metrics := mustSend(t, http.StatusOK, http.MethodGet, s.URL+"/metrics", nil, "")
			return strings.Contains(metrics.Body, `twohop_readers{transport="long_poll"} 1`)
		})
		record := fmt.Sprintf(`{"n":%d}`, n+1)
		publish(t, url, record)
		a := <-answered
		if a == nil || a.Status != http.StatusOK || a.Body != "["+record+"]" || a.Header.Get("Stream-Cursor") == "" {
			t.Fatalf("%s is answered with %+v", record, a)
		}
		live = url + "?live=long-poll&offset=" + a.Header.Get("Stream-Next-Offset") + "&cursor=" + a.Header.Get("Stream-Cursor")
	}
}

// testPublish looks at acknowledgements, large bodies and pages of the same
// origin.
func testPublish(t *testing.T, of setup, url string) {
	ack := publish(t, url, `{"n":0}`)
	if ack.Header.Get("Stream-Durability") != "disk" || ack.Header.Get("Stream-Readers") != "0" || ack.Header.Get("Stream-Next-Offset") == "" {
		t.Errorf("acknowledged with %v", ack.Header)
	}
	triple := rig.Header{"Content-Type": "application/json", "Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "0"}
	mustSend(t, http.StatusOK, http.MethodPost, url, triple, `{"n":1}`)
	repeated := mustSend(t, http.StatusNoContent, http.MethodPost, url, triple, `{"n":1}`)
	if repeated.Header.Get("Stream-Duplicate") != "true" || repeated.Header.Get("Producer-Seq") != "0" {
		t.Errorf("a repetition is acknowledged with %v", repeated.Header)
	}

	want := http.StatusNoContent
	if of.smallBody {
		want = http.StatusRequestEntityTooLarge
	}
	mustSend(t, want, http.MethodPost, url, rig.JSON, `"`+strings.Repeat("x", 8<<20)+`"`)

	want = http.StatusNoContent
	if of.losesHost {
		want = http.StatusForbidden
	}
	page := rig.Header{"Content-Type": "application/json", "Host": "live.example", "Origin": "http://live.example"}
	mustSend(t, want, http.MethodPost, url, page, `{}`)
}
