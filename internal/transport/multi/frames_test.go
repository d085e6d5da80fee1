package multi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"twohop"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/transport/multi"
)

// A frame that cannot be carried out is answered by its code, with its id, and
// changes nothing.
func TestRefusedFrames(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{Channels: 4, Rules: twohop.Rules{{Match: "made/*", Create: true}}}})
		s.create("c", asJSON)
		s.create("closed", asJSON)
		s.closeChannel("closed")
		k := s.connect()
		k.send(`{"type":"subscribe","id":"a","channel":"c"}`)
		k.say("subscribed")
		for text, code := range map[string]string{
			`{"type":"subscribe","id":"x","channel":"c"}`:                                                                 "already_subscribed",
			`{"type":"subscribe","id":"x","channel":"none"}`:                                                              "not_found",
			`{"type":"subscribe","id":"x","channel":"a//b"}`:                                                              "invalid_name",
			`{"type":"subscribe","id":"x","channel":""}`:                                                                  "invalid_name",
			`{"type":"subscribe","id":"x","channel":"$sys/subscription/x"}`:                                               "reserved_channel",
			`{"type":"subscribe","id":"x","channel":"c","offset":"5"}`:                                                    "invalid_offset",
			`{"type":"subscribe","id":"x","channel":"c","budget":"6m"}`:                                                   "invalid_parameter",
			`{"type":"subscribe","id":"x","channel":"c","budget":-1}`:                                                     "invalid_parameter",
			`{"type":"subscribe","id":"x","channel":"c","tailRecords":1000001}`:                                           "invalid_parameter",
			`{"type":"subscribe","id":"x","channel":"c","since":"yesterday"}`:                                             "invalid_parameter",
			`{"type":"subscribe","id":"x","channel":"c","since":0,"offset":"-1"}`:                                         "invalid_parameter",
			`{"type":"subscribe","id":"x","channel":"c","encoding":"hex"}`:                                                "invalid_parameter",
			`{"type":"subscribe","id":"x"}`:                                                                               "invalid_request",
			`{"type":"subscribe","id":"x","channels":[]}`:                                                                 "invalid_request",
			`{"type":"subscribe","id":"x","channels":[{"channel":"1"},{"channel":"2"},{"channel":"3"},{"channel":"4"}]}`:  "too_many_channels",
			`{"type":"unsubscribe","id":"x","channel":"none"}`:                                                            "not_subscribed",
			`{"type":"unsubscribe","id":"x","channels":["none"]}`:                                                         "not_subscribed",
			`{"type":"unsubscribe","id":"x","channels":["1","2","3","4","5"]}`:                                            "too_many_channels",
			`{"type":"unsubscribe","id":"x"}`:                                                                             "invalid_request",
			`{"type":"publish","id":"x","channel":"none","records":[1]}`:                                                  "not_found",
			`{"type":"publish","id":"x","channel":"closed","records":[1]}`:                                                "closed",
			`{"type":"publish","id":"x","channel":"c","text":"x"}`:                                                        "content_type_mismatch",
			`{"type":"publish","id":"x","channel":"c","records":[]}`:                                                      "invalid_request",
			`{"type":"publish","id":"x","channel":"made/x","records":[1],"contentType":"text/plain"}`:                     "invalid_request",
			`{"type":"publish","id":"x","channel":"c"}`:                                                                   "invalid_request",
			`{"type":"publish","id":"x","channel":"c","records":[1],"text":"x"}`:                                          "invalid_request",
			`{"type":"publish","id":"x","channel":"c","base64":"?"}`:                                                      "invalid_request",
			`{"type":"publish","id":"x","channel":"c","records":[1],"ifMatch":"x"}`:                                       "invalid_offset",
			`{"type":"publish","id":"x","channel":"c","records":[1],"ifMatch":"0000000000000001_0000000000000001"}`:       "tail_moved",
			`{"type":"publish","id":"x","channel":"c","records":[1],"producer":{"id":"p","epoch":0,"seq":5}}`:             "producer_seq_gap",
			`{"type":"publish","id":"x","channel":"c","records":[1],"producer":{"id":"","epoch":0,"seq":0}}`:              "invalid_request",
			`{"type":"publish","id":"x","channel":"c","records":[1],"ifMatch":""}`:                                        "invalid_offset",
			`{"type":"publish","id":"x","channel":"c","records":[1],"idempotencyKey":""}`:                                 "invalid_request",
			`{"type":"publish","id":"x","channel":"c","records":[1],"producer":{"id":"p"}}`:                               "invalid_request",
			`{"type":"publish","id":"x","channel":"$sys/x","records":[1]}`:                                                "reserved_channel",
			`{"type":"publish","id":"x","channel":"__ds/x","records":[1]}`:                                                "reserved_channel",
			`{"type":"publish","id":"x","channel":"made/x","text":"x","contentType":"none"}`:                              "invalid_content_type",
			`{"type":"publish","id":"x","channel":"c","records":[1],"idempotencyKey":"` + strings.Repeat("k", 256) + `"}`: "invalid_request",
			`{"type":"token","id":"x"}`:                                                                                   "invalid_request",
		} {
			k.send("%s", text)
			if f := k.say("error"); f.Code != code || string(f.ID) != `"x"` || f.Message == "" || f.Hint == "" {
				t.Errorf("%s\n%s, want %s", text, f.raw, code)
			}
		}
		k.send(`{"type":"token","id":1,"token":"anything"}`)
		if f := k.say("token"); string(f.ID) != "1" {
			t.Errorf("%s", f.raw)
		}
		at := s.publish("c", `"after all"`)
		if f := k.say("data"); f.Offset != at || f.content() != `"after all",` {
			t.Errorf("%s", f.raw)
		}
		k.bye()
		s.idle()
	}, plain...)
}

// A frame with several channels is answered for each, in their order, also where
// the engine has to be asked, and where one of them is refused.
func TestSubscribeMany(t *testing.T) {
	const channels = 1000
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		var list []string
		at := map[string]string{}
		for i, name := range names(channels) {
			if i%10 == 3 {
				list = append(list, `{"channel":"`+name+`"}`) // there is none
				continue
			}
			s.create(name, asJSON)
			at[name] = s.publish(name, fmt.Sprint(i))
			from := []string{`"offset":"-1"`, `"offset":"now"`, `"offset":"` + at[name] + `"`, `"tailRecords":1`, `"since":"1999-01-01T00:00:00Z"`}[i%5]
			list = append(list, fmt.Sprintf(`{"channel":"%s",%s,"budget":0}`, name, from))
		}
		k := s.connect()
		begin := make(chan struct{})
		go func() {
			defer close(begin)
			k.send(`{"type":"subscribe","id":9,"channels":[%s]}`, strings.Join(list, ","))
			k.send(`{"type":"ping","id":"after"}`)
		}()
		data := map[string]int{}
		next := 0
		told := false
		for len(data) < channels/2 || !told { // a half has a record to tell
			f, err := k.next()
			if err != nil {
				t.Fatal(err, next, len(data))
			}
			switch f.Type {
			case "subscribed", "error":
				if want := fmt.Sprintf("c/%d", next); f.Channel != want || string(f.ID) != "9" || (f.Type == "error") != (next%10 == 3) {
					t.Fatalf("%s, want an answer for %s", f.raw, want)
				}
				next++
			case "data":
				data[f.Channel]++
				if f.Offset != at[f.Channel] || !f.UpToDate {
					t.Errorf("%s, want up to %s", f.raw, at[f.Channel])
				}
			case "pong":
				if next != channels {
					t.Errorf("the ping was answered before channel %d", next)
				}
				told = true
			}
		}
		<-begin
		for name, n := range data {
			if n != 1 {
				t.Errorf("%s: %d times", name, n)
			}
		}
		if n := s.many.Stats().Subscriptions.Load(); n != channels*9/10 {
			t.Errorf("%d subscriptions", n)
		}
		k.send(`{"type":"unsubscribe","channels":["c/0","c/1","c/2"]}`)
		for i := range 3 {
			if f := k.say("unsubscribed"); f.Channel != fmt.Sprintf("c/%d", i) || f.Offset != at[f.Channel] {
				t.Errorf("%s", f.raw)
			}
		}
		s.publish("c/1", "1")
		s.publish("c/4", "4")
		if f := k.say("data"); f.Channel != "c/4" {
			t.Errorf("%s", f.raw)
		}
		k.bye()
		s.idle()
	}, plain...)
}

// Publishes are acknowledged with their own offsets, and take effect in their
// order, however many are sent at once.
func TestPublish(t *testing.T) {
	const records = 500
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{Rules: twohop.Rules{{Match: "made/*", Create: true}}}})
		s.create("c", asJSON)
		s.create("text", asText)
		reader, k := s.connect(), s.connect()
		reader.send(`{"type":"subscribe","channel":"c","offset":"-1"}`)
		reader.say("subscribed")
		go func() {
			for i := range records {
				k.send(`{"type":"publish","id":%d,"channel":"c","records":[%d]}`, i, i)
			}
		}()
		offsets := make([]string, records)
		go func() {
			defer func() { reader.c.Close() }()
			for next := 0; next < records; {
				f := reader.say("data")
				for _, r := range f.Records {
					if string(r) != fmt.Sprint(next) {
						t.Errorf("%s after %d", r, next)
					}
					next++
				}
			}
		}()
		for range records {
			f := k.say("published")
			var i int
			if json.Unmarshal(f.ID, &i) != nil || f.Channel != "c" || f.Durability != "memory" || f.Duplicate || offsets[i] != "" {
				t.Fatalf("%s", f.raw)
			}
			offsets[i] = f.Offset
		}
		for i := 1; i < records; i++ {
			if offsets[i] <= offsets[i-1] {
				t.Fatalf("%d is at %s, the one before at %s", i, offsets[i], offsets[i-1])
			}
		}
		s.eventually("the reader is gone", func() bool { return s.many.Stats().WebSockets.Load() == 1 })

		say := func(text string) frame {
			t.Helper()
			k.send("%s", text)
			return k.say("published")
		}
		first := say(`{"type":"publish","id":1,"channel":"text","text":"a","idempotencyKey":"k"}`)
		again := say(`{"type":"publish","id":2,"channel":"text","text":"a","idempotencyKey":"k"}`)
		if first.Offset != again.Offset || first.Duplicate || !again.Duplicate {
			t.Errorf("%s\n%s", first.raw, again.raw)
		}
		say(`{"type":"publish","id":3,"channel":"text","base64":"Yg==","contentType":"text/plain","ifMatch":"` + first.Offset + `"}`)
		say(`{"type":"publish","id":4,"channel":"text","text":"c","producer":{"id":"p","epoch":0,"seq":0}}`)
		if f := say(`{"type":"publish","id":5,"channel":"text","text":"c","producer":{"id":"p","epoch":0,"seq":0}}`); !f.Duplicate {
			t.Errorf("%s", f.raw)
		}
		k.send(`{"type":"subscribe","channel":"text","offset":"-1"}`)
		k.say("subscribed")
		if f := k.say("data"); f.content() != "abc" {
			t.Errorf("%s", f.raw)
		}
		// Closing tells its publisher and its readers, in whatever order.
		k.send(`{"type":"publish","id":6,"channel":"text","text":"d","close":true}`)
		for range 2 {
			switch f, err := k.next(); {
			case err != nil:
				t.Fatal(err)
			case f.Type == "published" && f.Readers > 1, f.Type == "data" && (!f.Closed || f.content() != "d"):
				t.Errorf("%s", f.raw)
			}
		}
		k.send(`{"type":"unsubscribe","channel":"text"}`)
		k.refused("not_subscribed")
		k.send(`{"type":"publish","id":"e","channel":"text","text":"d"}`)
		if f := k.refused("closed"); f.Offset == "" {
			t.Errorf("%s has no tail", f.raw)
		}
		say(`{"type":"publish","id":7,"channel":"made/x","text":"new"}`)
		if info, err := s.hub.Info(context.Background(), "made/x"); err != nil || info.ContentType != asText {
			t.Errorf("%+v %v", info, err)
		}
		k.bye()
		s.idle()
		if n := s.many.Stats().Published.Load(); n != records+5 {
			t.Errorf("%d records counted as published", n)
		}
	}, plain...)
}

// Whoever follows channels that do not exist yet, but will with their first
// publish, is told all of them.
func TestChannelsThatComeToBe(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		eachWay(t, m, func(t *testing.T, w way) {
			s := serve(t, m, setup{Options: multi.Options{Rules: twohop.Rules{{Match: "c/*", Create: true}}}})
			s.t = t
			list := []want{{"c/0", "now"}, {"c/1", "-1"}, {"c/2", "0000000000000000_0000000000000000"}, {"c/3", "now"}}
			go func() {
				for i := range 3 {
					for _, c := range list[:3] {
						r := fmt.Sprintf("%d,", i)
						spec := &twohop.Spec{ContentType: asJSON}
						_, _ = s.hub.Append(context.Background(), &twohop.Append{Channel: c.Channel, Data: []byte(r), Ends: []uint32{uint32(len(r))}, Create: spec, Close: i == 2})
					}
				}
			}()
			got, left := map[string]string{}, 3
			err := w.follow(s, list, func(f frame) bool {
				switch f.Type {
				case "data":
					got[f.Channel] += f.content()
					if f.Closed && !strings.HasSuffix(got[f.Channel], ".") {
						got[f.Channel] += "."
						left--
					}
				case "subscribed":
					if f.Waiting == (f.ContentType != "") {
						t.Errorf("%s: %s", w.name, f.raw)
					}
				case "welcome":
				default:
					t.Errorf("%s: %s", w.name, f.raw)
				}
				return left > 0
			})
			// A reader from now on may have come later than the first records.
			if err != nil || got["c/1"] != "0,1,2,." || got["c/2"] != "0,1,2,." || !strings.HasSuffix("0,1,2,.", got["c/0"]) {
				t.Errorf("%s: %v %v", w.name, got, err)
			}
			s.idle()
		})
	}, all...)
}

// The waiting is told, ends with an unsubscribe, and with what is created by
// others.
func TestWaiting(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{Rules: twohop.Rules{{Match: "made/*", Create: true}}}})
		k, other := s.connect(), s.connect()
		for _, k := range []*socket{k, other} {
			k.send(`{"type":"subscribe","channels":[{"channel":"made/a","budget":"1ms"},{"channel":"made/b","offset":"-1"},{"channel":"never"}]}`)
			for _, name := range []string{"made/a", "made/b"} {
				if f := k.say("subscribed"); !f.Waiting || f.Channel != name || f.Offset != "0000000000000000_0000000000000000" || f.Start != "" || !f.UpToDate {
					t.Errorf("%s", f.raw)
				}
			}
			k.refused("not_found")
		}
		other.send(`{"type":"unsubscribe","channels":["made/a"]}`)
		other.say("unsubscribed")
		k.send(`{"type":"subscribe","channel":"made/a"}`)
		k.refused("already_subscribed")
		s.create("made/a", asText)
		at := s.publish("made/a", "x")
		if f := k.say("data"); f.Channel != "made/a" || f.Offset != at || f.content() != "x" {
			t.Errorf("%s", f.raw)
		}
		other.send(`{"type":"subscribe","channel":"made/a","offset":"-1"}`)
		if f := other.say("subscribed"); f.Waiting {
			t.Errorf("%s", f.raw)
		}
		other.say("data")
		k.bye()
		other.bye()
		s.idle()
	}, plain...)
}

// Each channel is reset by itself, and goes on where its reset says.
func TestResets(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		eachWay(t, m, func(t *testing.T, w way) {
			e := memlog.Open(memlog.Options{})
			defer func() { _ = e.Close() }()
			s := serve(t, m, setup{engine: e})
			s.t = t
			ctx := context.Background()
			if _, _, err := s.hub.Create(ctx, "trimmed", &twohop.Spec{ContentType: asJSON, Retention: twohop.Retention{Records: 2}}); err != nil {
				t.Fatal(err)
			}
			s.create("fine", asJSON)
			s.create("ahead", asJSON)
			s.create("again", asJSON)
			old := s.publish("again", "1")
			if err := s.hub.Delete(ctx, "again"); err != nil {
				t.Fatal(err)
			}
			s.create("again", asJSON)
			first := ""
			tails := map[string]string{}
			for i := range 6 {
				for _, name := range []string{"trimmed", "fine", "ahead", "again"} {
					tails[name] = s.publish(name, fmt.Sprint(i))
					if name == "trimmed" && i == 0 {
						first = tails[name]
					}
				}
			}
			o, err := twohop.ParseOffset(tails["ahead"])
			if err != nil {
				t.Fatal(err)
			}
			o.Pos += 5
			got, resets, left := map[string]string{}, map[string]frame{}, 4
			err = w.follow(s, []want{{"trimmed", first}, {"fine", "-1"}, {"ahead", o.String()}, {"again", old}}, func(f frame) bool {
				switch f.Type {
				case "reset":
					resets[f.Channel] = f
					if f.Channel == "ahead" {
						s.publish("ahead", "7")
					}
				case "data":
					if got[f.Channel] == "" {
						left--
					}
					got[f.Channel] += f.content()
				case "subscribed", "welcome":
				default:
					t.Errorf("%s: %s", w.name, f.raw)
				}
				return left > 0
			})
			if err != nil {
				t.Fatal(err)
			}
			if r := resets["trimmed"]; r.Reason != "trimmed" || r.Offset != r.Start || r.Tail != tails["trimmed"] || r.Missed == 0 || got["trimmed"] != "4,5," {
				t.Errorf("%s: %s, then %s", w.name, r.raw, got["trimmed"])
			}
			if r := resets["ahead"]; r.Reason != "ahead" || r.Offset != tails["ahead"] || got["ahead"] != "7," {
				t.Errorf("%s: %s, then %s", w.name, r.raw, got["ahead"])
			}
			if r := resets["again"]; r.Reason != "epoch" || r.Offset != r.Start || got["again"] != "0,1,2,3,4,5," {
				t.Errorf("%s: %s, then %s", w.name, r.raw, got["again"])
			}
			if got["fine"] != "0,1,2,3,4,5," || len(resets) != 3 {
				t.Errorf("%s: fine brings %s; %v", w.name, got["fine"], resets)
			}
			s.idle()
		})
	}, all...)
}

// A channel that is deleted while it is followed is told so, and the others go
// on.
func TestDeletedChannels(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("a", asJSON)
		s.create("b", asJSON)
		k := s.connect()
		k.send(`{"type":"subscribe","channels":[{"channel":"a"},{"channel":"b","budget":"1ms"}]}`)
		k.say("subscribed")
		k.say("subscribed")
		f := s.stream("channel=a&channel=b")
		f.say("subscribed subscribed")
		if err := s.hub.Delete(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
		if r := k.say("reset"); r.Channel != "a" || r.Reason != "deleted" || r.Offset != "0000000000000000_0000000000000000" {
			t.Errorf("%s", r.raw)
		}
		if r := f.say("reset")[0]; r.Channel != "a" || r.Reason != "deleted" {
			t.Errorf("%s", r.raw)
		}
		s.publish("b", "1")
		k.say("data")
		f.say("data")
		k.send(`{"type":"unsubscribe","channel":"a"}`)
		k.refused("not_subscribed")
		s.closeChannel("b")
		if d := k.say("data"); !d.Closed || len(d.Records) != 0 {
			t.Errorf("%s", d.raw)
		}
		if d := f.say("data")[0]; !d.Closed {
			t.Errorf("%s", d.raw)
		}
		f.ends() // nothing is left to follow
		k.bye()
		s.idle()
	}, plain...)
}

// A client that reads nothing delays nobody, whatever it follows; when it reads
// again it has missed nothing.
func TestClientThatReadsNothing(t *testing.T) {
	const channels, records, size = 10, 20, 50_000
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{hub: hub.Options{TailBytes: 100_000, PageBytes: 100_000}})
		var list []string
		for _, name := range names(channels) {
			s.create(name, asText)
			list = append(list, `{"channel":"`+name+`"}`)
		}
		slow, fast := s.connect(), s.connect()
		for _, k := range []*socket{slow, fast} {
			k.send(`{"type":"subscribe","channels":[%s]}`, strings.Join(list, ","))
			for range channels {
				k.say("subscribed")
			}
		}
		drain := func(k *socket) error {
			got := map[string]int{}
			for left := channels; left > 0; {
				f, err := k.next()
				if err != nil {
					return err
				}
				if f.Type != "data" {
					continue // pings of a slow machine
				}
				before := got[f.Channel]
				got[f.Channel] += len(f.content())
				if !strings.HasPrefix(strings.TrimLeft(f.content(), "."), fmt.Sprintf("%d.", before/size)) && before%size == 0 {
					return fmt.Errorf("after %d bytes: %.40q", before, f.content())
				}
				if got[f.Channel] == records*size {
					left--
				}
			}
			return nil
		}
		quick := make(chan error)
		go func() { quick <- drain(fast) }()
		for i := range records {
			for _, name := range names(channels) {
				r := fmt.Sprintf("%d.", i)
				s.publish(name, r+strings.Repeat(".", size-len(r)))
			}
		}
		if err := <-quick; err != nil {
			t.Fatalf("the fast one: %v", err)
		}
		if err := drain(slow); err != nil {
			t.Fatalf("the slow one: %v", err)
		}
		_ = slow.c.Close()
		fast.bye()
		s.idle()
	}, plain[1:]...)
}
