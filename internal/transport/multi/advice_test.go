package multi_test

import (
	"strings"
	"testing"
	"time"

	"twohop/internal/transport/multi"
)

// Who states a budget is told when another transport meets it at less cost.
func TestAdvice(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		for _, name := range []string{"a", "b", "c"} {
			s.create(name, asJSON)
		}
		if m.Name != http2.Name {
			k := s.connect()
			k.send(`{"type":"subscribe","channels":[{"channel":"a"},{"channel":"b","budget":"5s"},{"channel":"c","budget":100}]}`)
			k.say("subscribed")
			k.say("subscribed")
			if f := k.say("advice"); f.Channel != "b" || f.Transport != "poll" || f.Interval != 4000 {
				t.Errorf("5s: %s", f.raw)
			}
			k.say("subscribed") // ws is in use, and right for several channels
			k.bye()

			k = s.connect()
			k.send(`{"type":"subscribe","channel":"a","budget":109}`) // in force it has two digits
			if f := k.say("subscribed"); !strings.Contains(f.raw, `"budget":100,`) {
				t.Errorf("the budget in force: %s", f.raw)
			}
			if f := k.say("advice"); f.Channel != "a" || f.Transport != "sse" || strings.Contains(f.raw, "interval") {
				t.Errorf("one channel: %s", f.raw)
			}
			k.send(`{"type":"subscribe","channel":"b","budget":"100ms"}`)
			k.say("subscribed")
			if f := k.say("advice"); f.Channel != "" || f.Transport != "ws" {
				t.Errorf("no longer one: %s", f.raw)
			}
			k.bye()
		}
		f := s.stream("budget=3001ms&channel=a&channel=b")
		if h := f.resp.Header; h.Get("Stream-Budget") != "3s" || h.Get("Stream-Advice") != "transport=poll; interval=2s" {
			t.Errorf("%v", h)
		}
		if e := f.say("subscribed subscribed advice"); e[2].Channel != "" || e[2].Transport != "poll" || e[2].Interval != 2000 {
			t.Errorf("%s", e[2].raw)
		}
		f = s.stream("channel=a&budget=3s&channel=b&budget=1s&channel=c")
		if e := f.say("subscribed subscribed subscribed advice advice"); e[3].Channel != "a" || e[3].Transport != "poll" ||
			e[4].Channel != "b" || e[4].Transport != "ws" || f.resp.Header.Get("Stream-Advice") != "" {
			t.Errorf("%+v", e)
		}
		f = s.stream("channel=a&budget=1s")
		f.say("subscribed")
		r := s.do("GET", "subscribe?budget=1s&channel=a&channel=b", "")
		if r.header.Get("Stream-Advice") != "transport=ws" || typesOf(s.polled(r)) != "subscribed subscribed" {
			t.Errorf("%v %s", r.header, r.body)
		}
		r = s.do("GET", "subscribe?channel=a&channel=b", "")
		if r.header.Get("Stream-Advice") != "" || r.header.Get("Stream-Budget") != "" {
			t.Errorf("without a budget: %v", r.header)
		}
	}, all...)
}

// What waits for a budget is not held back by an end.
func TestBudgetOutlivesTheConnection(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		const age = 30 * time.Second
		s := serve(t, m, setup{Options: multi.Options{MaxAge: age, LongPoll: age}})
		s.create("c", asJSON)
		f := s.stream("budget=5m&channel=c")
		tail := f.say("subscribed advice")[0].Offset
		polled := make(chan reply, 1)
		go func() { polled <- s.do("GET", "subscribe?live=long-poll&budget=5m&channel=c&offset="+tail, "") }()
		pause(time.Second)
		s.publish("c", "1")
		begin := time.Now()
		if e := f.say("data"); e[0].content() != "1," || time.Since(begin) > 2*age {
			t.Errorf("%s after %v", e[0].raw, time.Since(begin))
		}
		f.ends()
		if e := s.polled(<-polled); len(e) != 1 || e[0].content() != "1," {
			t.Errorf("long poll: %+v", e)
		}
		k := s.connect()
		k.send(`{"type":"subscribe","channel":"c","budget":"5m"}`)
		k.say("subscribed")
		k.say("advice")
		s.publish("c", "2")
		pause(time.Second)
		s.many.Drain()
		if e := k.say("data"); e.content() != "2," {
			t.Errorf("%s", e.raw)
		}
		k.say("drain")
		k.closes(1012)
		s.idle()
	}, bubble...)
}

// A long poll that goes on from a token is not ended by what it was told before.
func TestLongPollIsNotToldAgain(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{LongPoll: 20 * time.Second}})
		s.create("a", asJSON)
		s.create("b", asJSON)
		s.closeChannel("b")
		const list = "subscribe?live=long-poll&offset=-1&channel=a&channel=b&channel=missing"
		r := s.do("GET", list, "")
		if typesOf(s.polled(r)) != "subscribed subscribed error data" {
			t.Fatalf("%s", r.body)
		}
		begin := time.Now()
		r = s.do("GET", list+"&resume="+r.header.Get("Stream-Resume"), "")
		if took := time.Since(begin); took != 20*time.Second || typesOf(s.polled(r)) != "error data" {
			t.Errorf("%d %s after %v, want the wait to go on", r.status, r.body, took)
		}
	}, bubble...)
}

// The server ends what it sends with its close frame, so that a client has not to
// wait for the connection's end.
func TestServerClosesAtOnce(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		k := s.connect()
		begin := time.Now()
		k.send(`{"type":"nonsense"}`)
		k.refused("invalid_frame")
		k.closes(4000)
		if took := time.Since(begin); took > 4*time.Second {
			t.Errorf("the connection ended after %v", took)
		}
		s.idle()
	}, append([]mode{tcp, secure}, loopModes...)...)
}
