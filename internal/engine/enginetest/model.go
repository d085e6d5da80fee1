package enginetest

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"twohop"
	"twohop/internal/engine"
)

func modelCases() []testCase {
	return []testCase{{name: "Random", run: modelRandom, both: true}}
}

// model is what a channel is, said as simply as possible.
type model struct {
	recs   []string // of the lineage, the trimmed ones too
	start  int
	ends   []int // where appends end, counted in recs
	keep   int   // Retention.Records, 0 is all
	closed bool

	parent  *model
	refs    int
	deleted bool
}

// world is an engine and its model, side by side.
type world struct {
	*fixture
	rt       *rapid.T
	prefix   string
	channels map[string]*model
}

// modelRandom does random things to an engine and to the model of it.
func modelRandom(f *fixture) {
	run := 0
	rapid.Check(f.t, func(rt *rapid.T) {
		run++
		w := &world{fixture: f, rt: rt, prefix: fmt.Sprint("run", run, "/"), channels: map[string]*model{}}
		rt.Repeat(map[string]func(*rapid.T){
			"create": w.create, "append": w.append, "close": w.closeOne, "fork": w.fork, "delete": w.delete,
			"read": w.read, "last": w.last,
			"": func(*rapid.T) { w.compareOne() },
		})
		for name := range w.channels {
			w.compare(name)
		}
	})
}

func (w *world) name(rt *rapid.T) string {
	return w.prefix + rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(rt, "name")
}

func (w *world) records(rt *rapid.T, least int) []string {
	return rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,6}`), least, 4).Draw(rt, "records")
}

// code is the error that every use of a channel must give, "" for none.
func (w *world) code(name string) twohop.Code {
	switch m := w.channels[name]; {
	case m == nil:
		return twohop.CodeNotFound
	case m.deleted:
		return twohop.CodeGone
	}
	return ""
}

func (w *world) expect(err error, code twohop.Code, what string) {
	if got := errCode(err); got != code {
		w.rt.Fatalf("%s: error %v, want %q", what, err, code)
	}
}

func errCode(err error) twohop.Code {
	if err == nil {
		return ""
	}
	return codeOf(err)
}

func (w *world) create(rt *rapid.T) {
	name, keep, recs := w.name(rt), rapid.IntRange(0, 5).Draw(rt, "keep"), w.records(rt, 0)
	spec := w.spec(recs...)
	spec.Retention.Records = uint64(keep)
	_, created, err := w.eng.Create(w.Context(), name, spec)
	m := w.channels[name]
	switch {
	case m != nil && (m.deleted || m.closed || m.parent != nil):
		w.expect(err, twohop.CodeExists, "Create")
	case created != (m == nil) || err != nil:
		rt.Fatalf("Create(%q) = %v, %v", name, created, err)
	case created:
		m = &model{keep: keep}
		m.add(recs)
		w.channels[name] = m
	}
}

func (m *model) add(recs []string) {
	if len(recs) > 0 {
		m.recs = append(m.recs, recs...)
		m.ends = append(m.ends, len(m.recs))
	}
}

// trimmable is how far the start may have moved.
func (m *model) trimmable() int {
	start := m.start
	for _, end := range m.ends {
		if m.keep > 0 && end > start && len(m.recs)-end >= m.keep {
			start = end
		}
	}
	return start
}

func (w *world) append(rt *rapid.T) {
	name, recs := w.name(rt), w.records(rt, 1)
	_, err := w.tell(w.appendOf(name, recs...))
	code := w.code(name)
	if code == "" && w.channels[name].closed {
		code = twohop.CodeClosed
	}
	w.expect(err, code, "Append")
	if err == nil {
		w.channels[name].add(recs)
	}
}

func (w *world) closeOne(rt *rapid.T) {
	name := w.name(rt)
	_, err := w.tell(w.closing(w.appendOf(name)))
	w.expect(err, w.code(name), "closing Append")
	if err == nil {
		w.channels[name].closed = true
	}
}

func (w *world) fork(rt *rapid.T) {
	name, source := w.name(rt), w.name(rt)
	keep := rapid.IntRange(0, 5).Draw(rt, "keep")
	spec := &twohop.Spec{Fork: &twohop.Fork{Source: source}}
	spec.Retention.Records = uint64(keep)
	src, at := w.channels[source], 0
	if w.code(source) == "" {
		at = rapid.IntRange(w.starts(source), len(src.recs)).Draw(rt, "at")
		o := w.offset(source, at)
		spec.Fork.At = &o
	}
	if w.channels[name] != nil {
		return // what a comparison says is a case of its own
	}
	_, created, err := w.eng.Create(w.Context(), name, spec)
	if code := w.code(source); code != "" {
		if code == twohop.CodeGone {
			code = twohop.CodeForkSource
		}
		w.expect(err, code, "fork")
		return
	}
	if err != nil || !created {
		rt.Fatalf("fork of %s at %d: %v, %v", source, at, created, err)
	}
	m := &model{recs: slices.Clone(src.recs[:at]), start: min(src.start, at), keep: keep, parent: src}
	for _, end := range src.ends {
		if end < at {
			m.ends = append(m.ends, end)
		}
	}
	m.ends = append(m.ends, at)
	src.refs++
	w.channels[name] = m
}

func (w *world) delete(rt *rapid.T) {
	name := w.name(rt)
	w.expect(w.eng.Delete(w.Context(), name), w.code(name), "Delete")
	if w.code(name) == "" {
		w.channels[name].deleted = true
		w.collect(w.channels[name])
	}
}

func (w *world) collect(m *model) {
	for ; m != nil && m.deleted && m.refs == 0; m = m.parent {
		for name, c := range w.channels {
			if c == m {
				delete(w.channels, name)
				w.eventually(name+" is collected", func() bool { return w.codeOf(name) == twohop.CodeNotFound })
			}
		}
		if m.parent != nil {
			m.parent.refs--
		}
	}
}

// starts is where a channel begins now; the engine may be behind what its
// retention allows, but only at the end of an append.
func (w *world) starts(name string) int {
	m := w.channels[name]
	n := len(w.recs(name, twohop.Offset{}, huge))
	start := len(m.recs) - n
	if most := m.trimmable(); start < m.start || start > most || start != m.start && !slices.Contains(m.ends, start) {
		w.rt.Fatalf("%s: %d of %d records are there, the start was %d and may be %d", name, n, len(m.recs), m.start, most)
	}
	m.start = start
	return start
}

// recs reads to the tail.
func (w *world) recs(name string, from twohop.Offset, size int) (recs []record) {
	for {
		b, err := w.eng.Read(w.Context(), name, from, size)
		if err != nil {
			w.rt.Fatalf("Read(%q, %s): %v", name, from, err)
		}
		if b.Len() == 0 {
			return recs
		}
		for i := range b.Len() {
			recs = append(recs, record{data: string(b.Record(i))})
		}
		recs[len(recs)-1].after, from = b.Next, b.Next
	}
}

// offset is the offset of a position that is there.
func (w *world) offset(name string, pos int) twohop.Offset {
	back := len(w.channels[name].recs) - pos
	o, err := w.eng.Last(w.Context(), name, uint64(back))
	if err != nil {
		w.rt.Fatalf("Last(%q, %d): %v", name, back, err)
	}
	return o
}

func (w *world) read(rt *rapid.T) {
	name := w.name(rt)
	if code := w.code(name); code != "" {
		_, err := w.eng.Read(w.Context(), name, twohop.Offset{}, huge)
		w.expect(err, code, "Read")
		return
	}
	m := w.channels[name]
	pos := rapid.IntRange(w.starts(name), len(m.recs)).Draw(rt, "from")
	size := rapid.IntRange(0, 40).Draw(rt, "size")
	got := strings.Join(datas(w.recs(name, w.offset(name, pos), size)), "")
	if want, _ := batch(w.kind, m.recs[pos:]...); got != string(want) {
		rt.Fatalf("%s from %d in pages of %d reads %q, want %q", name, pos, size, got, want)
	}
}

func (w *world) last(rt *rapid.T) {
	name := w.name(rt)
	if w.code(name) != "" {
		return
	}
	m, start := w.channels[name], w.starts(name)
	n := rapid.IntRange(0, len(m.recs)+2).Draw(rt, "n")
	o := w.offset(name, len(m.recs)-n)
	if got := w.recs(name, o, huge); len(got) != min(n, len(m.recs)-start) {
		rt.Fatalf("%s: after Last(%d) it reads %q", name, n, datas(got))
	}
}

func (w *world) compareOne() {
	for name := range w.channels {
		w.compare(name)
		return
	}
}

// compare reads a whole channel and its offsets.
func (w *world) compare(name string) {
	m := w.channels[name]
	k, knows := w.eng.(engine.Knower)
	known, ok := twohop.Info{}, false
	if knows {
		known, ok = k.Known(name)
	}
	info, err := w.eng.Info(w.Context(), name)
	w.expect(err, w.code(name), "Info")
	if ok && (err != nil || known != info) {
		w.rt.Fatalf("%s is known as %+v, and is %+v, %v", name, known, info, err)
	}
	if err != nil {
		return
	}
	start := w.starts(name)
	recs := w.recs(name, twohop.Offset{}, 0)
	want, _ := batch(w.kind, m.recs[start:]...)
	if got := strings.Join(datas(recs), ""); got != string(want) || info.Closed != m.closed {
		w.rt.Fatalf("%s holds %q, closed %v; want %q, %v", name, got, info.Closed, want, m.closed)
	}
	at := info.Start
	for _, r := range recs {
		if r.after.Compare(at) <= 0 {
			w.rt.Fatalf("%s: offset %s after %s", name, r.after, at)
		}
		at = r.after
	}
	if at != info.Tail {
		w.rt.Fatalf("%s: the records end at %s, the tail is %s", name, at, info.Tail)
	}
}
