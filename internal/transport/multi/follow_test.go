package multi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"twohop/internal/hub"
)

// want is a channel that a reader follows.
type want struct{ Channel, Offset string }

// way is a way to follow many channels. It hands over each frame until take says
// that it is enough.
type way struct {
	name   string
	upload bool // needs a connection that speaks HTTP/1.1
	follow func(s *site, list []want, take func(f frame) (more bool)) error
}

var ways = []way{
	{"websocket", true, overSocket()},
	{"websocket deflated", true, overSocket("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")},
	{"sse", false, overSSE},
	{"sse that is cut and resumed", false, overCutSSE},
	{"long poll", false, overPolls("long-poll")},
	{"poll", false, overPolls("")},
}

// eachWay runs a test body over all ways that a mode has.
func eachWay(t *testing.T, m mode, f func(t *testing.T, w way)) {
	for _, w := range ways {
		if !w.upload || m.Name != http2.Name {
			if m.Virtual {
				f(t, w) // bubbles have no subtests
				continue
			}
			t.Run(w.name, func(t *testing.T) { f(t, w) })
		}
	}
}

func overSocket(fields ...string) func(s *site, list []want, take func(f frame) bool) error {
	return func(s *site, list []want, take func(f frame) bool) error {
		k := s.connect(fields...)
		defer func() { _ = k.c.Close() }()
		channels, err := json.Marshal(list)
		if err != nil {
			return err
		}
		k.send(`{"type":"subscribe","id":"all","channels":%s}`, strings.ToLower(string(channels)))
		for {
			f, err := k.next()
			if err != nil {
				return err
			}
			if !take(f) {
				return nil
			}
		}
	}
}

func query(list []want) string {
	var b strings.Builder
	for _, w := range list {
		b.WriteString("&channel=" + url.QueryEscape(w.Channel))
		if w.Offset != "" {
			b.WriteString("&offset=" + w.Offset)
		}
	}
	return b.String()[1:]
}

func overSSE(s *site, list []want, take func(f frame) bool) error {
	f := s.stream(query(list))
	defer func() { _ = f.resp.Body.Close() }()
	for {
		e, err := f.next()
		if err != nil {
			return err
		}
		for _, x := range e.frames {
			if !take(x) {
				return nil
			}
		}
	}
}

// overCutSSE resumes again and again from the last id, as a browser does.
func overCutSSE(s *site, list []want, take func(f frame) bool) error {
	id := ""
	for n := 1; ; n = n%7 + 1 {
		var headers []string
		if id != "" {
			headers = []string{"Last-Event-ID", id}
		}
		f := s.stream(query(list), headers...)
		for range n {
			e, err := f.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if id = f.id; e.id == "" {
				return fmt.Errorf("an event of few channels without an id: %+v", e)
			}
			for _, x := range e.frames {
				if !take(x) {
					_ = f.resp.Body.Close()
					return nil
				}
			}
		}
		_ = f.resp.Body.Close()
	}
}

func overPolls(live string) func(s *site, list []want, take func(f frame) bool) error {
	return func(s *site, list []want, take func(f frame) bool) error {
		token := ""
		for {
			body, err := json.Marshal(map[string]any{"live": live, "channels": list, "resume": token})
			if err != nil {
				return err
			}
			r := s.do("POST", "subscribe", strings.NewReplacer(`"Channel"`, `"channel"`, `"Offset"`, `"offset"`, `"resume":""`, `"resume":null`, `"live":""`, `"live":null`).Replace(string(body)), "Content-Type", asJSON)
			if r.status == 204 {
				token = r.header.Get("Stream-Resume")
				continue
			}
			frames := s.polled(r)
			token = r.header.Get("Stream-Resume")
			for _, f := range frames {
				if !take(f) {
					return nil
				}
			}
		}
	}
}

// kinds are the content types that the tests' channels have, in turn.
var kinds = []string{asJSON, asText, asRaw}

// record is the i-th record of a channel of some kind.
func record(kind string, channel, i int) string {
	switch kind {
	case asJSON:
		return fmt.Sprintf(`"%d:%d"`, channel, i)
	case asText:
		return fmt.Sprintf("%d:%d \"\\\r\n\u2028é", channel, i)
	}
	return fmt.Sprintf("%d:%d\x00\xff", channel, i)
}

// Over each way, readers get all records of all their channels once and in
// order, while they are published, whatever the sizes of pages and buffers; and
// each frame says where the reader stands.
func TestAllRecordsOnceInOrder(t *testing.T) {
	const channels, records = 5, 60
	run(t, func(t *testing.T, m mode) {
		eachWay(t, m, func(t *testing.T, w way) {
			s := serve(t, m, setup{hub: hub.Options{PageBytes: 1 << (5 + rand.IntN(9)), TailBytes: 1 << (6 + rand.IntN(14))}})
			s.t = t
			list := make([]want, channels)
			full := make(map[string]string, channels)
			for c, name := range names(channels) {
				s.create(name, kinds[c%len(kinds)])
				list[c] = want{name, "-1"}
			}
			published := make(chan map[string]string)
			after := map[string]map[string]int{} // bytes up to each offset
			go func() {
				size := map[string]int{}
				for i := range records {
					for _, c := range rand.Perm(channels) {
						kind, name := kinds[c%len(kinds)], list[c].Channel
						r := record(kind, c, i)
						at := s.publish(name, r)
						if kind == asJSON {
							r += ","
						}
						full[name] += r
						size[name] += len(r)
						if after[name] == nil {
							after[name] = map[string]int{}
						}
						after[name][at] = size[name]
					}
				}
				for _, w := range list {
					s.closeChannel(w.Channel)
				}
				published <- full
			}()
			got, stands, left := map[string]string{}, map[string][]string{}, channels
			err := w.follow(s, list, func(f frame) bool {
				switch f.Type {
				case "subscribed", "welcome":
				case "data":
					if f.content() == "" && !f.Closed {
						t.Errorf("%s: %s brings nothing", w.name, f.raw)
					}
					if f.Closed && f.content() == "" && strings.HasSuffix(got[f.Channel], "closed") {
						return true // after a resume
					}
					if f.Closed && !f.UpToDate {
						t.Errorf("closed, but not up to date: %s", f.raw)
					}
					got[f.Channel] += f.content()
					stands[f.Channel] = append(stands[f.Channel], fmt.Sprint(f.Offset, " ", len(got[f.Channel])))
					if f.Closed {
						got[f.Channel] += "closed"
						left--
					}
				default:
					t.Errorf("%s: %s", w.name, f.raw)
				}
				return left > 0
			})
			if err != nil {
				t.Error(err)
			}
			<-published
			for name, all := range full {
				if got[name] != all+"closed" {
					t.Errorf("%s: %s is\n%q instead of\n%q", w.name, name, got[name], all)
				}
				for _, at := range stands[name] {
					var offset string
					var n int
					_, _ = fmt.Sscan(at, &offset, &n)
					if want, known := after[name][offset]; !known || want != n {
						t.Errorf("%s: %d bytes of %s lead to %s, where there are %d", w.name, n, name, offset, want)
					}
				}
			}
			s.idle()
		})
	}, all...)
}
