package crash

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"twohop"
)

// writer publishes, one request after the other. A request that has a triple or
// a key it repeats until it is answered, and sometimes then, too.
type writer struct {
	o         *oracle
	random    *rand.Rand
	id        int
	made      int                  // producers and keys so far
	pending   map[string]*write    // not answered, by channel
	last      map[string]*write    // answered last
	producers map[string]*producer // by channel
}

type producer struct {
	id   string
	next int
}

// write is a publish.
type write struct {
	c        *channel
	records  []string
	producer *producer
	seq      int
	key      string
	ifMatch  twohop.Offset
	tries    int

	acked bool
	at    twohop.Offset // where its acknowledgement says it ends
	since mark          // when it was acknowledged
}

func (w *writer) work(s *site) {
	for s.ctx.Err() == nil {
		c := w.o.pick(w.random, func(c *channel) bool { return c.exists || c.name == "auto/a" || w.random.IntN(20) == 0 })
		switch p := w.pending[c.name]; {
		case p != nil:
			w.send(s, p)
		case w.random.IntN(10) == 0 && w.last[c.name] != nil:
			w.send(s, w.last[c.name])
		case w.random.IntN(20) == 0:
			w.many(s)
		default:
			w.send(s, w.compose(c))
		}
	}
}

// repeat sends again, after a crash, what was not answered before it, and what
// was answered last.
func (w *writer) repeat(s *site) {
	for name, c := range w.o.channels {
		if c.lazy && !w.o.clean { // it may know nothing of its producers any more
			delete(w.pending, name)
			delete(w.last, name)
			delete(w.producers, name)
		}
	}
	for _, of := range []map[string]*write{w.last, w.pending} {
		for _, p := range of {
			w.send(s, p)
		}
	}
}

// compose makes a publish.
func (w *writer) compose(c *channel) *write {
	p := &write{c: c}
	for range 1 + w.random.IntN(3) {
		p.records = append(p.records, w.o.record(c, w.random))
	}
	switch w.random.IntN(5) {
	case 0:
		p.ifMatch = w.o.mark(c).newest
	case 1:
		w.made++
		p.key = fmt.Sprintf("key %d/%d", w.id, w.made)
	case 2, 3:
		pr := w.producers[c.name]
		if pr == nil {
			w.made++
			pr = &producer{id: fmt.Sprintf("producer %d/%d", w.id, w.made)}
			w.producers[c.name] = pr
		}
		p.producer, p.seq = pr, pr.next
	}
	return p
}

func (p *write) repeatable() bool { return p.producer != nil || p.key != "" }

func (p *write) request() (body string, header []string) {
	header = []string{"Content-Type", "application/json"}
	body = "[" + strings.Join(p.records, ",") + "]"
	if !p.c.json {
		header = []string{"Content-Type", "text/plain", "Stream-Records", "lines"}
		body = strings.Join(p.records, "")
	}
	if p.producer != nil {
		header = append(header, "Producer-Id", p.producer.id, "Producer-Epoch", "0", "Producer-Seq", strconv.Itoa(p.seq))
	}
	if p.key != "" {
		header = append(header, "Idempotency-Key", p.key)
	}
	if !p.ifMatch.IsZero() {
		header = append(header, "If-Match", `"`+p.ifMatch.String()+`"`)
	}
	return body, header
}

// send sends a publish and takes its answer.
func (w *writer) send(s *site, p *write) {
	if p.repeatable() && !p.acked {
		w.pending[p.c.name] = p
	}
	m := w.o.mark(p.c)
	p.tries++
	ctx, cancel := s.hasty(w.random)
	defer cancel()
	body, header := p.request()
	a := s.do(ctx, http.MethodPost, "/v1/stream/"+p.c.name, body, header...)
	w.o.told(func() {
		switch {
		case a.status == 0, a.status == http.StatusServiceUnavailable: // of a request that was cancelled
			if ctx.Err() == nil {
				w.o.t.Errorf("%s: a publish is answered %s", p.c.name, a)
			}
		case a.status < 300:
			w.accepted(p, a, m)
		default:
			w.refused(p, a, m)
		}
	})
}

// accepted takes an acknowledgement.
func (w *writer) accepted(p *write, a *answer, m mark) {
	c, t := p.c, w.o.t
	if c.name == "auto/a" {
		c.exists = true
	}
	at, again := a.offset(t), a.header.Get("Stream-Duplicate") == "true"
	if level := a.header.Get("Stream-Durability"); (level == "disk") == c.lazy {
		t.Errorf("%s: acknowledged at level %q", c.name, level)
	}
	if again && p.tries == 1 {
		t.Errorf("%s: the first try of %+v is a duplicate: %s", c.name, p, a)
	}
	if p.acked && p.since.turn == m.turn && m.same(c) && (!again || at != p.at) {
		t.Errorf("%s: repeated, %.200q is at %s, duplicate %v; it was acknowledged at %s", c.name, p.records, at, again, p.at)
	}
	n := uint64(len(p.records))
	if !again {
		if m.same(c) && (at.Compare(m.newest) <= 0 || m.closed) {
			t.Errorf("%s: acknowledged at %s, when %s was shown and closed is %v", c.name, at, m.newest, m.closed)
		}
		if i := p.ifMatch; !i.IsZero() && at.Pos-i.Pos != n {
			t.Errorf("%s: with If-Match %s, %d records are acknowledged at %s", c.name, i, n, at)
		}
	}
	w.o.saw(c, twohop.Offset{Epoch: at.Epoch, Pos: at.Pos - n}, at, p.records)
	p.acked, p.at, p.since = true, at, m
	if at.Compare(c.acked) > 0 {
		c.acked = at
	}
	if w.pending[c.name] == p {
		delete(w.pending, c.name)
		if p.producer != nil {
			p.producer.next = p.seq + 1
		}
	}
	if p.repeatable() {
		w.last[c.name] = p
	}
}

// refused takes a refusal, which must have a reason.
func (w *writer) refused(p *write, a *answer, m mark) {
	reasons := []int{}
	switch {
	case !m.same(p.c) || p.acked && p.since.turn != m.turn || p.producer != nil && p.producer.next > 0 && w.moved(p, m):
		reasons = []int{a.status} // the owner was at work
	case m.closed:
		reasons = append(reasons, http.StatusConflict)
	case !m.exists:
		reasons = append(reasons, http.StatusNotFound, http.StatusGone)
	}
	if !p.ifMatch.IsZero() {
		reasons = append(reasons, http.StatusPreconditionFailed)
	}
	if !slices.Contains(reasons, a.status) {
		w.o.t.Errorf("%s (%+v): try %d of %.200q (producer %+v, number %d, key %q) is refused: %s", p.c.name, m, p.tries, p.records, p.producer, p.seq, p.key, a)
	}
	if a.status == http.StatusPreconditionFailed {
		return
	}
	if w.pending[p.c.name] == p {
		delete(w.pending, p.c.name)
	}
	delete(w.last, p.c.name)
	delete(w.producers, p.c.name)
}

// moved reports whether the owner changed the channel since the producer's last
// acknowledgement.
func (w *writer) moved(p *write, m mark) bool {
	last := w.last[p.c.name]
	return last == nil || last.producer != p.producer || last.since.turn != m.turn
}

// many publishes to several channels in one request.
func (w *writer) many(s *site) {
	var writes []*write
	var marks []mark
	items := []map[string]any{}
	for range 1 + w.random.IntN(4) {
		c := w.o.pick(w.random, func(c *channel) bool { return c.exists && c.json && (c.name == "auto/a" || c.fork == nil) })
		if c == nil {
			return
		}
		p := &write{c: c, records: []string{w.o.record(c, w.random)}, tries: 1}
		writes, marks = append(writes, p), append(marks, w.o.mark(c))
		items = append(items, map[string]any{"channel": c.name, "records": []json.RawMessage{json.RawMessage(p.records[0])}})
	}
	body, err := json.Marshal(items)
	if err != nil {
		w.o.t.Error(err)
	}
	a := s.do(s.ctx, http.MethodPost, "/v1/publish", string(body), "Content-Type", "application/json")
	w.o.told(func() {
		var answers []struct {
			Status             int
			Offset, Durability string
		}
		if err := json.Unmarshal([]byte(a.body), &answers); err != nil || len(answers) != len(writes) {
			w.o.t.Errorf("/v1/publish of %d is answered %s: %v", len(writes), a, err)
			return
		}
		for i, it := range answers {
			one := &answer{it.Status, http.Header{}, a.body}
			one.header.Set("Stream-Next-Offset", it.Offset)
			one.header.Set("Stream-Durability", it.Durability)
			if it.Status < 300 {
				w.accepted(writes[i], one, marks[i])
			} else if it.Status != http.StatusServiceUnavailable || s.ctx.Err() == nil {
				w.refused(writes[i], one, marks[i])
			}
		}
	})
}
