package httpstream_test

import (
	"strings"
	"testing"
	"time"

	"twohop/internal/transport/httpstream"
)

// Every read that states a budget is told it, and the transport that meets it.
func TestAdvice(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{LongPoll: 50 * time.Millisecond}})
		s.create("c", asJSON)
		s.publish("c", asJSON, "1")
		tail := s.must("HEAD", "stream/c", "").next()
		for _, c := range []struct{ budget, told, advice, event string }{
			{"", "", "", ""},
			{"0s", "0s", "transport=sse", ""},
			{"1999ms", "1.9s", "transport=sse", ""},
			{"2s", "2s", "transport=poll; interval=1s", `{"transport":"poll","interval":1000}`},
			{"4s", "4s", "transport=poll; interval=3s", `{"transport":"poll","interval":3000}`},
			{"5m", "5m0s", "transport=poll; interval=4m59s", `{"transport":"poll","interval":299000}`},
			{"2s", "2s", "transport=poll; interval=1s", `{"transport":"poll","interval":1000}`}, // not from another's frame
		} {
			more := ""
			if c.budget != "" {
				more = "&budget=" + c.budget
			}
			tag := ""
			for _, read := range []struct {
				query  string
				status int
			}{
				{"offset=-1", 200}, {"offset=-1", 304}, {"offset=now", 200}, {"tail_records=1", 200},
				{"offset=-1&live=long-poll", 200}, {"offset=" + tail + "&live=long-poll", 204},
			} {
				var headers []string
				if read.status == 304 {
					headers = []string{"If-None-Match", tag}
				}
				r := s.read("c", read.query+more, headers...)
				tag = r.get("ETag")
				if r.status != read.status || r.get("Stream-Budget") != c.told || r.get("Stream-Advice") != c.advice {
					t.Errorf("budget %q, %s: status %d, told %q and %q, want %d, %q and %q", c.budget, read.query,
						r.status, r.get("Stream-Budget"), r.get("Stream-Advice"), read.status, c.told, c.advice)
				}
			}
			f := s.follow("c", "offset=-1"+more)
			if f.Header.Get("Stream-Budget") != c.told || f.Header.Get("Stream-Advice") != c.advice {
				t.Errorf("budget %q, SSE: told %q and %q", c.budget, f.Header.Get("Stream-Budget"), f.Header.Get("Stream-Advice"))
			}
			if e := f.must(s); e.name != ":" {
				t.Errorf("an SSE response begins with %+v", e)
			}
			if c.event != "" {
				if e := f.say(s, "advice"); e.data != c.event || e.id != "" {
					t.Errorf("budget %s: the advice is %+v, want %s", c.budget, e, c.event)
				}
			}
			if e := f.must(s); e.name != "data" {
				t.Errorf("budget %q: got %+v, want the data", c.budget, e)
			}
			f.close()
		}
		exposed := s.read("c", "offset=-1", "Origin", "http://localhost:1").get("Access-Control-Expose-Headers")
		for _, name := range []string{"Stream-Budget", "Stream-Advice"} {
			if !strings.Contains(exposed, name) {
				t.Errorf("pages of another origin may see %s, and not %s", exposed, name)
			}
		}
	}, all...)
}
