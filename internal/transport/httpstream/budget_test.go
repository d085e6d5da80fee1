package httpstream_test

import (
	"fmt"
	"testing"
	"time"

	"twohop/internal/transport/httpstream"
)

// What comes within the budget leaves in one write, when the budget of its first
// record is spent: not before, not after.
func TestBudget(t *testing.T) {
	const budget = 250 * time.Millisecond
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{MaxAge: time.Hour}})
		s.create("c", "application/json")
		s.publish("c", "application/json", `"old"`)
		f := s.follow("c", "offset=-1&budget=250ms")
		begin := time.Now()
		f.must(s)
		if e := f.say(s, "data"); e.data != `["old"]` || time.Since(begin) != 0 {
			t.Fatalf("catching up: %q after %v, want the record at once", e.data, time.Since(begin))
		}
		f.say(s, "control")
		for round := range 5 {
			pause(time.Second)
			begin := time.Now()
			go func() {
				for i := range 4 { // the last one comes after the budget
					_, _ = s.try("POST", "stream/c", fmt.Sprint(round*10+i), "Content-Type", "application/json")
					pause(budget/3 + time.Millisecond)
				}
			}()
			e := f.say(s, "data")
			if want := fmt.Sprintf("[%d,%d,%d]", round*10, round*10+1, round*10+2); e.data != want || time.Since(begin) != budget {
				t.Fatalf("%s after %v, want %s after %v", e.data, time.Since(begin), want, budget)
			}
			f.say(s, "control")
			e = f.say(s, "data")
			if want := fmt.Sprintf("[%d]", round*10+3); e.data != want || time.Since(begin) != 3*(budget/3+time.Millisecond)+budget {
				t.Fatalf("%s after %v, want %s", e.data, time.Since(begin), want)
			}
			f.say(s, "control")
		}
		go func() {
			pause(time.Second)
			_, _ = s.try("POST", "stream/c", "1", "Content-Type", "application/json")
			pause(budget / 2)
			_, _ = s.try("POST", "stream/c", "2", "Content-Type", "application/json")
		}()
		begin = time.Now()
		r := s.read("c", "offset=now&live=long-poll&budget=250ms")
		if r.body != "[1,2]" || time.Since(begin) != time.Second+budget || r.get("Stream-Budget") != "250ms" {
			t.Fatalf("long poll: %s after %v, budget %q", r.body, time.Since(begin), r.get("Stream-Budget"))
		}
	}, bubble...)
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
