package httpstream_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"twohop"
	"twohop/internal/transport/httpstream"
)

// result is one element of the answer to POST /v1/publish.
type result struct {
	Channel, Offset, Durability string
	Status                      int
	Readers                     *int
	Duplicate, Closed           bool
	Error                       *problem
}

func (s *site) publishMany(items string) (reply, []result) {
	s.t.Helper()
	r := s.do("POST", "publish", items, "Content-Type", asJSON)
	var results []result
	if r.status < 300 {
		if err := json.Unmarshal([]byte(r.body), &results); err != nil {
			s.t.Errorf("%s: %v", r.body, err)
		}
	}
	return r, results
}

func TestPublishMany(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{Rules: twohop.Rules{{Match: "new/*", Create: true}}}})
		s.create("json", asJSON)
		s.create("text", asText)
		tail := s.create("raw", "application/octet-stream").next()
		f := s.follow("text", "offset=now")
		f.say(s, "control")
		s.settle("text", 1)
		r, results := s.publishMany(`[
			{"channel":"json","records":[{"a":1},2]},
			{"channel":"text","text":"hello\n","contentType":"text/plain","idempotencyKey":"k"},
			{"channel":"raw","base64":"AAEC","ifMatch":"` + tail + `","records":null,"text":null},
			{"channel":"json","records":[3],"producer":{"id":"p","epoch":0,"seq":0}},
			{"channel":"text","text":"again","idempotencyKey":"k"},
			{"channel":"new/a","text":"x"},
			{"channel":"new/b","records":[1]},
			{"channel":"raw","close":true}]`)
		if r.status != 200 || len(results) != 8 || r.get("Content-Type") != asJSON {
			t.Fatalf("%d %s", r.status, r.body)
		}
		for i, channel := range []string{"json", "text", "raw", "json", "text", "new/a", "new/b", "raw"} {
			x := results[i]
			readers := 0
			if channel == "text" {
				readers = 1
			}
			if x.Channel != channel || x.Status != 204 || x.Offset == "" || x.Durability != "memory" || x.Error != nil || x.Readers == nil || *x.Readers != readers ||
				x.Duplicate != (i == 4) || x.Closed != (i == 7) {
				t.Errorf("item %d: %+v", i, x)
			}
		}
		if results[1].Offset != results[4].Offset {
			t.Error("a duplicate got another offset than the first")
		}
		for channel, want := range map[string]string{"json": `[{"a":1},2,3]`, "text": "hello\n", "raw": "\x00\x01\x02", "new/a": "x", "new/b": "[1]"} {
			if got := s.read(channel, "").body; got != want {
				t.Errorf("%s keeps %q, want %q", channel, got, want)
			}
		}
	}, all...)
}

// Each item that is refused says why, and the others are carried out.
func TestPublishManyRefusals(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{Rules: twohop.Rules{{Match: "new/*", Create: true}}}})
		s.create("json", asJSON)
		s.create("text", asText)
		s.create("closed", asText, "Stream-Closed", "true")
		for item, want := range map[string]struct {
			status int
			code   string
		}{
			`{"channel":"none","text":"x"}`:                                                     {404, "not_found"},
			`{"channel":"text","text":"x","contentType":"text/html"}`:                           {409, "content_type_mismatch"},
			`{"channel":"json","text":"x"}`:                                                     {409, "content_type_mismatch"},
			`{"channel":"json","base64":"AAEC"}`:                                                {409, "content_type_mismatch"},
			`{"channel":"json","text":"x","contentType":"application/json"}`:                    {400, "invalid_request"},
			`{"channel":"text","records":[1]}`:                                                  {409, "content_type_mismatch"},
			`{"channel":"closed","text":"x"}`:                                                   {409, "closed"},
			`{"channel":"text","text":"x","ifMatch":"0000000000000001_0000000000000001"}`:       {412, "tail_moved"},
			`{"channel":"text","text":"x","ifMatch":"x"}`:                                       {400, "invalid_offset"},
			`{"channel":"text","text":"x","producer":{"id":"p","epoch":0,"seq":7}}`:             {409, "producer_seq_gap"},
			`{"channel":"text","text":"x","producer":{"id":"","epoch":0,"seq":0}}`:              {400, "invalid_request"},
			`{"channel":"text","text":"x","producer":{"id":"p","epoch":-1,"seq":0}}`:            {400, "invalid_request"},
			`{"channel":"text","text":"x","producer":{"id":"p","epoch":0,"seq":1e99}}`:          {400, "invalid_request"},
			`{"channel":"text","text":"x","producer":{"id":"p","epoch":9007199254740992}}`:      {400, "invalid_request"},
			`{"channel":"text","text":"x","base64":"AAEC"}`:                                     {400, "invalid_request"},
			`{"channel":"text","text":"x","text":"y"}`:                                          {400, "invalid_request"},
			`{"text":"x","channel":"text","text":"y"}`:                                          {400, "invalid_request"},
			`{"channel":"text","text":null,"records":null}`:                                     {400, "invalid_request"},
			`{"Channel":"text","text":"x"}`:                                                     {400, "invalid_name"},
			`{"channel":"text"}`:                                                                {400, "invalid_request"},
			`{"channel":"text","text":""}`:                                                      {400, "invalid_request"},
			`{"channel":"text","text":5}`:                                                       {400, "invalid_request"},
			`{"channel":"text","base64":"A"}`:                                                   {400, "invalid_request"},
			`{"channel":"json","records":{}}`:                                                   {400, "invalid_request"},
			`{"channel":"json","records":[]}`:                                                   {400, "invalid_request"},
			`{"channel":"new/a","text":"x","contentType":"no media type"}`:                      {400, "invalid_content_type"},
			`{"channel":"text","text":"x","idempotencyKey":"` + strings.Repeat("k", 256) + `"}`: {400, "invalid_request"},
			`{"channel":"a//b","text":"x"}`:                                                     {400, "invalid_name"},
			`{"channel":"` + strings.Repeat("n", 300) + `","text":"x"}`:                         {400, "invalid_name"},
			`{"channel":"$sys/x","text":"x"}`:                                                   {403, "reserved_channel"},
			`{"channel":"__ds/x","text":"x"}`:                                                   {403, "reserved_channel"},
			`{"text":"x"}`:                                                                      {400, "invalid_name"},
			`{"channel":7,"text":"x"}`:                                                          {400, "invalid_request"},
			`null`:                                                                              {400, "invalid_request"},
			`"text"`:                                                                            {400, "invalid_request"},
			`[]`:                                                                                {400, "invalid_request"},
		} {
			r, results := s.publishMany(`[{"channel":"text","text":"a"},` + item + `,{"channel":"text","text":"b"}]`)
			if r.status != 207 || len(results) != 3 || results[0].Status != 204 || results[2].Status != 204 {
				t.Fatalf("%s: %d %s", item, r.status, r.body)
			}
			x := results[1]
			if x.Status != want.status || x.Error == nil || x.Error.Code != want.code || x.Error.Message == "" || x.Error.Hint == "" ||
				strings.Contains(r.body, "httpstream") || strings.Contains(r.body, "Go ") {
				t.Errorf("%s: got %s, want %d %s", item, r.body, want.status, want.code)
			}
			if named := strings.Contains(item, `"channel":"text"`); named != (x.Channel == "text") {
				t.Errorf("%s: the answer is of channel %q", item, x.Channel)
			}
			if moved := want.code == "tail_moved" || want.code == "closed"; moved != (x.Offset != "") {
				t.Errorf("%s: the offset is %q", item, x.Offset)
			}
		}
		if got := s.read("text", "").body; strings.Trim(got, "ab") != "" {
			t.Errorf("kept %q", got)
		}
		if got := s.read("json", "").body; got != "[]" {
			t.Errorf("kept %q", got)
		}
		s.expect(s.do("HEAD", "stream/new/a", ""), 404, "")
	}, all...)
}

func TestPublishManyLimits(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{PublishItems: 10, BodyBytes: 1000}})
		s.create("c", asText)
		items := func(n int) string {
			return "[" + strings.TrimSuffix(strings.Repeat(`{"channel":"c","text":"x"},`, n), ",") + "]"
		}
		r, results := s.publishMany(items(10))
		if r.status != 200 || len(results) != 10 {
			t.Errorf("ten: %d %s", r.status, r.body)
		}
		f := func(body, contentType string, status int, code string) {
			t.Helper()
			s.expect(s.do("POST", "publish", body, "Content-Type", contentType), status, code)
		}
		f(items(11), asJSON, 413, "too_large")
		f("["+strings.Repeat(" ", 1000)+"]", asJSON, 413, "too_large")
		f(items(1), asText, 400, "invalid_content_type")
		f("", asJSON, 400, "invalid_json")
		f("[", asJSON, 400, "invalid_json")
		f(`{"channel":"c","text":"x"}`, asJSON, 400, "invalid_request")
		f(`5`, asJSON, 400, "invalid_request")
		if r, results := s.publishMany("[]"); r.status != 200 || len(results) != 0 || strings.TrimSpace(r.body) != "[]" {
			t.Errorf("none: %d %s", r.status, r.body)
		}
		r = s.do("GET", "publish", "")
		s.expect(r, 405, "method_not_allowed")
		if r.get("Allow") != "POST, OPTIONS" {
			t.Errorf("Allow: %s", r.get("Allow"))
		}
		if got := s.read("c", "").body; got != strings.Repeat("x", 10) {
			t.Errorf("kept %q", got)
		}
	}, all...)
}

// Items of one channel keep their order, whatever stands between them.
func TestPublishManyOrder(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("a", asText)
		s.create("b", asText)
		var b strings.Builder
		var want strings.Builder
		for i := range 300 {
			fmt.Fprintf(&b, `,{"channel":"%c","text":"%d,"}`, 'a'+i%2, i/2)
			if i%2 == 0 {
				fmt.Fprintf(&want, "%d,", i/2)
			}
		}
		if r, _ := s.publishMany("[" + b.String()[1:] + "]"); r.status != 200 {
			t.Fatal(r.body)
		}
		for _, channel := range []string{"a", "b"} {
			if got := s.read(channel, "").body; got != want.String() {
				t.Errorf("%s keeps %s", channel, got)
			}
		}
	}, all...)
}
