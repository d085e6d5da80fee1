package httpstream_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"twohop/internal/hub"
)

// kinds are the kinds of channels, and a record of each.
var kinds = []struct {
	name, contentType string
	json              bool
	record            func(i int) string
}{
	{"json", "application/json", true, func(i int) string { return fmt.Sprintf(`{"n":%d}`, i) }},
	{"text", "text/plain; charset=utf-8", false, func(i int) string { return fmt.Sprintf("line %d \n", i) }},
	{"binary", "image/png", false, func(i int) string { return string([]byte{0, 0xff, byte(i), '\r', '\n'}) }},
}

// Every place to begin, on every transport and kind of channel, with pages that
// hold all, few and single records, before and after the closure.
func TestReadFrom(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		for _, page := range []int{1, 25, 1 << 20} {
			s := serve(t, m, setup{hub: hub.Options{PageBytes: page}})
			for _, k := range kinds {
				offsets := s.fill(k.name, k.contentType, k.record, 5)
				from := map[string]int{ // and the number of records that are passed over
					"":          0,
					"offset=-1": 0,
					"offset=0000000000000000_0000000000000000": 0,
					"offset=" + offsets[0]:                     0,
					"offset=" + offsets[2]:                     2,
					"offset=" + offsets[5]:                     5,
					"offset=now":                               5,
					"tail_records=0":                           5,
					"tail_records=2":                           3,
					"tail_records=1000000":                     0,
					"since=1991-01-01T00:00:00Z":               0,
					"since=0":                                  0,
					"since=32503680000000":                     5,
					"since=2999-12-31T23:59:59.5%2B02:00":      5,
					"offset=-1&utm_source=x&utm_source":        0,
				}
				s.closeChannel(k.name)
				for query, passed := range from {
					var want strings.Builder
					for i := passed; i < 5; i++ {
						want.WriteString(k.record(i) + map[bool]string{true: ","}[k.json])
					}
					for _, w := range ways {
						if query == "" && w.name != "poll" {
							continue
						}
						c := collected{json: k.json}
						err := w.read(s, k.name, query, &c)
						if got := c.data.String(); err != nil || got != want.String() || c.last != offsets[5] {
							t.Errorf("%s %s?%s, pages of %d: got %q up to %s, %v; want %q up to %s",
								w.name, k.name, query, page, got, c.last, err, want.String(), offsets[5])
						}
						if page == 1 && c.pages != 5-passed {
							t.Errorf("%s %s?%s: %d pages of one record, want %d", w.name, k.name, query, c.pages, 5-passed)
						}
					}
				}
			}
		}
	}, all...)
}

// fill creates a channel, publishes n records to it one by one and returns the
// offsets: before the first and after each.
func (s *site) fill(channel, contentType string, record func(int) string, n int) []string {
	s.t.Helper()
	offsets := []string{s.create(channel, contentType).next()}
	for i := range n {
		offsets = append(offsets, s.publish(channel, contentType, record(i)).next())
	}
	return offsets
}

func TestLastEventIDIsStronger(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		o := s.fill("c", "text/plain", func(i int) string { return string(rune('a' + i)) }, 3)
		for _, query := range []string{"", "offset=-1", "offset=now", "offset=" + o[3], "tail_records=1", "since=0"} {
			if got := s.read("c", query, "Last-Event-ID", o[1]).body; got != "bc" {
				t.Errorf("?%s: got %q", query, got)
			}
			f := s.follow("c", query, "Last-Event-ID", o[1])
			if e := f.say(s, "data"); e.data != "bc" {
				t.Errorf("sse ?%s: got %+v", query, e)
			}
		}
		s.expect(s.read("c", "", "Last-Event-ID", "x"), 400, "invalid_offset")
		s.expect(s.read("c", "live=sse", "Last-Event-ID", "x"), 400, "invalid_offset")
		// What this header chose must not be taken for the answer to the URL alone.
		if r := s.read("c", "offset=-1", "Last-Event-ID", o[3]); r.get("Cache-Control") != "no-store" || r.get("ETag") != "" {
			t.Errorf("a cache may keep %v", r.header)
		}
	}, all...)
}

func TestSince(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", "text/plain")
		begin := time.Now()
		for i := range 5 {
			pause(time.Second)
			s.publish("c", "text/plain", string(rune('a'+i)))
		}
		f := func(at time.Time, want string) {
			t.Helper()
			for _, q := range []string{fmt.Sprint(at.UnixMilli()), at.UTC().Format(time.RFC3339Nano)} {
				if got := s.read("c", "since="+q).body; got != want {
					t.Errorf("since=%s: got %q, want %q", q, got, want)
				}
			}
		}
		f(begin, "abcde")
		f(begin.Add(time.Second), "abcde")
		f(begin.Add(time.Second+time.Millisecond), "bcde")
		f(begin.Add(5*time.Second), "e")
		f(begin.Add(6*time.Second), "")
	}, bubble...)
}

func TestEmptyChannel(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		for _, k := range kinds {
			tail := s.create(k.name, k.contentType).next()
			want := ""
			if k.json {
				want = "[]"
			}
			for _, query := range []string{"offset=-1", "offset=now", "offset=" + tail, "tail_records=3", "since=0"} {
				r := s.read(k.name, query)
				if r.status != 200 || r.body != want || r.next() != tail || r.get("Stream-Up-To-Date") != "true" || r.get("Stream-Closed") != "" ||
					r.get("Stream-Start-Offset") != tail || r.get("Content-Type") != k.contentType {
					t.Errorf("%s?%s: got %d %q %v", k.name, query, r.status, r.body, r.header)
				}
				f := s.follow(k.name, query)
				e := f.say(s, "control")
				if c := e.control(); e.id != tail || c.StreamNextOffset != tail || !c.UpToDate || c.StreamClosed || c.StreamCursor == "" {
					t.Errorf("sse %s?%s begins with %+v", k.name, query, e)
				}
				f.close()
			}
		}
	}, all...)
}

// Every transport reads what is there, then what comes, then learns of the
// closure, whenever it began.
func TestReadWhilePublished(t *testing.T) {
	const records = 60
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{hub: hub.Options{PageBytes: 40, TailBytes: 300}})
		for _, k := range kinds {
			s.create(k.name, k.contentType)
			type result struct {
				who string
				c   *collected
				err error
			}
			results, readers := make(chan result), 0
			var want strings.Builder
			for i := range records {
				if i%20 == 10 {
					for _, w := range ways {
						readers++
						go func() {
							r := result{fmt.Sprintf("%s from %d", w.name, i), &collected{json: k.json}, nil}
							r.err = w.read(s, k.name, "offset=-1", r.c)
							results <- r
						}()
					}
				}
				if i%7 == 0 {
					pause(time.Millisecond)
				}
				s.publish(k.name, k.contentType, k.record(i))
				want.WriteString(k.record(i) + map[bool]string{true: ","}[k.json])
			}
			s.closeChannel(k.name)
			for range readers {
				r := <-results
				if got := r.c.data.String(); r.err != nil || got != want.String() {
					t.Errorf("%s, %s: %v, got %q, want %q", k.name, r.who, r.err, got, want.String())
				}
			}
		}
	}, all...)
}

func TestClosureWhileWaiting(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		tail := s.create("c", "text/plain").next()
		answer := make(chan reply)
		go func() {
			r, err := s.try("GET", "stream/c?live=long-poll&offset=now", "")
			if err != nil {
				t.Error(err)
			}
			answer <- r
		}()
		f := s.follow("c", "offset="+tail)
		f.say(s, "control")
		s.settle("c", 2)
		begin := time.Now()
		s.closeChannel("c")
		r := <-answer
		if r.status != 204 || r.get("Stream-Closed") != "true" || r.get("Stream-Up-To-Date") != "true" || r.next() != tail {
			t.Errorf("the long poll got %d %v", r.status, r.header)
		}
		e := f.say(s, "control")
		if c := e.control(); !c.StreamClosed || !c.UpToDate || c.StreamCursor != "" || c.StreamNextOffset != tail {
			t.Errorf("the SSE response ends with %+v", e)
		}
		f.ends(s)
		if m.Virtual && time.Since(begin) != 0 {
			t.Errorf("they waited for %v", time.Since(begin))
		}
		// Who comes later is told at once.
		for _, query := range []string{"offset=now", "offset=" + tail} {
			if r := s.read("c", "live=long-poll&"+query); r.status != 204 || r.get("Stream-Closed") != "true" {
				t.Errorf("a later long poll got %d %v", r.status, r.header)
			}
			f := s.follow("c", query)
			if c := f.say(s, "control").control(); !c.StreamClosed {
				t.Errorf("a later SSE response begins with %+v", c)
			}
			f.ends(s)
		}
	}, all...)
}

// A poll for the tail has no records, however fast they come.
func TestNowIsEmpty(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", "application/json")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 300 {
				if _, err := s.try("POST", "stream/c", `[1,2]`, "Content-Type", "application/json"); err != nil {
					t.Error(err)
				}
			}
		}()
		for open := true; open; {
			select {
			case <-done:
				open = false
			default:
			}
			if r := s.read("c", "offset=now"); r.body != "[]" || r.get("Stream-Up-To-Date") != "true" || r.get("Cache-Control") != "no-store" || r.get("ETag") != "" {
				t.Fatalf("got %q with %v", r.body, r.header)
			}
		}
	}, tcp)
}

func TestSSEBase64OfJSONIsAnArray(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", "application/json")
		s.publish("c", "application/json", `[1,{"a":2}]`)
		f := s.follow("c", "offset=-1&encoding=base64")
		if e := f.say(s, "data"); e.data != "WzEseyJhIjoyfV0=" || f.Header.Get("Stream-SSE-Data-Encoding") != "base64" {
			t.Errorf("got %+v, want [1,{\"a\":2}] as base64", e)
		}
	}, all...)
}

func TestPageHeaders(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{hub: hub.Options{PageBytes: 2}})
		o := s.fill("c", "text/plain", func(i int) string { return strings.Repeat("x", 2) }, 2)
		first := s.read("c", "offset=-1")
		if first.get("Cache-Control") != "public, max-age=60, stale-while-revalidate=300" || first.get("Stream-Up-To-Date") != "" || first.next() != o[1] {
			t.Errorf("the first page has %v", first.header)
		}
		last := s.read("c", "offset="+o[1])
		if last.get("Cache-Control") != "public, max-age=1" || last.get("Stream-Up-To-Date") != "true" || last.next() != o[2] {
			t.Errorf("the last page has %v", last.header)
		}
		// What depends on the moment is not kept, nor is it named by a tag.
		for _, query := range []string{"offset=now", "tail_records=0", "tail_records=2", "live=long-poll&tail_records=1"} {
			if r := s.read("c", query); r.status != 200 || r.get("Cache-Control") != "no-store" || r.get("ETag") != "" {
				t.Errorf("?%s has %v", query, r.header)
			}
		}
		live := s.read("c", "live=long-poll&offset="+o[1])
		if live.get("Cache-Control") != "public, max-age=60, stale-while-revalidate=300" || live.get("Stream-Cursor") == "" || live.get("ETag") == "" {
			t.Errorf("a long poll's page has %v", live.header)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "cross-origin", "Stream-Start-Offset": o[0], "Content-Length": "2",
			"Stream-Extensions": "sse-id, sse-encoding, tail-records, since, records-lines, idempotency-key, if-match, reset, budget, advice, publish, readers, durability, ws, subscribe",
		} {
			if got := live.get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		head := s.do("HEAD", "stream/c", "")
		if head.status != 200 || head.next() != o[2] || head.get("Stream-Start-Offset") != o[0] || head.get("Cache-Control") != "no-store" ||
			head.get("Stream-Durability") != "memory" || head.body != "" {
			t.Errorf("HEAD: %d %v", head.status, head.header)
		}
	}, all...)
}

func TestETag(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", "text/plain")
		empty := s.read("c", "").get("ETag")
		s.publish("c", "text/plain", "a")
		full := s.read("c", "")
		tag := full.get("ETag")
		for _, match := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
			r := s.read("c", "", "If-None-Match", match)
			if r.status != 304 || r.body != "" || r.get("ETag") != tag || r.next() != full.next() || r.get("Cache-Control") == "" {
				t.Errorf("If-None-Match: %s: %d %q %v", match, r.status, r.body, r.header)
			}
		}
		for _, match := range []string{empty, `"x"`, tag[:len(tag)-1], "x, y"} {
			if r := s.read("c", "", "If-None-Match", match); r.status != 200 || r.body != "a" {
				t.Errorf("If-None-Match: %s: %d", match, r.status)
			}
		}
		s.closeChannel("c")
		if r := s.read("c", "", "If-None-Match", tag); r.status != 200 || r.get("Stream-Closed") != "true" {
			t.Errorf("the closure is hidden by %d %v", r.status, r.header)
		}
	}, all...)
}

// All who stand at one offset share a page. Nobody gets a page of another
// offset, another moment or another encoding.
func TestPagesAreShared(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", "application/json")
		encodings := []string{"", "&encoding=base64", "&cursor=1"}
		var followers []*follower
		for i := range 12 {
			f := s.follow("c", "offset=-1"+encodings[i%3])
			f.say(s, "control")
			followers = append(followers, f)
		}
		for n := range 5 {
			synctest.Wait()
			s.publish("c", "application/json", fmt.Sprint(n))
			for _, f := range followers {
				got, err := f.records(f.say(s, "data"), true)
				if err != nil || got != fmt.Sprint(n)+"," {
					t.Fatalf("got %q, %v, want %d", got, err, n)
				}
				f.say(s, "control")
			}
		}
	}, bubble...)
}

// A live reader is given all there is, also where that takes many pages and no
// news comes after it.
func TestManyPagesAndNoNews(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{hub: hub.Options{PageBytes: 10}})
		s.create("c", asText)
		const records = 30
		var followers []*follower
		follow := func(query string) {
			f := s.follow("c", query)
			giveUp := time.AfterFunc(patience, f.close)
			t.Cleanup(func() { giveUp.Stop() })
			followers = append(followers, f)
		}
		want := ""
		all := func(what string) {
			t.Helper()
			for i, f := range followers {
				for got := ""; got != want; {
					e, err := f.next()
					if err != nil {
						t.Fatalf("%s: reader %d has %q: %v", what, i, got, err)
					}
					if e.name == "data" {
						got += e.data
					}
				}
			}
		}
		for range 3 {
			follow("offset=now&budget=1s")
		}
		s.settle("c", 3)
		for i := range 3 { // within the budget, so they are all there when the round begins
			r := fmt.Sprintf("%08d", i)
			s.publish("c", asText, r)
			want += r
		}
		all("one round")
		for i := 3; i < records; i++ {
			r := fmt.Sprintf("%08d", i)
			s.publish("c", asText, r)
			want += r
		}
		followers = nil
		for range 3 {
			follow("offset=-1")
		}
		all("far behind in the tail buffer")
	}, all...)
}

// Of a header that is given twice the first counts, on all paths.
func TestFieldsGivenTwice(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		o := s.letters(3)
		if r := s.read("c", "offset=-1", "Last-Event-ID", o[1], "Last-Event-ID", o[2]); r.body != "bc" {
			t.Errorf("two places to begin at: %d %q", r.status, r.body)
		}
		tag := s.read("c", "offset=-1").get("ETag")
		s.expect(s.read("c", "offset=-1", "If-None-Match", `"x"`, "If-None-Match", tag), 200, "")
		s.expect(s.read("c", "offset=-1", "If-None-Match", tag, "If-None-Match", `"x"`), 304, "")
	}, all...)
}
