package multi_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/engine/disklog"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/transport/httpstream"
	"twohop/internal/transport/multi"
)

// An SSE response says where each channel stands, then what comes, all that is
// due in one event, whose id goes on from there.
func TestStream(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("a", asJSON)
		s.create("b", asText)
		s.create("c", asRaw)
		s.publish("a", "1")
		s.publish("b", "one\n")
		s.publish("c", "\x00")
		f := s.stream("encoding=base64&channel=a&offset=-1&channel=b&tail_records=1&channel=c&budget=1ms&channel=none")
		hello, err := f.r.ReadString('\n')
		if err != nil || hello != ": twohop\n" {
			t.Fatalf("%q %v", hello, err)
		}
		frames := f.all("subscribed subscribed subscribed error advice data data")
		if frames[0].Channel != "a" || frames[0].Offset != frames[0].Start || frames[0].UpToDate || frames[1].Channel != "b" || frames[1].ContentType != asText ||
			frames[2].Budget != 1 || !frames[2].UpToDate || frames[3].Code != "not_found" || frames[3].Channel != "none" {
			t.Errorf("%+v", frames)
		}
		if frames[5].content() != "1," || frames[6].Base64 == nil || frames[6].content() != "one\n" {
			t.Errorf("%s %s", frames[5].raw, frames[6].raw)
		}
		s.publish("c", "\x01")
		if d := f.say("data")[0]; d.content() != "\x01" || d.Channel != "c" || !d.UpToDate {
			t.Errorf("%s", d.raw)
		}
		_ = f.resp.Body.Close()
		s.publish("a", "2")
		s.publish("c", "\x02")
		list := "channel=a&channel=b&channel=c&channel=none"
		for _, again := range []*events{
			s.stream(list, "Last-Event-ID", f.id),
			s.stream(list + "&resume=" + f.id),
			s.stream(list+"&resume=nonsense", "Last-Event-ID", f.id),
			s.streamPost(`{"live":"sse","resume":"` + f.id + `","channels":[{"channel":"a","offset":"-1"},{"channel":"b","tailRecords":9},{"channel":"c"},{"channel":"none"}]}`),
		} {
			frames := again.all("subscribed subscribed subscribed error data data")
			if frames[4].content() != "2," || frames[5].content() != "\x02" {
				t.Errorf("%+v", frames)
			}
			_ = again.resp.Body.Close()
		}
		s.idle()
	}, all...)
}

// Polls say what is there, long polls wait for it, and tokens lead on.
func TestPolls(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{LongPoll: 400 * time.Millisecond}})
		s.create("a", asJSON)
		s.create("b", asJSON)
		s.publish("a", "1")
		list := "channel=a&offset=-1&channel=b"
		r := s.do("GET", "subscribe?"+list, "")
		frames := s.polled(r)
		if typesOf(frames) != "subscribed subscribed data" || frames[2].content() != "1," {
			t.Fatalf("%s", r.body)
		}
		token := r.header.Get("Stream-Resume")
		if r = s.do("GET", "subscribe?channel=a&channel=b&resume="+token, ""); r.body != "[]\n" {
			t.Errorf("%d %q", r.status, r.body)
		}
		begin := time.Now()
		r = s.do("GET", "subscribe?live=long-poll&channel=a&channel=b&resume="+token, "")
		if took := time.Since(begin); r.status != 204 || r.header.Get("Stream-Resume") == "" || m.Virtual && took != 400*time.Millisecond {
			t.Errorf("%d %v after %v", r.status, r.header, took)
		}
		go func() {
			pause(50 * time.Millisecond)
			s.publish("b", "2")
		}()
		r = s.do("POST", "subscribe", `{"live":"long-poll","channels":[{"channel":"a"},{"channel":"b"}],"resume":"`+token+`"}`, "Content-Type", asJSON)
		if frames = s.polled(r); typesOf(frames) != "data" || frames[0].content() != "2," {
			t.Errorf("%s", r.body)
		}
		// Who names no place is told it at once; who names it waits.
		r = s.do("GET", "subscribe?live=long-poll&channel=a&channel=b", "")
		if frames = s.polled(r); typesOf(frames) != "subscribed subscribed" {
			t.Fatalf("%s", r.body)
		}
		r = s.do("GET", "subscribe?live=long-poll&channel=a&offset="+frames[0].Offset+"&channel=b&offset="+frames[1].Offset, "")
		if r.status != 204 {
			t.Errorf("%d %s", r.status, r.body)
		}
		s.closeChannel("a")
		r = s.do("GET", "subscribe?live=long-poll&channel=a&channel=b&resume="+token, "")
		closed := false
		for _, f := range s.polled(r) {
			closed = closed || f.Channel == "a" && f.Closed
		}
		if !closed {
			t.Errorf("%s", r.body)
		}
		s.idle()
	}, all...)
}

// An answer to a poll has a page of records at most, and no channel is starved.
func TestPollsAreFair(t *testing.T) {
	const channels, records = 8, 20
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{PageBytes: 1000}, hub: hub.Options{PageBytes: 500}})
		var list strings.Builder
		for _, name := range names(channels) {
			s.create(name, asText)
			list.WriteString("&channel=" + name)
			for range records {
				s.publish(name, strings.Repeat("x", 100))
			}
		}
		got := map[string]int{}
		token := ""
		rounds := 0
		for total := 0; total < channels*records*100; rounds++ {
			for _, name := range names(1) { // which always has more
				s.publish(name, strings.Repeat("y", 100))
			}
			query := "subscribe?offset=-1" + list.String()
			if token != "" {
				query += "&resume=" + token
			}
			r := s.do("GET", query, "")
			size := 0
			for _, f := range s.polled(r) {
				size += len(f.content())
				total += strings.Count(f.content(), "x")
				got[f.Channel] += len(f.content())
			}
			if token = r.header.Get("Stream-Resume"); size > 1500 {
				t.Errorf("%d bytes at once", size)
			}
			if rounds > 200 {
				t.Fatalf("after %d polls: %v", rounds, got)
			}
		}
		for _, name := range names(channels)[1:] {
			if got[name] != records*100 {
				t.Errorf("%s: %d bytes", name, got[name])
			}
		}
	}, piped, plain[len(plain)-1])
}

// A GET follows well over a hundred channels, a POST thousands.
func TestLongLists(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		const channels = 1200
		all := names(channels)
		for _, name := range all {
			s.create(name, asJSON)
		}
		var list []want
		for _, name := range all {
			list = append(list, want{name, ""})
		}
		get := s.stream(query(list[:200]))
		if n := len(get.say(strings.TrimSpace(strings.Repeat("subscribed ", 200)))); n != 200 {
			t.Errorf("%d", n)
		}
		channelsJSON, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		body := `{"live":"sse","offset":"now","channels":` + strings.NewReplacer("Channel", "channel", `,"Offset":""`, "").Replace(string(channelsJSON))
		post := s.streamPost(body + "}")
		for n := 0; n < channels; {
			e, err := post.next()
			if err != nil {
				t.Fatal(err)
			}
			n += len(e.frames)
		}
		for i, name := range all {
			if i%100 == 7 {
				s.publish(name, "1")
			}
		}
		got := map[string]bool{}
		for len(got) < channels/100 {
			e, err := post.next()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range e.frames {
				if f.Type != "data" || got[f.Channel] {
					t.Errorf("%s", f.raw)
				}
				got[f.Channel] = true
			}
		}
		id := post.id
		for post.id == id { // follows soon
			if _, err := post.next(); err != nil {
				t.Fatal(err)
			}
		}
		_ = post.resp.Body.Close()
		_ = get.resp.Body.Close()
		s.publish(all[0], "2")
		again := s.streamPost(body+"}", "Last-Event-ID", post.id)
		types := map[string]int{}
		for types["subscribed"] < channels || types["data"] < 1 {
			e, err := again.next()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range e.frames {
				if types[f.Type]++; f.Type == "data" && f.Channel != all[0] {
					t.Errorf("again: %s", f.raw)
				}
			}
		}
		_ = again.resp.Body.Close()
		for n, has := range map[int]bool{100: true, channels: false} {
			part, err := json.Marshal(list[:n])
			if err != nil {
				t.Fatal(err)
			}
			body := `{"channels":` + strings.NewReplacer("Channel", "channel", `,"Offset":""`, "").Replace(string(part)) + "}"
			r := s.do("POST", "subscribe", body, "Content-Type", asJSON)
			if token := r.header.Get("Stream-Resume"); r.status != 200 || (token != "") != has || len(token) > 4096 {
				t.Errorf("%d channels: %d, a token of %d bytes", n, r.status, len(token))
			}
		}
		s.idle()
	}, all...)
}

// What is wrong with a request is wrong with all of it.
func TestRefusedRequests(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{Channels: 3}, site: httpstream.Options{BodyBytes: 1000}})
		s.create("a", asJSON)
		s.create("b", asJSON)
		r := s.do("GET", "subscribe?channel=a&channel=b", "")
		token := r.header.Get("Stream-Resume")
		for query, code := range map[string]string{
			"":                                        "invalid_parameter",
			"live=sse":                                "invalid_parameter",
			"channel=":                                "invalid_parameter",
			"channel=a&live=websocket":                "invalid_parameter",
			"channel=a&live=sse&live=sse":             "invalid_parameter",
			"channel=a&offset=-1&offset=-1":           "invalid_parameter",
			"channel=a&offset=now&tail_records=1":     "invalid_parameter",
			"channel=a&offset=5":                      "invalid_offset",
			"channel=a&budget=5m1s":                   "invalid_parameter",
			"channel=a&since=x":                       "invalid_parameter",
			"channel=a&tail_records=-1":               "invalid_parameter",
			"channel=a&tail_records=%2B5":             "invalid_parameter",
			"channel=a&encoding=hex":                  "invalid_parameter",
			"channel=%zz":                             "invalid_parameter",
			"channel=%ff":                             "invalid_parameter",
			"channel=a&channel=b&channel=a":           "invalid_request",
			"channel=1&channel=2&channel=3&channel=4": "too_many_channels",
			"channel=a&channel=b&resume=x":            "invalid_offset",
			"channel=b&channel=a&resume=" + token:     "invalid_offset",
			"channel=a&resume=" + token:               "invalid_offset",
			"channel=a&channel=b&resume=" + token[:len(token)-1]: "invalid_offset",
		} {
			s.expect(s.do("GET", "subscribe?"+query, ""), statusOf(code), code)
		}
		for body, code := range map[string]string{
			``:                                  "invalid_request",
			`[]`:                                "invalid_request",
			`{"channels":5}`:                    "invalid_request",
			`{"channels":[]}`:                   "invalid_request",
			`{"channels":["a"]}`:                "invalid_request",
			`{"channels":[{}]}`:                 "invalid_request",
			`{"channels":[{"channel":"a"},{}]}`: "invalid_request",
			`{"live":"sse"}`:                    "invalid_request",
			`{"channel":"a"}`:                   "invalid_request",
			`{"channels":[{"channel":"a"}],"live":"ws"}`:                                     "invalid_parameter",
			`{"channels":[{"channel":"a","offset":"x"}]}`:                                    "invalid_offset",
			`{"channels":[{"channel":"a","budget":"x"}]}`:                                    "invalid_parameter",
			`{"channels":[{"channel":"a"},{"channel":"a"}]}`:                                 "invalid_request",
			`{"channels":[{"channel":"a"}],"resume":"` + token + `"}`:                        "invalid_offset",
			`{"channels":[{"channel":"1"},{"channel":"2"},{"channel":"3"},{"channel":"4"}]}`: "too_many_channels",
		} {
			r := s.do("POST", "subscribe", body, "Content-Type", asJSON)
			s.expect(r, statusOf(code), code)
		}
		s.expect(s.do("POST", "subscribe", `{"channels":[{"channel":"a"}]}`, "Content-Type", asText), 400, "invalid_content_type")
		s.expect(s.do("POST", "subscribe", `{"channels":[{"channel":"a"}]}`), 400, "invalid_content_type")
		s.expect(s.do("POST", "subscribe", `{"x":"`+strings.Repeat("x", 1000)+`"}`, "Content-Type", asJSON), 413, "too_large")
		s.expect(s.do("POST", "subscribe", `{"channels":[{"channel":"a"}]`+strings.Repeat(" ", 1000)+`}`, "Content-Type", asJSON), 413, "too_large")
		s.expect(s.do("GET", "subscribe?channel=a", "", "Origin", "https://elsewhere.example"), 403, "origin_not_allowed")
		r = s.do("PUT", "subscribe", "")
		s.expect(r, 405, "method_not_allowed")
		if r.header.Get("Allow") != "GET, POST, OPTIONS" {
			t.Errorf("%v", r.header)
		}
		if r := s.do("OPTIONS", "subscribe", "", "Origin", "http://localhost:1", "Access-Control-Request-Method", "POST"); r.status != 204 {
			t.Errorf("%d %v", r.status, r.header)
		}
		r = s.do("GET", "subscribe?channel=a", "", "Origin", "http://localhost:1")
		if r.header.Get("Access-Control-Allow-Origin") != "http://localhost:1" || !strings.Contains(r.header.Get("Access-Control-Expose-Headers"), "Stream-Resume") {
			t.Errorf("%v", r.header)
		}
		// Unknown parameters and members may come.
		s.polled(s.do("GET", "subscribe?channel=a&utm=1", ""))
		s.polled(s.do("POST", "subscribe", `{"channels":[{"channel":"a","x":1}],"y":{}}`, "Content-Type", "application/json; charset=utf-8"))
		s.idle()
	}, all...)
}

func statusOf(code string) int {
	if code == "too_many_channels" {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// A handshake that cannot be taken is refused as any request is.
func TestRefusedHandshakes(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		try := func(status int, code string, fields ...string) *http.Response {
			t.Helper()
			k, resp := s.shake(fields...)
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			_ = k.c.Close()
			s.expect(reply{resp.StatusCode, resp.Header, string(b)}, status, code)
			return resp
		}
		try(400, "invalid_header", "Sec-WebSocket-Protocol", "")
		try(400, "invalid_header", "Sec-WebSocket-Protocol", "chat, twohop.v2")
		try(400, "invalid_header", "Sec-WebSocket-Key", "")
		try(400, "invalid_header", "Sec-WebSocket-Key", "c2hvcnQ=")
		try(400, "invalid_header", "Upgrade", "h2c")
		try(400, "invalid_header", "Upgrade", "", "Connection", "close")
		try(400, "invalid_header", "Connection", "close")
		if resp := try(426, "invalid_header", "Sec-WebSocket-Version", "8"); resp.Header.Get("Sec-WebSocket-Version") != "13" {
			t.Errorf("%v", resp.Header)
		}
		try(403, "origin_not_allowed", "Origin", "https://elsewhere.example")
		try(405, "method_not_allowed", "line", "POST /v1/ws HTTP/1.1", "Content-Length", "0")
		try(404, "not_found", "line", "GET /v1/ws/more HTTP/1.1")
		for _, fields := range [][]string{
			{"Sec-WebSocket-Protocol", "chat, twohop.v1"}, {"Connection", "keep-alive, Upgrade"}, {"Upgrade", "WebSocket"},
			{"Origin", "http://localhost:3000"}, {"Origin", "https://twohop.test"}, {"Sec-WebSocket-Extensions", "x-unknown; a=b"},
		} {
			s.connect(fields...).bye()
		}
		if k := s.connect("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=9"); k.deflate {
			t.Error("a window that is not kept was agreed on")
		} else {
			k.bye()
		}
		s.idle()
	}, plain...)
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		r := s.do("GET", "ws", "")
		if r.status < 400 || r.status > 499 {
			t.Errorf("%d %s", r.status, r.body)
		}
	}, http2)
}

// A token holds on another node over the same data, and after a restart.
func TestTokensElsewhere(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		dir := t.TempDir()
		token := ""
		var got strings.Builder
		for round := range 3 {
			e, err := disklog.Open(dir, disklog.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprint(round), func(t *testing.T) {
				s := serve(t, m, setup{engine: e})
				if round == 0 {
					s.create("a", asJSON)
					s.create("b", asJSON)
				}
				s.publish("a", fmt.Sprint(round))
				s.publish("b", fmt.Sprint(round))
				r := s.do("GET", "subscribe?channel=a&offset=-1&channel=b&offset=-1&resume="+url.QueryEscape(token), "")
				if token == "" {
					r = s.do("GET", "subscribe?channel=a&offset=-1&channel=b&offset=-1", "")
				}
				for _, f := range s.polled(r) {
					got.WriteString(f.Channel + f.content())
				}
				token = r.header.Get("Stream-Resume")
				s.idle()
			})
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for round := range 3 {
			for _, c := range []string{"a", "b"} {
				if strings.Count(got.String(), fmt.Sprintf("%s%d,", c, round)) != 1 {
					t.Errorf("%s", got.String())
				}
			}
		}
	}, plain[1], plain[len(plain)-1])
	run(t, func(t *testing.T, m mode) {
		e := &shared{Engine: memlog.Open(memlog.Options{})}
		defer func() { _ = e.Close() }()
		one := serve(t, m, setup{engine: e})
		one.create("a", asJSON)
		one.publish("a", "1")
		r := one.do("GET", "subscribe?channel=a&offset=-1", "")
		one.polled(r)
		two := serve(t, m, setup{engine: e})
		one.publish("a", "2")
		r = two.do("GET", "subscribe?channel=a&resume="+r.header.Get("Stream-Resume"), "")
		if frames := two.polled(r); typesOf(frames) != "data" || frames[0].content() != "2," {
			t.Errorf("%s", r.body)
		}
		f := two.stream("channel=a")
		f.say("subscribed")
		one.publish("a", "3")
		if frames := f.say("data"); frames[0].content() != "3," {
			t.Errorf("%s", frames[0].raw)
		}
		_ = f.resp.Body.Close()
		two.idle()
	}, plain...)
}

// shared is an engine with several nodes.
type shared struct {
	engine.Engine
	sinks sinks
}

type sinks []engine.Sink

// Event implements engine.Sink.
func (l *sinks) Event(shard int, e *engine.Event) {
	for _, s := range *l {
		s.Event(shard, e)
	}
}

// Follow implements engine.Engine.
func (e *shared) Follow(s engine.Sink) {
	e.sinks = append(e.sinks, s)
	if len(e.sinks) == 1 {
		e.Engine.Follow(&e.sinks)
	}
}

// Requests that follow each other on a connection are answered in their order.
func TestPipelinedPolls(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("a", asJSON)
		at := s.publish("a", "1")
		c, err := s.Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		k := &socket{t: t, c: c}
		wait := "GET /v1/subscribe?live=long-poll&channel=a&offset=" + at + " HTTP/1.1\r\nHost: x\r\n\r\n"
		now := "GET /v1/subscribe?channel=a&offset=-1 HTTP/1.1\r\nHost: x\r\n\r\n"
		single := "GET /v1/stream/a?offset=-1 HTTP/1.1\r\nHost: x\r\n\r\n"
		go k.write([]byte(now + wait + single + now))
		r := bufio.NewReader(c)
		read := func() string {
			t.Helper()
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%s %v", resp.Status, err)
			}
			return string(b)
		}
		if b := read(); !strings.Contains(b, `"records":[1]`) {
			t.Errorf("%s", b)
		}
		s.eventually("the long poll waits", func() bool { return s.many.Stats().Subscriptions.Load() == 1 })
		s.publish("a", "2")
		if b := read(); !strings.Contains(b, `"records":[2]`) {
			t.Errorf("%s", b)
		}
		if b := read(); b != "[1,2]" {
			t.Errorf("%s", b)
		}
		if b := read(); !strings.Contains(b, `"records":[1,2]`) {
			t.Errorf("%s", b)
		}
	}, plain...)
}

// An SSE response that is cut in its middle is forgotten.
func TestCutStreams(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{Rules: twohop.Rules{{Match: "made/*", Create: true}}}})
		s.create("a", asJSON)
		for range 20 {
			f := s.stream("channel=a&channel=made/x&budget=5m&channel=made/y")
			f.all("subscribed subscribed subscribed advice")
			_ = f.resp.Body.Close()
		}
		s.idle()
		if f := s.stream("channel=none"); true {
			f.say("error")
			f.ends()
		}
		s.closeChannel("a")
		f := s.stream("channel=a&offset=-1")
		if d := f.all("subscribed data")[1]; !d.Closed || !d.UpToDate {
			t.Errorf("%s", d.raw)
		}
		if _, err := f.next(); !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
		s.idle()
	}, all...)
}

// What is wrong with one of several channels is told of that one, and the others
// go on.
func TestOneOfManyIsRefused(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{Heartbeat: 15 * time.Second}})
		s.create("a", asJSON)
		s.create("b", asJSON)
		open := map[string]func() *events{
			"offset=x": func() *events { return s.stream("channel=b&offset=x&channel=a") },
			"a body": func() *events {
				return s.streamPost(`{"live":"sse","channels":[{"channel":"b","budget":"10m"},{"channel":"a"}]}`)
			},
			"tail_records=-1": func() *events { return s.stream("channel=b&tail_records=-1&channel=a") },
			"since=x":         func() *events { return s.stream("channel=a&channel=b&since=x") },
		}
		for what, f := range open {
			e := f()
			if got, want := e.resp.Header.Get("Stream-Heartbeat"), "15s"; got != want {
				t.Errorf("%s: Stream-Heartbeat is %q, want %s", what, got, want)
			}
			got := map[string]string{}
			for len(got) < 2 {
				event, err := e.next()
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				for _, frame := range event.frames {
					got[frame.Channel] = frame.Type
				}
			}
			if got["a"] != "subscribed" || got["b"] != "error" {
				t.Errorf("%s: %v", what, got)
			}
			s.publish("a", "1")
			for data := false; !data; {
				event, err := e.next()
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				for _, frame := range event.frames {
					data = data || frame.Type == "data" && frame.Channel == "a"
				}
			}
			_ = e.resp.Body.Close()
		}
		s.expect(s.do("GET", "subscribe?channel=a&offset=x&channel=b&since=y", ""), 400, "invalid_offset")
	}, all...)
}
