package hub

import (
	"testing"

	"pgregory.net/rapid"

	"twohop"
)

// model is the tail buffer as a plain list of all records, each with the offset
// before it.
type model struct {
	records []string
	from    []twohop.Offset // of each record; from[len(records)] is the tail
	start   int             // index of the first record that is kept
}

func newModel() *model { return &model{from: []twohop.Offset{{Epoch: 1}}} }

// batch adds n records to the model and returns them as a batch.
func (m *model) batch(n int, record string) twohop.Batch {
	b := twohop.Batch{From: m.from[len(m.records)]}
	for range n {
		at := m.from[len(m.records)]
		m.records = append(m.records, record)
		m.from = append(m.from, twohop.Offset{Epoch: at.Epoch, Pos: at.Pos + 1})
		b.Data = append(b.Data, record...)
		b.Ends = append(b.Ends, uint32(len(b.Data)))
	}
	b.Next = m.from[len(m.records)]
	return b
}

// Whatever comes, a run holds just the records that follow its offset, within a
// page, and never one that was trimmed; and the buffer is bounded.
func TestTailAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 2000).Draw(t, "limit")
		page := rapid.IntRange(1, 200).Draw(t, "page")
		m := newModel()
		var b tail
		b.reset(m.from[0])
		var last twohop.Batch
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				last = m.batch(rapid.IntRange(0, 5).Draw(t, "n"), rapid.StringN(1, 30, -1).Draw(t, "record"))
				b.add(last, limit)
			},
			"add again": func(*rapid.T) { b.add(last, limit) },
			"miss some": func(t *rapid.T) { m.batch(rapid.IntRange(1, 3).Draw(t, "n"), "lost") },
			"trim": func(t *rapid.T) {
				m.start = rapid.IntRange(m.start, len(m.records)).Draw(t, "start")
				b.trim(m.from[m.start])
			},
			"": func(t *rapid.T) {
				check(t, m, &b, limit, page)
			},
		})
	})
}

func check(t *rapid.T, m *model, b *tail, limit, page int) {
	size := 0
	for i := range b.batches {
		size += sizeOf(&b.batches[i])
		if i > 0 && b.batches[i].From != b.batches[i-1].Next {
			t.Fatalf("a gap before %s", b.batches[i].From)
		}
	}
	if size != b.bytes || size > limit && len(b.batches) > 1 {
		t.Fatalf("%d bytes are kept, %d counted, %d allowed", size, b.bytes, limit)
	}
	for i, from := range m.from {
		run := b.run(from, page)
		if run == nil {
			continue
		}
		got := join(run)
		if i < m.start {
			t.Fatalf("what was trimmed is read at %s", from)
		}
		if got.From != from || got.Len() == 0 || len(got.Data) > page {
			t.Fatalf("the run at %s is %+v", from, got)
		}
		for k := range got.Len() {
			if string(got.Record(k)) != m.records[i+k] {
				t.Fatalf("record %d at %s is %q, want %q", k, from, got.Record(k), m.records[i+k])
			}
		}
		if got.Next != m.from[i+got.Len()] {
			t.Fatalf("the run at %s ends at %s", from, got.Next)
		}
	}
}

// Many small batches count with all that they take.
func TestTailCountsSmallBatches(t *testing.T) {
	var b tail
	m := newModel()
	b.reset(m.from[0])
	for range 100_000 {
		b.add(m.batch(1, "x"), 1<<20)
	}
	if n := len(b.batches); n > 1<<20/80 {
		t.Errorf("%d batches are kept in a megabyte", n)
	}
}
