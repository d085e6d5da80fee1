package httpstream_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/transport/httpstream"
)

// lost is an offset that cannot be served, and what is to be said about it.
type lost struct {
	name   string
	make   func(s *site) (offset string)
	status int
	code   string
	reason string
	next   string // where a reset goes on: "start", "tail"
	missed uint64
}

// keep is the number of records that the channels of these tests keep.
const keep = 3

func resetSite(t *testing.T, m mode) *site {
	return serve(t, m, setup{Options: httpstream.Options{Rules: twohop.Rules{{Match: "**", Retention: twohop.Retention{Records: keep}}}}})
}

func (s *site) letters(n int) []string {
	return s.fill("c", "text/plain", func(i int) string { return string(rune('a' + i)) }, n)
}

// The table of PROTOCOL.md section 4, as far as it is about the beginning of a
// read.
var losses = []lost{
	{name: "malformed", make: func(s *site) string { s.letters(1); return "12" }, status: 400, code: "invalid_offset"},
	{name: "below the start", make: func(s *site) string { return s.letters(8)[1] }, status: 410, code: "reset", reason: "trimmed", next: "start", missed: 4},
	{name: "just below the start", make: func(s *site) string { return s.letters(8)[8-keep-1] }, status: 410, code: "reset", reason: "trimmed", next: "start", missed: 1},
	{name: "beyond the tail", make: func(s *site) string {
		o := s.letters(2)[2]
		return o[:len(o)-1] + "7"
	}, status: 410, code: "reset", reason: "ahead", next: "tail"},
	{name: "of a deleted log", make: func(s *site) string {
		o := s.letters(2)[1]
		s.must("DELETE", "stream/c", "")
		s.letters(4)
		return o
	}, status: 410, code: "reset", reason: "epoch", next: "start"},
	{name: "of the tail of a deleted log", make: func(s *site) string {
		o := s.letters(2)[2]
		s.must("DELETE", "stream/c", "")
		s.create("c", "text/plain")
		return o
	}, status: 410, code: "reset", reason: "epoch", next: "start"},
	{name: "of the source after the fork", make: func(s *site) string {
		s.create("src", "text/plain")
		at := s.publish("src", "text/plain", "a").next()
		later := s.publish("src", "text/plain", "b").next()
		s.must("PUT", "stream/c", "", "Stream-Forked-From", "/v1/stream/src", "Stream-Fork-Offset", at)
		return later
	}, status: 410, code: "reset", reason: "epoch", next: "start"},
	{name: "channel deleted", make: func(s *site) string {
		o := s.letters(2)[1]
		s.must("DELETE", "stream/c", "")
		return o
	}, status: 404, code: "not_found"},
	{name: "deleted while its forks live", make: func(s *site) string {
		o := s.letters(2)[1]
		s.must("PUT", "stream/fork", "", "Stream-Forked-From", "/v1/stream/c")
		s.must("DELETE", "stream/c", "")
		return o
	}, status: 410, code: "gone"},
	{name: "no such channel", make: func(*site) string { return "-1" }, status: 404, code: "not_found"},
}

func TestResetsAtTheBeginning(t *testing.T) {
	for _, l := range losses {
		t.Run(l.name, func(t *testing.T) {
			run(t, func(t *testing.T, m mode) {
				s := resetSite(t, m)
				offset := l.make(s)
				for _, live := range []string{"", "&live=long-poll", "&live=sse"} {
					r := s.do("GET", "stream/c?offset="+offset+live, "", "Accept", "*/*")
					s.expect(r, l.status, l.code)
					l.check(s, r)
				}
				for name, headers := range map[string][]string{
					"with Accept":        {"Accept", "text/event-stream"},
					"with Last-Event-ID": {"Last-Event-ID", offset},
				} {
					if l.reason == "" {
						s.expect(s.do("GET", "stream/c?live=sse&offset="+offset, "", headers...), l.status, l.code)
						continue
					}
					f := s.follow("c", "offset="+offset, headers...)
					l.checkEvent(s, name, f.say(s, "reset"))
					// It goes on from there, and says where it stands.
					next := s.where(l.next)
					if tail := s.where("tail"); next != tail {
						if e := f.say(s, "data"); e.data != s.read("c", "offset="+next).body {
							t.Errorf("%s: after the reset came %+v", name, e)
						}
					}
					if c := f.say(s, "control").control(); c.StreamNextOffset != s.where("tail") || !c.UpToDate {
						t.Errorf("%s: after the reset came %+v", name, c)
					}
				}
			}, all...)
		})
	}
}

// where is the start or the tail of the channel.
func (s *site) where(place string) string {
	h := s.do("HEAD", "stream/c", "")
	if place == "start" {
		return h.get("Stream-Start-Offset")
	}
	return h.next()
}

// check checks the fields of a 410.
func (l *lost) check(s *site, r reply) {
	s.t.Helper()
	if l.reason == "" {
		if r.get("Stream-Reset") != "" {
			s.t.Errorf("it has Stream-Reset: %s", r.get("Stream-Reset"))
		}
		return
	}
	p := r.problem()
	if r.get("Stream-Reset") != l.reason || p.Reason != l.reason || p.Start != s.where("start") || p.Tail != s.where("tail") || p.Missed == nil || *p.Missed != l.missed {
		s.t.Errorf("got %s and %s, want %s, missed %d, with the start and the tail", r.get("Stream-Reset"), r.body, l.reason, l.missed)
	}
}

// checkEvent checks a reset event.
func (l *lost) checkEvent(s *site, name string, e event) {
	s.t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(e.data), &p); err != nil || p.Reason != l.reason || p.Missed == nil || *p.Missed != l.missed ||
		p.Start != s.where("start") || p.Tail != s.where("tail") || e.id != s.where(l.next) {
		s.t.Errorf("%s: got %+v, want %s, missed %d, going on at the %s", name, e, l.reason, l.missed, l.next)
	}
}

// Who waits when the channel is deleted is told so, on each transport, also if
// it is made anew at once.
func TestDeletedWhileWaiting(t *testing.T) {
	for name, after := range map[string]func(s *site){
		"deleted":     func(*site) {},
		"made anew":   func(s *site) { s.letters(2) },
		"still forks": nil,
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, m mode) {
				s := resetSite(t, m)
				tail := s.letters(2)[2]
				if after == nil {
					s.must("PUT", "stream/fork", "", "Stream-Forked-From", "/v1/stream/c")
				}
				answer := make(chan reply)
				go func() {
					r, err := s.try("GET", "stream/c?live=long-poll&offset="+tail, "")
					if err != nil {
						t.Error(err)
					}
					answer <- r
				}()
				f := s.follow("c", "offset="+tail, "Accept", "text/event-stream")
				g := s.follow("c", "offset="+tail, "Accept", "*/*")
				f.say(s, "control")
				g.say(s, "control")
				s.settle("c", 3)
				s.must("DELETE", "stream/c", "")
				if after != nil {
					after(s)
				}
				r := <-answer
				s.expect(r, 410, "reset")
				if p := r.problem(); p.Reason != "deleted" || r.get("Stream-Reset") != "deleted" {
					t.Errorf("the long poll got %s and %v", r.body, r.header)
				}
				for _, f := range []*follower{f, g} {
					if e := f.say(s, "reset"); e.data != `{"reason":"deleted","missed":0}` || e.id != "" {
						t.Errorf("the SSE response got %+v", e)
					}
					f.ends(s)
				}
			}, all...)
		})
	}
}

// Retention that overtakes a reader is told to it, on each transport.
func TestTrimmedPastASlowReader(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{
			Options: httpstream.Options{Rules: twohop.Rules{{Match: "**", Retention: twohop.Retention{Records: keep}}}},
			hub:     hub.Options{PageBytes: 1, TailBytes: 1},
		})
		o := s.letters(1)
		knows := s.slowFollow("offset="+o[0], "Accept: text/event-stream")
		ignores := s.slowFollow("offset="+o[0], "Accept: */*")
		synctest.Wait() // both are stuck in the first write
		for i := 1; i < 10; i++ {
			s.publish("c", "text/plain", string(rune('a'+i)))
		}
		pause(time.Minute)
		if e := knows.say(s, "data"); e.data != "a" {
			t.Errorf("got %+v", e)
		}
		knows.say(s, "control")
		l := lost{reason: "trimmed", next: "start", missed: 6}
		l.checkEvent(s, "a reader that knows resets", knows.say(s, "reset"))
		got := ""
		for len(got) < 3 {
			got += knows.say(s, "data").data
			knows.say(s, "control")
		}
		if got != "hij" {
			t.Errorf("after the reset came %q, want the three that are kept", got)
		}
		ignores.say(s, "data")
		at := ignores.say(s, "control").control().StreamNextOffset
		l.checkEvent(s, "a reader that may not know resets", ignores.say(s, "reset"))
		ignores.ends(s)
		for _, live := range []string{"", "&live=long-poll", "&live=sse"} { // which is told again when it asks again
			r := s.do("GET", "stream/c?offset="+at+live, "")
			s.expect(r, 410, "reset")
			l.check(s, r)
		}
	}, bubble...)
}

// Age drops what a sleeping reader has read already: it is not disturbed.
func TestTrimmedBehindASleepingReader(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{Rules: twohop.Rules{{Match: "**", Retention: twohop.Retention{Age: time.Minute}}}}})
		o := s.letters(3)
		f := s.follow("c", "offset=-1", "Accept", "text/event-stream")
		f.say(s, "data")
		f.say(s, "control")
		pause(2 * time.Minute)
		if got := s.where("start"); got != o[3] {
			t.Fatalf("the start is %s, want %s", got, o[3])
		}
		s.publish("c", "text/plain", "x")
		if e := f.say(s, "data"); e.data != "x" {
			t.Errorf("got %+v", e)
		}
		s.expect(s.read("c", "offset="+o[1]), 410, "reset")
		// The page that was shared before is not served any more.
		s.expect(s.read("c", "offset="+o[0]), 410, "reset")
	}, bubble...)
}

// A reader that missed all there was is told where it stands now.
func TestTrimmedToTheTail(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{
			Options: httpstream.Options{Rules: twohop.Rules{{Match: "**", Retention: twohop.Retention{Age: time.Minute}}}},
			hub:     hub.Options{PageBytes: 1, TailBytes: 1},
		})
		o := s.letters(5)
		f := s.slowFollow("offset="+o[0], "Accept: text/event-stream")
		synctest.Wait()        // it is stuck in the first write
		pause(3 * time.Minute) // less than the response may last
		for e := f.must(s); e.name != "reset"; e = f.must(s) {
		}
		if c := f.say(s, "control").control(); c.StreamNextOffset != o[5] || !c.UpToDate {
			t.Errorf("after the reset came %+v", c)
		}
	}, bubble...)
}
