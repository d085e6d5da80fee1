package multi_test

import (
	"cmp"
	"errors"
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

// lasts reads an SSE response to its clean end and tells how old it became, and
// how often there was a heartbeat.
func (f *events) lasts(begin time.Time) (took time.Duration, beats int) {
	f.t.Helper()
	b, err := io.ReadAll(f.r)
	if err != nil {
		f.t.Errorf("after %d bytes: %v", len(b), err)
	}
	return time.Since(begin), strings.Count(string(b), ": \n\n")
}

// SSE responses end cleanly at random ages, whatever the pace of the heartbeats
// that come until then.
func TestAgesOfStreams(t *testing.T) {
	const responses = 20
	run(t, func(t *testing.T, m mode) {
		for _, o := range []multi.Options{
			{MaxAge: 10 * time.Second},
			{MaxAge: time.Minute, Heartbeat: 10 * time.Second},
			{MaxAge: 5 * time.Minute},
		} {
			s := serve(t, m, setup{Options: o})
			s.create("a", asJSON)
			beat := cmp.Or(o.Heartbeat, 15*time.Second)
			ages := make(chan time.Duration, responses)
			for range responses {
				begin := time.Now()
				f := s.stream("channel=a")
				go func() {
					took, beats := f.lasts(begin)
					if want := int((took - 1) / beat); beats != want { // one that would come with the end does not
						t.Errorf("%d heartbeats in %v, want %d", beats, took, want)
					}
					ages <- took
				}()
			}
			least, most := time.Hour, time.Duration(0)
			for range responses {
				age := <-ages
				least, most = min(least, age), max(most, age)
			}
			if least < o.MaxAge*4/5 || most > o.MaxAge*6/5 || most-least < o.MaxAge/10 {
				t.Errorf("ages from %v to %v, want them spread around %v", least, most, o.MaxAge)
			}
			s.idle()
		}
	}, bubble...)
}

// They end long before a heartbeat, too, in real time.
func TestAgeBeforeHeartbeat(t *testing.T) {
	const beat = 10 * time.Second
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{MaxAge: time.Second, Heartbeat: beat}})
		s.create("a", asJSON)
		begin := time.Now()
		if took, beats := s.stream("channel=a").lasts(begin); took < 800*time.Millisecond || took >= beat || beats > 0 {
			t.Errorf("it lasted %v, with %d heartbeats", took, beats)
		}
		s.idle()
	}, all...)
}

// A reader that is slow, and so never has all that there is, is told of the end
// as well.
func TestAgeOfASlowStream(t *testing.T) {
	const age = 20 * time.Second
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{MaxAge: age}, hub: hub.Options{TailBytes: 16 << 20}})
		s.create("a", asText)
		begin := time.Now()
		f := s.stream("channel=a")
		f.say("subscribed")
		for range 100 {
			s.publish("a", strings.Repeat("x", 100_000))
		}
		n, err := int64(0), error(nil)
		for err == nil {
			var some int64
			some, err = io.CopyN(io.Discard, f.r, 100_000)
			n += some
			pause(time.Second)
		}
		if took := time.Since(begin); !errors.Is(err, io.EOF) || took < age*4/5 || took > 2*age || n > 5_000_000 {
			t.Errorf("it ended after %v and %d bytes with %v", took, n, err)
		}
		s.idle()
	}, bubble...)
}
