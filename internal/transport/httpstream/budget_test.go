package httpstream_test

import (
	"fmt"
	"testing"
	"time"

	"twohop/internal/transport/httpstream"
)

// What comes within the budget leaves in one write, when the budget of its first
// record is spent: not before, not after. Heartbeats go on meanwhile.
func TestBudget(t *testing.T) {
	for _, budget := range []time.Duration{250 * time.Millisecond, 10 * time.Second, time.Minute, 5 * time.Minute} {
		t.Run(budget.String(), func(t *testing.T) {
			run(t, func(t *testing.T, m mode) {
				s := serve(t, m, setup{Options: httpstream.Options{MaxAge: 24 * time.Hour, LongPoll: time.Hour}})
				checkBudget(t, s, budget)
			}, bubble...)
		})
	}
}

func checkBudget(t *testing.T, s *site, budget time.Duration) {
	const heartbeat = 15 * time.Second
	s.create("c", asJSON)
	s.publish("c", asJSON, `"old"`)
	f := s.follow("c", "offset=-1&budget="+budget.String())
	begin := time.Now()
	f.must(s)
	e := f.must(s)
	if e.name == "advice" {
		e = f.must(s)
	}
	if e.data != `["old"]` || time.Since(begin) != 0 {
		t.Fatalf("catching up: %+v after %v, want the record at once", e, time.Since(begin))
	}
	f.say(s, "control")
	heard := time.Now()
	for round := range 5 {
		pause(time.Second)
		begin := time.Now()
		go func() {
			for i := range 4 { // the last one comes after the budget
				_, _ = s.try("POST", "stream/c", fmt.Sprint(round*10+i), "Content-Type", asJSON)
				pause(budget/3 + time.Millisecond)
			}
		}()
		data := func() event {
			for {
				e := f.must(s)
				if since := time.Since(heard); since > heartbeat {
					t.Fatalf("nothing was heard for %v, want a heartbeat every %v", since, heartbeat)
				}
				heard = time.Now()
				if e.name != ":" {
					return e
				}
			}
		}
		e := data()
		if want := fmt.Sprintf("[%d,%d,%d]", round*10, round*10+1, round*10+2); e.data != want || time.Since(begin) != budget {
			t.Fatalf("%s after %v, want %s after %v", e.data, time.Since(begin), want, budget)
		}
		f.say(s, "control")
		e = data()
		if want := fmt.Sprintf("[%d]", round*10+3); e.data != want || time.Since(begin) != 3*(budget/3+time.Millisecond)+budget {
			t.Fatalf("%s after %v, want %s", e.data, time.Since(begin), want)
		}
		f.say(s, "control")
	}
	go func() {
		pause(time.Second)
		_, _ = s.try("POST", "stream/c", "1", "Content-Type", asJSON)
		pause(budget / 2)
		_, _ = s.try("POST", "stream/c", "2", "Content-Type", asJSON)
	}()
	begin = time.Now()
	r := s.read("c", "offset=now&live=long-poll&budget="+budget.String())
	if r.body != "[1,2]" || time.Since(begin) != time.Second+budget || r.get("Stream-Budget") != budget.String() {
		t.Fatalf("long poll: %s after %v, budget %q", r.body, time.Since(begin), r.get("Stream-Budget"))
	}
}

// On loops the same, in real time: never before the budget is spent, and
// together.
func TestBudgetOnLoops(t *testing.T) {
	const budget = 200 * time.Millisecond
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", "application/json")
		f := s.follow("c", "offset=now&budget=200ms")
		f.must(s)
		f.say(s, "control")
		for round := range 3 {
			begin := time.Now()
			s.publish("c", "application/json", fmt.Sprint(round))
			s.publish("c", "application/json", "[7,8]")
			e := f.say(s, "data")
			if e.data != fmt.Sprintf("[%d,7,8]", round) || time.Since(begin) < budget {
				t.Fatalf("%s after %v, want all three, not before %v", e.data, time.Since(begin), budget)
			}
			f.say(s, "control")
		}
	}, loopModes...)
}

// A response that has to end before the budget is spent ends with what is there,
// so that the way back to the server is not added to the budget.
func TestBudgetOutlivesTheResponse(t *testing.T) {
	const soon = 1500 * time.Millisecond
	for name, end := range map[string]struct {
		o   httpstream.Options
		now func(s *site)
	}{
		"its time":    {httpstream.Options{LongPoll: soon, MaxAge: soon, Heartbeat: soon / 4}, func(*site) {}},
		"the drain's": {httpstream.Options{LongPoll: time.Hour, MaxAge: time.Hour}, func(s *site) { s.handler.Drain() }},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, m mode) {
				s := serve(t, m, setup{Options: end.o})
				s.create("c", asJSON)
				f := s.follow("c", "offset=now&budget=5m")
				f.say(s, "advice")
				f.say(s, "control")
				polled := make(chan reply, 1)
				go func() {
					r, err := s.try("GET", "stream/c?offset=-1&live=long-poll&budget=5m", "")
					if err != nil {
						t.Error(err)
					}
					polled <- r
				}()
				s.settle("c", 2)
				s.publish("c", asJSON, "1")
				s.publish("c", asJSON, "2")
				end.now(s)
				if e := f.say(s, "data"); e.data != "[1,2]" {
					t.Errorf("SSE ends with %s, want all that was there", e.data)
				}
				f.say(s, "control")
				for e, err := f.next(); err == nil; e, err = f.next() {
					if e.name != ":" {
						t.Errorf("after the last page came %+v", e)
					}
				}
				if r := <-polled; r.body != "[1,2]" {
					t.Errorf("the long poll is answered %d %s, want all that was there", r.status, r.body)
				}
			}, all...)
		})
	}
}
