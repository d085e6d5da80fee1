package bench

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRecordsAreJSONOfTheirSize(t *testing.T) {
	for _, size := range []int{minRecord, 128, 4000} {
		r := newRecord(size)
		want := mark{channel: 0xabcdef, seq: 1<<40 - 1, at: 1<<62 + 5}
		stamp(r, want)
		if len(r) != size || !json.Valid(r) || bytes.ContainsAny(r, "\r\n") {
			t.Errorf("record of %d bytes is %q, %d bytes", size, r, len(r))
		}
		if got, _, ok := findMark(r); !ok || got != want {
			t.Errorf("mark %+v, %v; want %+v", got, ok, want)
		}
	}
}

// marksIn scans a text in pieces of which the first has a length.
func marksIn(text []byte, pieces ...int) (all []mark) {
	var s scanner
	for _, n := range pieces {
		n = min(n, len(text))
		s.scan(text[:n], func(m mark) { all = append(all, m) })
		text = text[n:]
	}
	s.scan(text, func(m mark) { all = append(all, m) })
	return all
}

func marked(marks ...mark) []byte {
	var b []byte
	for _, m := range marks {
		r := newRecord(minRecord)
		stamp(r, m)
		b = append(b, r...)
		b = append(b, "#12:#,##"...) // almost marks
	}
	return b
}

func TestScannerFindsMarksAcrossPieces(t *testing.T) {
	want := []mark{{1, 1, 10}, {1, 2, 20}, {2, 3, 30}}
	text := marked(want...)
	for first := range len(text) {
		for _, second := range []int{0, 1, markLen - 1, markLen, len(text)} {
			if diff := cmp.Diff(want, marksIn(text, first, second), cmp.AllowUnexported(mark{})); diff != "" {
				t.Fatalf("in pieces of %d and %d bytes (-want +got):\n%s", first, second, diff)
			}
		}
	}
}

func TestScannerForgetsOnReset(t *testing.T) {
	text := marked(mark{1, 1, 10})
	half := bytes.IndexByte(text, '#') + 5
	var s scanner
	found := 0
	s.scan(text[:half], func(mark) { found++ })
	s.reset()
	s.scan(text[half:], func(mark) { found++ })
	if found != 0 {
		t.Error("two halves of different streams became a mark")
	}
}

// FuzzScanner compares a scan in pieces with one of the whole text.
func FuzzScanner(f *testing.F) {
	f.Add(marked(mark{1, 1, 10}, mark{1, 2, 20}), 7, 40)
	f.Add([]byte("####000001:0000000001:0000000000000001#"), 3, 2)
	f.Fuzz(func(t *testing.T, text []byte, first, second int) {
		first, second = max(0, first), max(0, second)
		if diff := cmp.Diff(marksIn(text), marksIn(text, first, second), cmp.AllowUnexported(mark{})); diff != "" {
			t.Fatalf("pieces change what is found (-whole +pieces):\n%s", diff)
		}
	})
}

func BenchmarkScanner(b *testing.B) {
	var marks []mark
	for i := range 100 {
		marks = append(marks, mark{1, uint64(i), 5})
	}
	text := marked(marks...)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var s scanner
	n := 0
	for b.Loop() {
		s.scan(text, func(mark) { n++ })
	}
}
