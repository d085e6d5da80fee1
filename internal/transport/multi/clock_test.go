package multi_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/transport/multi"
)

// What comes within the budget leaves when the budget of its first record is
// spent, with what is due of other channels that have the same budget; without a
// budget it leaves at once. Nobody waits for longer than the budget.
func TestBudgetToTheMillisecond(t *testing.T) {
	const budget = 250 * time.Millisecond
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{Heartbeat: time.Hour, MaxAge: 10 * time.Hour}})
		for _, name := range []string{"a", "b", "now"} {
			s.create(name, asJSON)
			s.publish(name, `"old"`)
		}
		k := s.connect()
		begin := time.Now()
		k.send(`{"type":"subscribe","channels":[{"channel":"a","offset":"-1","budget":"250ms"},{"channel":"b","offset":"-1","budget":250},{"channel":"now"}]}`)
		for range 3 {
			for f := (frame{}); f.Type != "subscribed"; {
				var err error
				if f, err = k.next(); err != nil {
					t.Fatal(err)
				}
			}
		}
		k.say("data")
		k.say("data")
		if took := time.Since(begin); took != 0 {
			t.Errorf("catching up took %v", took)
		}
		f := s.stream("budget=250ms&channel=a&offset=now&channel=b&offset=now")
		if got := f.resp.Header.Get("Stream-Budget"); got != "250ms" {
			t.Errorf("the budget in force is %q", got)
		}
		f.all("subscribed subscribed advice")
		type said struct {
			frame
			after time.Duration
		}
		for round := range 5 {
			pause(time.Second)
			begin := time.Now()
			got := make(chan said, 10)
			go func() {
				for range 4 {
					f, err := k.next()
					if err != nil {
						t.Error(err)
					}
					got <- said{f, time.Since(begin)}
				}
				close(got)
			}()
			events := make(chan string, 10)
			go func() {
				for range 2 {
					e, err := f.next()
					if err != nil {
						t.Error(err)
					}
					var text strings.Builder
					_, _ = fmt.Fprint(&text, time.Since(begin))
					for _, f := range e.frames {
						text.WriteString(" " + f.Channel + f.content())
					}
					events <- text.String()
				}
				close(events)
			}()
			n := round * 10
			s.publish("a", fmt.Sprint(n))
			pause(100 * time.Millisecond)
			s.publish("b", fmt.Sprint(n+1))
			s.publish("now", fmt.Sprint(n+2))
			pause(149 * time.Millisecond)
			s.publish("a", fmt.Sprint(n+3))
			pause(2 * time.Millisecond) // the budget of the first one is spent
			s.publish("b", fmt.Sprint(n+4))
			var all []string
			for x := range got {
				all = append(all, fmt.Sprint(x.Channel, x.content(), x.after))
			}
			want := []string{fmt.Sprint("now", n+2, ",", 100*time.Millisecond), fmt.Sprint("a", n, ",", n+3, ",", budget),
				fmt.Sprint("b", n+1, ",", budget), fmt.Sprint("b", n+4, ",", 251*time.Millisecond+budget)}
			for i := range want {
				if i >= len(all) || all[i] != want[i] {
					t.Fatalf("%v, want %v", all, want)
				}
			}
			if e, want := <-events, fmt.Sprintf("%v a%d,%d, b%d,", budget, n, n+3, n+1); e != want {
				t.Errorf("%s, want %s", e, want)
			}
			if e, want := <-events, fmt.Sprintf("%v b%d,", 251*time.Millisecond+budget, n+4); e != want {
				t.Errorf("%s, want %s", e, want)
			}
		}
	}, bubble...)
}

// On loops, in real time: never before the budget is spent, and together.
func TestBudgetOnLoops(t *testing.T) {
	const budget = 200 * time.Millisecond
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("a", asJSON)
		s.create("b", asJSON)
		f := s.stream("budget=200ms&channel=a&channel=b")
		f.all("subscribed subscribed advice")
		for round := range 3 {
			begin := time.Now()
			s.publish("a", fmt.Sprint(round))
			s.publish("b", fmt.Sprint(round))
			s.publish("a", "7")
			frames := f.say("data data")
			if took := time.Since(begin); took < budget || len(frames[0].Records)+len(frames[1].Records) != 3 {
				t.Errorf("%s %s after %v", frames[0].raw, frames[1].raw, took)
			}
		}
	}, loopModes...)
}

// Silence is broken by pings, and a peer that does not answer is cut off; one
// that does stays for ever.
func TestHeartbeat(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{Heartbeat: 10 * time.Second}})
		s.create("a", asJSON)
		k := s.connect()
		if k.welcome.Heartbeat != 10_000 || k.welcome.MaxChannels != 10_000 || k.welcome.MaxMessage != 1<<20 {
			t.Errorf("%s", k.welcome.raw)
		}
		k.send(`{"type":"subscribe","channel":"a"}`)
		k.say("subscribed")
		for range 100 {
			begin := time.Now()
			k.say("ping")
			if took := time.Since(begin); took != 10*time.Second {
				t.Fatalf("a ping after %v", took)
			}
			k.send(`{"type":"pong"}`)
		}
		pause(7 * time.Second)
		s.publish("a", "1")
		k.say("data")
		begin := time.Now()
		k.say("ping")
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("a ping %v after the last data", took)
		}
		k.write(masked(fin|opPong, nil)) // any sign of life will do
		k.say("ping")
		begin = time.Now()
		go func() { // data alone are no sign of the peer's life
			pause(15 * time.Second)
			s.publish("a", "2")
		}()
		k.closes(4008)
		if took := time.Since(begin); took != 25*time.Second { // a pipe ends 5 s after the close frame: it cannot end one way
			t.Errorf("cut off after %v", took)
		}
		s.idle()
	}, bubble...)
}

// A client that reads nothing at all is cut off when it has taken nothing for
// long, and its requests are not read meanwhile.
func TestStuck(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{Heartbeat: 100 * time.Millisecond}, hub: hub.Options{PageBytes: 50_000}})
		s.create("a", asText)
		for range 200 {
			s.publish("a", strings.Repeat("x", 100_000))
		}
		k := s.connect()
		k.send(`{"type":"subscribe","channel":"a","offset":"-1"}`)
		sent := make(chan int)
		go func() { // more and more, until nobody takes it
			n := 0
			b := masked(fin|opText, []byte(`{"type":"ping","id":"`+strings.Repeat("x", 60)+`"}`))
			for {
				if _, err := k.c.Write(b); err != nil {
					sent <- n
					return
				}
				n += len(b)
			}
		}()
		n := <-sent
		t.Logf("%d bytes were taken", n)
		if m.Virtual && n > 1<<20 {
			t.Errorf("%d bytes of a client that reads nothing were taken", n)
		}
		s.idle()
	}, plain...)
}

// When the node leaves, everyone is told and lets go, at the place where it
// stands.
func TestDrain(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{Rules: twohop.Rules{{Match: "made/*", Create: true}}, LongPoll: time.Hour, Retry: time.Second}})
		s.create("a", asJSON)
		s.create("b", asJSON)
		k, bare := s.connect(), s.connect()
		k.send(`{"type":"subscribe","channels":[{"channel":"a"},{"channel":"b","budget":"1m"},{"channel":"made/x"}]}`)
		for range 3 {
			for f := (frame{}); f.Type != "subscribed"; {
				var err error
				if f, err = k.next(); err != nil {
					t.Fatal(err)
				}
			}
		}
		f := s.stream("channel=a&channel=b")
		f.say("subscribed subscribed")
		first := s.polled(s.do("GET", "subscribe?channel=a", ""))
		polled := make(chan reply)
		go func() { polled <- s.do("GET", "subscribe?live=long-poll&channel=a&offset="+first[0].Offset, "") }()
		s.eventually("all wait", func() bool { return s.many.Stats().Subscriptions.Load() == 6 })
		go s.many.Drain()
		d := frame{}
		for d.Type != "drain" { // advice may come before
			var err error
			if d, err = k.next(); err != nil {
				t.Fatal(err)
			}
		}
		if d.Delay < 0 || d.Delay > 5000 {
			t.Errorf("%s", d.raw)
		}
		k.closes(1012)
		bare.say("drain")
		bare.closes(1012)
		f.say("drain")
		f.ends()
		if r := <-polled; r.status != 204 {
			t.Errorf("%d %s", r.status, r.body)
		}
		// Who comes now is told at once.
		late := s.connect()
		late.say("drain")
		late.closes(1012)
		f = s.stream("channel=a")
		f.all("subscribed drain")
		f.ends()
		if r := s.do("GET", "subscribe?live=long-poll&channel=a&offset="+first[0].Offset, ""); r.status != 204 {
			t.Errorf("%d %s", r.status, r.body)
		}
		s.idle()
	}, plain...)
}

// An SSE response ends cleanly at its age, after heartbeats.
func TestAgeOfAStream(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{MaxAge: time.Minute, Heartbeat: 10 * time.Second}})
		s.create("a", asJSON)
		begin := time.Now()
		f := s.stream("channel=a")
		b, err := io.ReadAll(f.r)
		took := time.Since(begin)
		if err != nil || took < 48*time.Second || took > 82*time.Second {
			t.Errorf("it ended after %v with %v", took, err)
		}
		if n := strings.Count(string(b), ": \n\n"); n < 4 || n > 8 {
			t.Errorf("%d heartbeats in %v: %q", n, took, b)
		}
		s.idle()
	}, bubble...)
}
