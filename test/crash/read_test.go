package crash

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"twohop"
)

// reader reads by poll, long poll and SSE, and notes what it is shown.
type reader struct {
	o      *oracle
	random *rand.Rand
}

func (r *reader) work(s *site) {
	for s.ctx.Err() == nil {
		c := r.o.pick(r.random, func(*channel) bool { return true })
		from := r.o.someOffset(c, r.random)
		switch r.random.IntN(4) {
		case 0:
			r.live(s, c, from)
		case 1:
			r.poll(s, c, from, "&live=long-poll")
		default:
			r.poll(s, c, from, "")
		}
	}
}

// at is the parameter for an offset that may be unknown.
func at(from twohop.Offset) string {
	if from.IsZero() {
		return "?offset=-1"
	}
	return "?offset=" + from.String()
}

// poll reads on from an offset for some pages.
func (r *reader) poll(s *site, c *channel, from twohop.Offset, live string) {
	for range 1 + r.random.IntN(5) {
		m := r.o.mark(c)
		ctx, cancel := s.hasty(r.random)
		a := s.do(ctx, http.MethodGet, "/v1/stream/"+c.name+at(from)+live, "")
		cancel()
		more := false
		r.o.told(func() {
			more = a.status == http.StatusOK && ctx.Err() == nil
			if a.status >= 300 && ctx.Err() == nil {
				r.refused(c, from, a, m)
			}
			if a.status == 0 || a.status >= 300 {
				return
			}
			next := a.offset(r.o.t)
			r.o.saw(c, from, next, split(c, a.body))
			upToDate := a.header.Get("Stream-Up-To-Date") == "true"
			if upToDate && m.same(c) && m.exists && next.Compare(m.acked) < 0 {
				r.o.t.Errorf("%s: up to date at %s, when %s was acknowledged", c.name, next, m.acked)
			}
			from = next
		})
		if !more {
			return
		}
	}
}

// refused wants a reason for a refusal: what clients know of a channel that
// exists can be read, but for what retention drops.
func (r *reader) refused(c *channel, from twohop.Offset, a *answer, m mark) {
	switch {
	case !m.same(c) || !m.exists:
	case c.short && a.header.Get("Stream-Reset") == "trimmed":
	case c.name == "auto/a" && !m.exists:
	default:
		r.o.t.Errorf("%s: reading at %s is refused: %s", c.name, from, a)
	}
}

// live reads by SSE for a moment.
func (r *reader) live(s *site, c *channel, from twohop.Offset) {
	ctx, cancel := context.WithTimeout(s.ctx, time.Duration(r.random.IntN(5000))*time.Microsecond)
	defer cancel()
	v := &viewer{o: r.o, c: c, from: from, header: http.Header{}, base64: !c.json || r.random.IntN(2) == 0, mark: r.o.mark(c)}
	url := "/v1/stream/" + c.name + at(from) + "&live=sse"
	if v.base64 {
		url += "&encoding=base64"
	}
	s.handler.ServeHTTP(v, request(ctx, http.MethodGet, url, "", "Accept", "text/event-stream"))
	if v.status >= 300 && ctx.Err() == nil {
		r.o.told(func() { r.refused(c, from, &answer{v.status, v.header, v.rest}, v.mark) })
	}
}

// viewer is an SSE client at the end of a response: it sees each event when it
// is written, unless the power has failed.
type viewer struct {
	o      *oracle
	c      *channel
	mark   mark
	from   twohop.Offset
	base64 bool
	header http.Header
	status int
	rest   string
}

func (v *viewer) Header() http.Header { return v.header }

func (v *viewer) WriteHeader(status int) { v.status = status }

func (v *viewer) Flush() {}

var errNoPower = errors.New("the power has failed")

func (v *viewer) Write(p []byte) (int, error) {
	v.rest += string(p)
	if v.status >= 300 {
		return len(p), nil
	}
	on := v.o.told(func() {
		for {
			event, rest, whole := strings.Cut(v.rest, "\n\n")
			if !whole {
				return
			}
			v.rest = rest
			v.event(event)
		}
	})
	if !on {
		return 0, errNoPower
	}
	return len(p), nil
}

func (v *viewer) event(event string) {
	var kind, id string
	var data []string
	for line := range strings.SplitSeq(event, "\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			kind = value
		case "id":
			id = value
		case "data":
			data = append(data, value)
		}
	}
	if id == "" {
		return // a comment, or the control event of a data event
	}
	next, err := twohop.ParseOffset(id)
	if err != nil {
		v.o.t.Errorf("%s: an event has the id %q", v.c.name, id)
		return
	}
	switch kind {
	case "data":
		body := strings.Join(data, "\n")
		if v.base64 {
			b, err := base64.StdEncoding.DecodeString(strings.Join(data, ""))
			if err != nil {
				v.o.t.Errorf("%s: %v in %.200q", v.c.name, err, data)
			}
			body = string(b)
		}
		v.o.saw(v.c, v.from, next, split(v.c, body))
	case "reset":
		if v.mark.same(v.c) && v.mark.exists && !v.c.short {
			v.o.t.Errorf("%s: reading at %s is reset: %s", v.c.name, v.from, event)
		}
	}
	v.from = next
}

// split cuts a page into its records.
func split(c *channel, body string) (records []string) {
	if body == "" {
		return nil
	}
	if !c.json {
		for r := range strings.SplitSeq(body[1:], "<") { // each begins with one, parts of records too
			records = append(records, "<"+r)
		}
		return records
	}
	var values []json.RawMessage
	if err := json.Unmarshal([]byte(body), &values); err != nil {
		return []string{body} // which was never sent
	}
	for _, v := range values {
		records = append(records, string(v))
	}
	return records
}
