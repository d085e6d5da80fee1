package multi_test

import (
	"testing"
	"time"
)

// A connection that does nothing, or whose client is gone, ends in time; one that
// follows a channel and answers is kept.
func TestIdleConnections(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asJSON)
		kept := s.connect()
		kept.send(subscribeC)
		kept.say("subscribed")
		told := make(chan string, 1)
		go func() { // answers pings until there is data
			for {
				f, err := kept.next()
				if err != nil || f.Type == "data" {
					told <- f.content()
					return
				}
				kept.send(`{"type":"pong"}`)
			}
		}()
		silent := s.connect()
		silent.send(subscribeC)
		silent.say("subscribed")
		begin := time.Now()
		silent.say("ping")
		if took := time.Since(begin); took != 15*time.Second {
			t.Errorf("a ping after %v", took)
		}
		silent.closes(4008) // a pipe ends 5 s after the close frame: it cannot end one way
		if took := time.Since(begin); took < 45*time.Second || took > 50*time.Second {
			t.Errorf("no answer: closed after %v", took)
		}
		begin = time.Now()
		pings := s.connect()
		go func() {
			for {
				pause(time.Second)
				if _, err := pings.c.Write(masked(fin|opPing, nil)); err != nil {
					return
				}
			}
		}()
		pings.closes(4008)
		if took := time.Since(begin); took < 3*time.Minute || took > 3*time.Minute+20*time.Second {
			t.Errorf("pings only: closed after %v", took)
		}
		pause(time.Hour)
		s.publish("c", "1")
		if got := <-told; got != "1," {
			t.Errorf("the one that is kept got %q", got)
		}
		kept.bye()
		s.idle()
	}, bubble...)
}

// What becomes due within a budget leaves when that of the first is spent,
// together for all channels.
func TestBudgetsOfManyChannels(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		const budget = 700 * time.Millisecond
		s := serve(t, m, setup{})
		s.create("a", asJSON)
		s.create("b", asJSON)
		k := s.connect()
		k.send(`{"type":"subscribe","channels":[{"channel":"a","budget":700},{"channel":"b","budget":"700ms"}]}`)
		k.say("subscribed")
		k.say("subscribed")
		for range 3 {
			begin := time.Now()
			s.publish("a", "1")
			go func() {
				pause(budget / 2)
				s.publish("b", "2")
				s.publish("a", "3")
				pause(budget/2 + time.Millisecond)
				s.publish("b", "4")
			}()
			got := map[string]string{}
			for range 2 {
				f := k.say("data")
				got[f.Channel] = f.content()
			}
			if took := time.Since(begin); took != budget || got["a"] != "1,3," || got["b"] != "2," {
				t.Fatalf("%v after %v", got, took)
			}
			if f := k.say("data"); f.content() != "4," || time.Since(begin) != 2*budget+time.Millisecond {
				t.Fatalf("%s after %v", f.raw, time.Since(begin))
			}
		}
		k.bye()
		s.idle()
	}, bubble...)
}
