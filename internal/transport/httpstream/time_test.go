package httpstream_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
	"twohop/internal/transport/httpstream"
)

// A comment comes every 15 s of silence, and only then.
func TestHeartbeats(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{MaxAge: 24 * time.Hour}})
		s.create("c", "text/plain")
		f := s.follow("c", "offset=now")
		if e := f.must(s); e.name != ":" {
			t.Fatalf("the response begins with %+v, want a comment", e)
		}
		f.say(s, "control")
		for range 10 {
			since := time.Now()
			if e := f.must(s); e.name != ":" || time.Since(since) != 15*time.Second {
				t.Fatalf("%+v after %v, want a comment after 15 s", e, time.Since(since))
			}
		}
		pause(10 * time.Second)
		s.publish("c", "text/plain", "x")
		f.say(s, "data")
		f.say(s, "control")
		since := time.Now()
		if e := f.must(s); e.name != ":" || time.Since(since) != 15*time.Second {
			t.Fatalf("%+v after %v, want a comment 15 s after the last event", e, time.Since(since))
		}
	}, bubble...)
}

// Responses end cleanly at random ages between 80 and 120 % of the age set, also
// while records come.
func TestAge(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", "text/plain")
		const readers = 40
		ages := make(chan time.Duration)
		for i := range readers {
			go func() {
				begin := time.Now()
				f, _, err := s.tryFollow("c", "offset=-1")
				if err != nil {
					t.Error(err)
				} else {
					for ; err == nil; _, err = f.next() {
					}
					f.close()
				}
				if !errors.Is(err, io.EOF) {
					t.Errorf("reader %d ended with %v", i, err)
				}
				ages <- time.Since(begin)
			}()
		}
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(777 * time.Millisecond):
					if _, err := s.try("POST", "stream/c", "x", "Content-Type", "text/plain"); err != nil {
						t.Error(err)
					}
				}
			}
		}()
		least, most := time.Hour, time.Duration(0)
		for range readers {
			age := <-ages
			least, most = min(least, age), max(most, age)
		}
		close(stop)
		synctest.Wait()
		if least < 4*time.Minute || most > 6*time.Minute+time.Second || most-least < 30*time.Second {
			t.Errorf("ages from %v to %v, want them spread from 4 to 6 minutes", least, most)
		}
	}, bubble...)
}

func TestLongPollTime(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		tail := s.create("c", "text/plain").next()
		begin := time.Now()
		r := s.read("c", "live=long-poll&offset="+tail)
		if r.status != 204 || time.Since(begin) != 20*time.Second {
			t.Errorf("%d after %v, want 204 after 20 s", r.status, time.Since(begin))
		}
		if r.next() != tail || r.get("Stream-Up-To-Date") != "true" || r.get("Stream-Cursor") == "" || r.get("Cache-Control") != "no-store" || r.get("Content-Type") != "" {
			t.Errorf("204 with %v", r.header)
		}
		go func() {
			pause(7 * time.Second)
			_, _ = s.try("POST", "stream/c", "x", "Content-Type", "text/plain")
		}()
		begin = time.Now()
		r = s.read("c", "live=long-poll&offset=now")
		if r.status != 200 || r.body != "x" || time.Since(begin) != 7*time.Second {
			t.Errorf("%d %q after %v, want the record after 7 s", r.status, r.body, time.Since(begin))
		}
	}, bubble...)
}

// A wake without news does not make a long poll longer, wherever it falls.
func TestLongPollIsNotProlonged(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		age := 20 * time.Second // of retention: it trims just when the long poll is over
		s := serve(t, m, setup{Options: httpstream.Options{
			Rules: twohop.Rules{{Match: "**", Retention: twohop.Retention{Age: age}}},
		}})
		for range 50 {
			s.create("c", "text/plain")
			s.publish("c", "text/plain", "x")
			begin := time.Now()
			if r := s.read("c", "live=long-poll&offset=now"); r.status != 204 || time.Since(begin) != 20*time.Second {
				t.Fatalf("%d after %v, want 204 after 20 s", r.status, time.Since(begin))
			}
			s.must("DELETE", "stream/c", "")
		}
	}, bubble...)
}

func TestCacheTokens(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		pause(time.Until(time.Date(2026, 1, 1, 0, 0, 5, 0, time.UTC))) // bubbles begin in 2000, tokens later
		s := serve(t, m, setup{})
		s.create("c", "text/plain")
		now := time.Since(time.Date(2024, 10, 9, 0, 0, 0, 0, time.UTC)) / (20 * time.Second)
		token := func(cursor string) (poll, longPoll, sse string) {
			poll = s.read("c", "offset=-1"+cursor).get("Stream-Cursor")
			longPoll = s.read("c", "offset=-1&live=long-poll"+cursor).get("Stream-Cursor")
			f := s.follow("c", "offset=-1"+cursor)
			defer f.close()
			f.say(s, "data")
			return poll, longPoll, f.say(s, "control").control().StreamCursor
		}
		s.publish("c", "text/plain", "x")
		number := func(i time.Duration) string { return twohop.Offset{Pos: uint64(i)}.String()[17:] }
		pad := func(token string) string { return ("0000000000000000" + token)[len(token):] }
		check := func(cursor string, above time.Duration) {
			t.Helper()
			for range 20 {
				a, b, c := token(cursor)
				for _, got := range []string{a, b, c} {
					if cursor == "" || above < now {
						if pad(got) != number(now) {
							t.Fatalf("%s: token %s, want %d", cursor, got, now)
						}
					} else if pad(got) <= number(above) || pad(got) > number(above+180) {
						t.Fatalf("%s: token %s, want one to 180 more than %d", cursor, got, above)
					}
				}
			}
		}
		check("", 0)
		check("&cursor="+number(now-1), now-1)
		check("&cursor="+number(now), now)
		check("&cursor="+number(now+1000), now+1000)
	}, bubble...)
}

// A channel with a TTL lives as long as someone reads it (DS 5.1), and not much
// longer.
func TestTTLWithLiveReaders(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		for _, name := range []string{"streamed", "polled", "asked", "left"} {
			s.create(name, "text/plain", "Stream-TTL", "3")
		}
		f := s.follow("streamed", "offset=-1")
		begin := time.Now()
		for range 3 {
			if r := s.read("polled", "offset=now&live=long-poll"); r.status != 204 {
				t.Fatalf("the long poll got %d %s after %v", r.status, r.body, time.Since(begin))
			}
		}
		s.expect(s.do("HEAD", "stream/streamed", ""), 200, "")
		s.expect(s.do("HEAD", "stream/left", ""), 404, "")
		f.close()
		synctest.Wait()
		pause(2900 * time.Millisecond)
		s.expect(s.read("streamed", "offset=-1"), 200, "")
		pause(4 * time.Second)
		s.expect(s.read("streamed", "offset=-1"), 404, "not_found")
		s.expect(s.read("polled", "offset=-1"), 404, "not_found")
	}, bubble...)
}

// Polls renew a TTL, HEAD does not, and an expired channel is gone at once.
func TestTTL(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("polled", "text/plain", "Stream-TTL", "3")
		s.create("headed", "text/plain", "Stream-TTL", "3")
		s.create("until", "text/plain", "Stream-Expires-At", time.Now().Add(5*time.Second).Format(time.RFC3339Nano))
		for range 4 {
			pause(time.Second)
			s.expect(s.read("polled", "offset=-1"), 200, "")
			s.expect(s.read("until", "offset=-1"), 200, "")
			s.do("HEAD", "stream/headed", "")
		}
		s.expect(s.read("headed", "offset=-1"), 404, "not_found")
		s.expect(s.do("POST", "stream/headed", "x", "Content-Type", "text/plain"), 404, "not_found")
		if r := s.do("HEAD", "stream/polled", ""); r.get("Stream-TTL") != "3" {
			t.Errorf("HEAD tells %v", r.header)
		}
		pause(time.Second)
		s.expect(s.read("until", "offset=-1"), 404, "not_found")
		s.expect(s.do("PUT", "stream/zero", "", "Stream-TTL", "0"), 201, "")
		pause(time.Nanosecond)
		s.expect(s.read("zero", "offset=-1"), 404, "not_found")
	}, bubble...)
}

// A drain ends what is live and what begins afterwards, cleanly and at once.
func TestDrain(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", "text/plain")
		o := s.publish("c", "text/plain", "x").next()
		f := s.follow("c", "offset=-1")
		f.say(s, "data")
		f.say(s, "control")
		answer := make(chan reply)
		go func() {
			r, err := s.try("GET", "stream/c?live=long-poll&offset=now", "")
			if err != nil {
				t.Error(err)
			}
			answer <- r
		}()
		s.settle("c", 2)
		begin := time.Now()
		s.handler.Drain()
		s.handler.Drain()
		f.ends(s)
		if r := <-answer; r.status != 204 || r.next() != o {
			t.Errorf("the long poll got %d %v", r.status, r.header)
		}
		f = s.follow("c", "offset=-1") // is told what there is, and where it stands
		if e := f.say(s, "data"); e.data != "x" || e.id != o {
			t.Errorf("got %+v", e)
		}
		f.say(s, "control")
		f.ends(s)
		s.expect(s.read("c", "live=long-poll&offset=now"), 204, "")
		s.expect(s.read("c", "live=long-poll&offset=-1"), 200, "")
		s.expect(s.read("c", "offset=-1"), 200, "")
		s.publish("c", "text/plain", "y")
		if m.Virtual && time.Since(begin) != 0 {
			t.Errorf("it took %v", time.Since(begin))
		}
	}, all...)
}
