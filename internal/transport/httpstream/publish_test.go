package httpstream_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"twohop"
	"twohop/internal/transport/httpstream"
)

const (
	asText = "text/plain"
	asJSON = "application/json"
)

func (s *site) post(channel, contentType, body string, headers ...string) reply {
	s.t.Helper()
	return s.do("POST", "stream/"+channel, body, append(headers, "Content-Type", contentType)...)
}

func TestPublish(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		start := s.create("c", asJSON).next()
		r := s.post("c", asJSON, `[1,{"a":[2]}]`)
		if r.status != 204 || r.body != "" || r.next() <= start || r.get("Stream-Durability") != "memory" || r.get("Stream-Readers") != "0" ||
			r.get("Stream-Duplicate") != "" || r.get("Stream-Closed") != "" {
			t.Errorf("got %d %v", r.status, r.header)
		}
		// One value is one record, an array of arrays is many.
		s.post("c", "application/JSON; charset=utf-8", `{"b":3}`)
		s.post("c", asJSON, `[[4],[5]]`)
		if got := s.read("c", "offset=-1").body; got != `[1,{"a":[2]},{"b":3},[4],[5]]` {
			t.Errorf("kept %s", got)
		}
		if got := s.read("c", "tail_records=2").body; got != `[[4],[5]]` {
			t.Errorf("the last two are %s", got)
		}
		// The offset is the one of the publish, which readers see behind it.
		if got := s.read("c", "offset="+r.next()).body; got != `[{"b":3},[4],[5]]` {
			t.Errorf("after the first publish comes %s", got)
		}
	}, all...)
}

func TestReadersCount(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		var followers []*follower
		for range 3 {
			f := s.follow("c", "offset=now")
			f.say(s, "control")
			followers = append(followers, f)
		}
		answer := make(chan reply)
		go func() {
			r, err := s.try("GET", "stream/c?live=long-poll&offset=now", "")
			if err != nil {
				t.Error(err)
			}
			answer <- r
		}()
		s.settle("c", 4)
		s.post("c", asText, "x") // it may find the long poll answered already
		<-answer
		s.settle("c", 3)
		if got := s.post("c", asText, "x").get("Stream-Readers"); got != "3" {
			t.Errorf("%s readers, want 3", got)
		}
		followers[0].close()
		s.settle("c", 2)
		if got := s.post("c", asText, "x").get("Stream-Readers"); got != "2" {
			t.Errorf("%s readers, want 2", got)
		}
	}, all...)
}

func TestLines(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		s.post("c", asText, "a\nb\r\n\nlast", "Stream-Records", "lines")
		for n, want := range []string{"", "last", "\nlast", "b\r\n\nlast", "a\nb\r\n\nlast"} {
			if got := s.read("c", fmt.Sprintf("tail_records=%d", n)).body; got != want {
				t.Errorf("the last %d: %q, want %q", n, got, want)
			}
		}
		s.expect(s.post("c", asText, "a", "Stream-Records", "words"), 400, "invalid_header")
		s.expect(s.post("c", asText, "a", "Stream-Records", "lines", "Stream-Records", "lines"), 400, "invalid_header")
	}, all...)
}

func TestIdempotencyKey(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		s.create("d", asText)
		first := s.post("c", asText, "a", "Idempotency-Key", "k")
		s.post("c", asText, "b")
		again := s.post("c", asText, "other", "Idempotency-Key", "k")
		if first.status != 204 || again.status != 204 || again.next() != first.next() || again.get("Stream-Duplicate") != "true" {
			t.Errorf("first %d %v, again %d %v", first.status, first.header, again.status, again.header)
		}
		if r := s.post("d", asText, "d", "Idempotency-Key", "k"); r.get("Stream-Duplicate") != "" {
			t.Error("the key of one channel holds for another")
		}
		s.closeChannel("c")
		if r := s.post("c", asText, "a", "Idempotency-Key", "k"); r.status != 204 || r.get("Stream-Duplicate") != "true" || r.get("Stream-Closed") != "true" {
			t.Errorf("after the closure: %d %v", r.status, r.header)
		}
		if got := s.read("c", "").body; got != "ab" {
			t.Errorf("kept %q", got)
		}
		long := strings.Repeat("k", 256)
		s.expect(s.post("d", asText, "x", "Idempotency-Key", long), 400, "invalid_header")
		s.expect(s.post("d", asText, "x", "Idempotency-Key", ""), 400, "invalid_header")
		s.expect(s.post("d", asText, "x", "Idempotency-Key", "a", "Idempotency-Key", "b"), 400, "invalid_header")
		s.expect(s.post("d", asText, "x", "Idempotency-Key", long[:255]), 204, "")
	}, all...)
}

func TestIdempotencyWindow(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		s.post("c", asText, "a", "Idempotency-Key", "k")
		pause(5*time.Minute - time.Second)
		if r := s.post("c", asText, "a", "Idempotency-Key", "k"); r.get("Stream-Duplicate") != "true" {
			t.Error("the key is forgotten within its window")
		}
		pause(2 * time.Second)
		if r := s.post("c", asText, "a", "Idempotency-Key", "k"); r.get("Stream-Duplicate") != "" {
			t.Error("the key is known after its window")
		}
	}, bubble...)
}

func TestIfMatch(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		tail := s.create("c", asText).next()
		for _, form := range []string{`"%s"`, `%s`, ` "%s" `} {
			r := s.post("c", asText, "x", "If-Match", fmt.Sprintf(form, tail))
			s.expect(r, 204, "")
			tail = r.next()
		}
		moved := s.post("c", asText, "y").next()
		r := s.post("c", asText, "x", "If-Match", tail)
		s.expect(r, 412, "tail_moved")
		if r.next() != moved {
			t.Errorf("the tail is %s, told is %s", moved, r.next())
		}
		for _, bad := range []string{"*", `W/"` + moved + `"`, "", `"x"`, moved + "," + moved} {
			s.expect(s.post("c", asText, "x", "If-Match", bad), 400, "invalid_header")
		}
		s.expect(s.post("c", asText, "x", "If-Match", moved, "If-Match", moved), 400, "invalid_header")
		if got := s.read("c", "").body; got != "xxxy" {
			t.Errorf("kept %q", got)
		}
	}, all...)
}

// A condition of an item that is there but says nothing refuses the item: it
// would be carried out without.
func TestEmptyConditionsOfItems(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		for members, code := range map[string]string{
			`"ifMatch":""`:                                    "invalid_offset",
			`"ifMatch":"\"\""`:                                "invalid_offset",
			`"ifMatch":"-1"`:                                  "invalid_offset",
			`"idempotencyKey":""`:                             "invalid_request",
			`"producer":{}`:                                   "invalid_request",
			`"producer":{"id":"p"}`:                           "invalid_request",
			`"producer":{"id":"p","epoch":0}`:                 "invalid_request",
			`"producer":{"id":"p","seq":0}`:                   "invalid_request",
			`"producer":{"epoch":0,"seq":0}`:                  "invalid_request",
			`"producer":{"id":"p","epoch":null,"seq":0}`:      "invalid_request",
			`"producer":{"id":"p","epoch":0,"seq":0,"ifx":1}`: "",
			`"ifMatch":null,"idempotencyKey":null`:            "",
			`"producer":null`:                                 "",
		} {
			_, results := s.publishMany(`[{"channel":"c","text":"x",` + members + `}]`)
			if len(results) != 1 {
				t.Fatalf("%s: %d results", members, len(results))
			}
			switch e := results[0].Error; {
			case code == "" && (e != nil || results[0].Duplicate):
				t.Errorf("%s: %+v %+v", members, results[0], e)
			case code != "" && (e == nil || e.Code != code || e.Hint == ""):
				t.Errorf("%s: got %+v, want %s", members, e, code)
			}
		}
		if got := s.read("c", "").body; got != "xxx" {
			t.Errorf("kept %q", got)
		}
	}, all...)
}

// One of many that try for the same tail wins.
func TestIfMatchHasOneWinner(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		tail := s.create("c", asText).next()
		for range 5 {
			answers := make(chan reply)
			for i := range 8 {
				go func() {
					r, err := s.try("POST", "stream/c", fmt.Sprint(i), "Content-Type", asText, "If-Match", tail)
					if err != nil {
						t.Error(err)
					}
					answers <- r
				}()
			}
			winners, next := 0, tail
			for range 8 {
				switch r := <-answers; r.status {
				case 204:
					winners++
					next = r.next()
				case 412:
				default:
					t.Errorf("status %d", r.status)
				}
			}
			if winners != 1 {
				t.Fatalf("%d winners", winners)
			}
			tail = next
		}
	}, all...)
}

func producer(id string, epoch, seq uint64) []string {
	return []string{"Producer-Id", id, "Producer-Epoch", fmt.Sprint(epoch), "Producer-Seq", fmt.Sprint(seq)}
}

func TestProducers(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		var offsets []string
		for i := range 8 {
			r := s.post("c", asText, fmt.Sprint(i), producer("p", 3, uint64(i))...)
			if r.status != 200 || r.get("Producer-Epoch") != "3" || r.get("Producer-Seq") != fmt.Sprint(i) {
				t.Errorf("number %d: %d %v", i, r.status, r.header)
			}
			offsets = append(offsets, r.next())
		}
		for i := range 8 { // of the last five the offsets are known
			r := s.post("c", asText, "again", producer("p", 3, uint64(i))...)
			want := ""
			if i >= 3 {
				want = offsets[i]
			}
			if r.status != 204 || r.get("Stream-Duplicate") != "true" || r.next() != want || r.get("Producer-Seq") != "7" {
				t.Errorf("number %d again: %d %v", i, r.status, r.header)
			}
		}
		r := s.post("c", asText, "x", producer("p", 3, 9)...)
		s.expect(r, 409, "producer_seq_gap")
		if r.get("Producer-Expected-Seq") != "8" || r.get("Producer-Received-Seq") != "9" {
			t.Errorf("a gap is told as %v", r.header)
		}
		r = s.post("c", asText, "x", producer("p", 2, 0)...)
		s.expect(r, 403, "stale_producer_epoch")
		if r.get("Producer-Epoch") != "3" {
			t.Errorf("a stale epoch is told as %v", r.header)
		}
		s.expect(s.post("c", asText, "x", producer("p", 4, 1)...), 400, "producer_must_start_at_zero")
		s.expect(s.post("c", asText, "x", producer("q", 0, 5)...), 409, "producer_seq_gap")
		s.expect(s.post("c", asText, "y", producer("p", 4, 0)...), 200, "")
		if got := s.read("c", "").body; got != "01234567y" {
			t.Errorf("kept %q", got)
		}
		last := append(producer("p", 4, 1), "Stream-Closed", "true")
		s.expect(s.post("c", asText, "z", last...), 200, "")
		if r := s.post("c", asText, "z", last...); r.status != 204 || r.get("Stream-Closed") != "true" || r.get("Stream-Duplicate") != "true" {
			t.Errorf("closing again: %d %v", r.status, r.header)
		}
		s.expect(s.post("c", asText, "z", producer("p", 4, 2)...), 409, "closed")
	}, all...)
}

func TestStreamSeq(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		s.expect(s.post("c", asText, "a", "Stream-Seq", "09"), 204, "")
		s.expect(s.post("c", asText, "b", "Stream-Seq", "10"), 204, "")
		for _, seq := range []string{"10", "09", "1"} {
			s.expect(s.post("c", asText, "c", "Stream-Seq", seq), 409, "seq_regression")
		}
		s.expect(s.post("c", asText, "c", "Stream-Seq", "9"), 204, "") // bytes, not numbers
		s.expect(s.post("c", asText, "c", "Stream-Seq", "a", "Stream-Seq", "b"), 400, "invalid_header")
		if got := s.read("c", "").body; got != "abc" {
			t.Errorf("kept %q", got)
		}
	}, all...)
}

// Where several conditions fail, the first of PROTOCOL.md's list answers.
func TestOrderOfConditions(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		for _, name := range []string{"open", "closed"} {
			s.create(name, asText)
			s.post(name, asText, "a", append(producer("p", 5, 0), "Stream-Seq", "5", "Idempotency-Key", "k")...)
		}
		s.closeChannel("closed")
		tail := s.do("HEAD", "stream/closed", "").next()
		rest := []string{"Stream-Seq", "1", "If-Match", "0000000000000001_0000000000000009"}
		f := func(status int, code, channel, contentType string, headers ...string) {
			t.Helper()
			r := s.post(channel, contentType, "1", append(headers, rest...)...)
			s.expect(r, status, code)
			if code == "closed" && (r.get("Stream-Closed") != "true" || r.next() != tail) {
				t.Errorf("the closure is told as %v", r.header)
			}
		}
		f(403, "stale_producer_epoch", "closed", asJSON, append(producer("p", 4, 0), "Idempotency-Key", "k")...)
		f(204, "", "closed", asJSON, append(producer("p", 5, 1), "Idempotency-Key", "k")...)
		f(409, "closed", "closed", asJSON, producer("p", 5, 9)...)
		f(409, "content_type_mismatch", "open", asJSON, producer("p", 5, 9)...)
		f(409, "producer_seq_gap", "open", asText, producer("p", 5, 9)...)
		f(409, "seq_regression", "open", asText)
		rest = rest[2:]
		f(412, "tail_moved", "open", asText)
		// Bad JSON for a channel that would not take good JSON is not the trouble.
		s.expect(s.post("open", asJSON, "{"), 409, "content_type_mismatch")
		s.expect(s.post("closed", asJSON, "{"), 409, "closed")
		s.expect(s.post("none", asJSON, "{"), 404, "not_found")
	}, all...)
}

func TestClose(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		r := s.do("POST", "stream/c", "", "Stream-Closed", "true", "Content-Type", "no media type")
		if r.status != 204 || r.get("Stream-Closed") != "true" || r.next() == "" {
			t.Errorf("closing: %d %v", r.status, r.header)
		}
		s.expect(s.do("POST", "stream/c", "", "Stream-Closed", "TRUE"), 204, "")
		r = s.post("c", asText, "x", "Stream-Closed", "true")
		s.expect(r, 409, "closed")
		s.create("d", asText)
		if r := s.post("d", asText, "last", "Stream-Closed", "true"); r.status != 204 || r.get("Stream-Closed") != "true" {
			t.Errorf("the last records: %d %v", r.status, r.header)
		}
		if r := s.read("d", "offset=-1"); r.body != "last" || r.get("Stream-Closed") != "true" {
			t.Errorf("read %q %v", r.body, r.header)
		}
		if r := s.do("HEAD", "stream/d", ""); r.get("Stream-Closed") != "true" {
			t.Errorf("HEAD tells %v", r.header)
		}
	}, all...)
}

func TestCreateOnPublish(t *testing.T) {
	rules := twohop.Rules{
		{Match: "json/*", Create: true, ContentType: asJSON, TTL: time.Hour},
		{Match: "any/**", Create: true},
		{Match: "never/*", ContentType: asJSON},
	}
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{Rules: rules}})
		s.expect(s.post("never/a", asJSON, "1"), 404, "not_found")
		s.expect(s.post("none", asJSON, "1"), 404, "not_found")

		s.expect(s.post("any/a/b", "text/csv", "x"), 204, "")
		if r := s.do("HEAD", "stream/any/a/b", ""); r.get("Content-Type") != "text/csv" || r.get("Stream-TTL") != "" {
			t.Errorf("made by a rule without a type: %v", r.header)
		}
		s.expect(s.post("json/a", asJSON, "[1]"), 204, "")
		if r := s.do("HEAD", "stream/json/a", ""); r.get("Content-Type") != asJSON || r.get("Stream-TTL") != "3600" {
			t.Errorf("made by a rule with a type and a TTL: %v", r.header)
		}
		// What is refused makes no channel.
		for name, r := range map[string]reply{
			"json/text":   s.post("json/text", asText, "x"),
			"json/bad":    s.post("json/bad", asJSON, "{"),
			"json/moved":  s.post("json/moved", asJSON, "1", "If-Match", "0000000000000001_0000000000000001"),
			"json/seq":    s.post("json/seq", asJSON, "1", producer("p", 0, 1)...),
			"any/empty":   s.post("any/empty", asText, ""),
			"any/no-type": s.do("POST", "stream/any/no-type", "x"),
		} {
			if r.status < 400 {
				t.Errorf("%s: status %d", name, r.status)
			}
			s.expect(s.do("HEAD", "stream/"+name, ""), 404, "")
		}
		// Nothing is known of the type of nothing.
		s.expect(s.do("POST", "stream/any/closed", "", "Stream-Closed", "true", "Content-Type", "no media type"), 204, "")
		if r := s.do("HEAD", "stream/any/closed", ""); r.get("Content-Type") != "application/octet-stream" || r.get("Stream-Closed") != "true" {
			t.Errorf("made by its closure: %v", r.header)
		}
		s.expect(s.post("any/zero", asText, "x", "If-Match", "0000000000000000_0000000000000000"), 204, "")
		s.expect(s.post("any/zero", asText, "x", "If-Match", "0000000000000000_0000000000000000"), 412, "tail_moved")
	}, all...)
}

func TestPut(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		r := s.do("PUT", "stream/a%2Fb", `[1,2]`, "Content-Type", asJSON)
		if r.status != 201 || r.get("Location") != s.Base+"/v1/stream/a%2Fb" || r.get("Content-Type") != asJSON || r.next() == "" || r.get("Stream-Durability") != "memory" {
			t.Errorf("created: %d %v", r.status, r.header)
		}
		if again := s.do("PUT", "stream/a/b", "", "Content-Type", asJSON); again.status != 200 || again.next() != r.next() || again.get("Location") != "" {
			t.Errorf("again: %d %v", again.status, again.header)
		}
		s.expect(s.do("PUT", "stream/a/b", "", "Content-Type", asText), 409, "exists")
		s.expect(s.do("PUT", "stream/a/b", "", "Content-Type", asJSON, "Stream-TTL", "5"), 409, "exists")
		s.expect(s.do("PUT", "stream/a/b", "", "Content-Type", asJSON, "Stream-Closed", "true"), 409, "exists")
		if r := s.do("PUT", "stream/done", "x", "Content-Type", asText, "Stream-Closed", "true"); r.status != 201 || r.get("Stream-Closed") != "true" {
			t.Errorf("created closed: %d %v", r.status, r.header)
		}
		s.expect(s.post("done", asText, "x"), 409, "closed")
		if r := s.do("PUT", "stream/plain", ""); r.get("Content-Type") != "application/octet-stream" {
			t.Errorf("without a type: %v", r.header)
		}
		s.expect(s.do("DELETE", "stream/a/b", ""), 204, "")
		s.expect(s.do("DELETE", "stream/a/b", ""), 404, "not_found")
	}, all...)
}
