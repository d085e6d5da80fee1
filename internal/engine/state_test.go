package engine

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"twohop"
)

// forked is a fork of a fork: 0 to 4 are of epoch 10, 4 to 7 of epoch 20, 7 to
// 9 its own; what is before 2 was trimmed.
func forked() *State {
	return &State{
		Name: "f", Epoch: 30, Base: 7, Start: 2, Tail: 9,
		Parents: []Segment{{10, 0, 4}, {20, 4, 7}},
	}
}

func at(epoch, pos uint64) twohop.Offset { return twohop.Offset{Epoch: epoch, Pos: pos} }

func codeOf(err error) twohop.Code {
	if e, ok := errors.AsType[*twohop.Error](err); ok {
		return e.Code
	}
	return ""
}

// An offset has the log epoch of the record before it.
func TestOffsetHasTheEpochOfTheRecordBefore(t *testing.T) {
	s := forked()
	want := []uint64{10, 10, 10, 10, 10, 20, 20, 20, 30, 30}
	for pos, epoch := range want {
		if got := s.Offset(uint64(pos)); got != at(epoch, uint64(pos)) { //nolint:gosec // an index
			t.Errorf("Offset(%d) = %v, want epoch %d", pos, got, epoch)
		}
	}
	if got := (&State{Epoch: 5}).Offset(0); got != at(5, 0) {
		t.Errorf("an empty log's offset is %v", got)
	}
}

func TestLocate(t *testing.T) {
	s := forked()
	for _, c := range []struct {
		in     twohop.Offset
		pos    uint64
		reason twohop.ResetReason
		missed uint64
	}{
		{in: at(0, 0), pos: 2},
		{in: at(10, 2), pos: 2},
		{in: at(10, 4), pos: 4},
		{in: at(20, 5), pos: 5},
		{in: at(20, 7), pos: 7},
		{in: at(30, 8), pos: 8},
		{in: at(30, 9), pos: 9},
		{in: at(10, 0), reason: twohop.ResetTrimmed, missed: 2},
		{in: at(10, 1), reason: twohop.ResetTrimmed, missed: 1},
		{in: at(30, 10), reason: twohop.ResetAhead},
		{in: at(10, 5), reason: twohop.ResetEpoch}, // the first source after the fork
		{in: at(20, 8), reason: twohop.ResetEpoch},
		{in: at(20, 3), reason: twohop.ResetEpoch}, // that source began later
		{in: at(30, 6), reason: twohop.ResetEpoch},
		{in: at(40, 8), reason: twohop.ResetEpoch},
		{in: at(1, 3), reason: twohop.ResetEpoch},
	} {
		pos, err := s.Locate(c.in)
		if c.reason == "" {
			if err != nil || pos != c.pos {
				t.Errorf("Locate(%v) = %d, %v; want %d", c.in, pos, err, c.pos)
			}
			continue
		}
		e, ok := errors.AsType[*twohop.Error](err)
		want := &twohop.Reset{Reason: c.reason, Start: at(10, 2), Tail: at(30, 9), Missed: c.missed}
		if !ok || e.Code != twohop.CodeReset || !cmp.Equal(e.Reset, want) {
			t.Errorf("Locate(%v) = %d, %v; want %+v", c.in, pos, err, want)
		}
	}
}

func TestSegments(t *testing.T) {
	s := forked()
	from := func(s *State, pos uint64) (got []uint64) {
		s.Segments(pos, func(g Segment) bool { got = append(got, g.Epoch); return true })
		return got
	}
	for pos, want := range map[uint64][]uint64{0: {10, 20, 30}, 3: {10, 20, 30}, 4: {20, 30}, 7: {30}, 8: {30}, 9: nil} {
		if got := from(s, pos); !slices.Equal(got, want) {
			t.Errorf("after %d: segments %v, want %v", pos, got, want)
		}
	}
	n := 0
	s.Segments(0, func(Segment) bool { n++; return n < 2 })
	if n != 2 {
		t.Errorf("it went on after false: %d calls", n)
	}
}

func TestSame(t *testing.T) {
	later := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	anchor, other := at(1, 1), at(1, 2)
	fork := func(source string, at *twohop.Offset, sub uint64) *twohop.Fork {
		return &twohop.Fork{Source: source, At: at, Sub: sub}
	}
	f := func(s State, spec twohop.Spec, want bool) {
		t.Helper()
		if got := s.Same(&spec); got != want {
			t.Errorf("Same = %v\nstate %+v\nspec %+v", got, s, spec)
		}
	}
	plain := State{ContentType: "text/plain"}
	f(plain, twohop.Spec{ContentType: "text/plain"}, true)
	f(plain, twohop.Spec{ContentType: "Text/Plain; charset=utf-8"}, true)
	f(plain, twohop.Spec{ContentType: "application/json"}, false)
	f(plain, twohop.Spec{}, false)
	f(State{ContentType: "application/octet-stream"}, twohop.Spec{}, true)
	f(plain, twohop.Spec{ContentType: "text/plain", TTL: time.Second}, false)
	f(plain, twohop.Spec{ContentType: "text/plain", ExpiresAt: later}, false)
	f(plain, twohop.Spec{ContentType: "text/plain", Closed: true}, false)
	f(plain, twohop.Spec{ContentType: "text/plain", Fork: fork("a", nil, 0)}, false)
	f(State{ContentType: "text/plain", Closed: true}, twohop.Spec{ContentType: "text/plain"}, false)
	f(State{ContentType: "text/plain", ExpiresAt: later}, twohop.Spec{ContentType: "text/plain", ExpiresAt: later.In(time.FixedZone("", 3600))}, true)

	forked := State{ContentType: "text/plain", TTL: time.Hour, Fork: fork("a", &anchor, 2)}
	f(forked, twohop.Spec{Fork: fork("a", &anchor, 2)}, true)
	f(forked, twohop.Spec{Fork: fork("a", nil, 2)}, true)
	f(forked, twohop.Spec{TTL: time.Hour, Fork: fork("a", &anchor, 2)}, true)
	f(forked, twohop.Spec{TTL: time.Minute, Fork: fork("a", &anchor, 2)}, false)
	f(forked, twohop.Spec{Fork: fork("b", &anchor, 2)}, false)
	f(forked, twohop.Spec{Fork: fork("a", &other, 2)}, false)
	f(forked, twohop.Spec{Fork: fork("a", &anchor, 1)}, false)
	f(forked, twohop.Spec{ContentType: "text/plain", TTL: time.Hour}, false)
	f(State{ContentType: "text/plain", Fork: fork("a", nil, 0)}, twohop.Spec{Fork: fork("a", &anchor, 0)}, false)
}

func TestExpiry(t *testing.T) {
	used := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := (&State{}).Expiry(used); !got.IsZero() {
		t.Errorf("without a lifetime it expires at %s", got)
	}
	if got := (&State{TTL: time.Hour}).Expiry(used); !got.Equal(used.Add(time.Hour)) {
		t.Errorf("with a TTL it expires at %s", got)
	}
	if got := (&State{ExpiresAt: used}).Expiry(used.Add(time.Hour)); !got.Equal(used) {
		t.Errorf("with a time it expires at %s", got)
	}
}

// writer is a state and what it knows of its producers, as an engine has them.
type writer struct {
	s     State
	prods map[string]*ProducerState
	keys  map[string]twohop.Offset
}

func newWriter() *writer {
	return &writer{State{Name: "c", Epoch: 10, ContentType: "text/plain"}, map[string]*ProducerState{}, map[string]twohop.Offset{}}
}

func (w *writer) append(a twohop.Append) (twohop.Ack, error) {
	var prod *ProducerState
	if a.Producer != nil {
		prod = w.prods[a.Producer.ID]
	}
	var key *twohop.Offset
	if o, ok := w.keys[a.Key]; ok {
		key = &o
	}
	ack, err := w.s.Judge(&a, prod, key, twohop.LevelDisk)
	if err != nil || ack != nil {
		if ack == nil {
			ack = &twohop.Ack{}
		}
		return *ack, err
	}
	if a.Producer != nil && prod == nil {
		prod = &ProducerState{}
		w.prods[a.Producer.ID] = prod
	}
	done := w.s.Apply(&a, prod, twohop.LevelDisk)
	if a.Key != "" {
		w.keys[a.Key] = done.Offset
	}
	return done, nil
}

var record = []uint32{1}

// The order of judgement is part of the contract: each condition that fails
// answers before all that stand after it.
func TestJudgeOrder(t *testing.T) {
	w := newWriter()
	for i := range uint64(2) {
		if _, err := w.append(twohop.Append{Ends: record, Seq: string(rune('4' + i)), Producer: &twohop.Producer{ID: "p", Epoch: 3, Seq: i}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.append(twohop.Append{Ends: record, Key: "k"}); err != nil {
		t.Fatal(err)
	}
	elsewhere := at(1, 1)
	a := twohop.Append{Ends: record, ContentType: "application/json", Key: "k", Seq: "1", If: &elsewhere,
		Producer: &twohop.Producer{ID: "p", Epoch: 2, Seq: 9}}
	refused := func(code twohop.Code) {
		t.Helper()
		before := w.s
		if ack, err := w.append(a); codeOf(err) != code {
			t.Fatalf("%+v, %v; want %s", ack, err, code)
		}
		if !cmp.Equal(before, w.s) {
			t.Errorf("a refused append changed the state: %s", cmp.Diff(before, w.s))
		}
	}
	duplicate := func() {
		t.Helper()
		if ack, err := w.append(a); err != nil || !ack.Duplicate {
			t.Fatalf("%+v, %v; want a duplicate", ack, err)
		}
	}
	refused(twohop.CodeProducerEpoch)
	a.Producer.Epoch = 3
	duplicate() // of the key
	w.s.Closed = true
	duplicate()
	a.Key = ""
	refused(twohop.CodeClosed)
	w.s.Closed = false
	refused(twohop.CodeContentType)
	a.ContentType = ""
	refused(twohop.CodeProducerSeq)
	a.Producer.Epoch = 4
	refused(twohop.CodeProducerStart)
	a.Producer.Seq = 0
	refused(twohop.CodeSeqRegression)
	a.Seq = "6"
	refused(twohop.CodeTailMoved)
	a.If = nil
	if ack, err := w.append(a); err != nil || ack.Offset != at(10, 4) || ack.Level != twohop.LevelDisk {
		t.Errorf("%+v, %v", ack, err)
	}
}

func TestJudgeRefusalsSayWhatIsDue(t *testing.T) {
	w := newWriter()
	if _, err := w.append(twohop.Append{Ends: record, Producer: &twohop.Producer{ID: "p", Epoch: 3}}); err != nil {
		t.Fatal(err)
	}
	elsewhere := at(1, 1)
	for _, c := range []struct {
		a    twohop.Append
		want twohop.Error
	}{
		{twohop.Append{Ends: record, Producer: &twohop.Producer{ID: "p", Epoch: 1}}, twohop.Error{Code: twohop.CodeProducerEpoch, Epoch: 3}},
		{twohop.Append{Ends: record, Producer: &twohop.Producer{ID: "p", Epoch: 3, Seq: 7}}, twohop.Error{Code: twohop.CodeProducerSeq, Expect: 1, Got: 7}},
		{twohop.Append{Ends: record, Producer: &twohop.Producer{ID: "q", Seq: 7}}, twohop.Error{Code: twohop.CodeProducerSeq, Got: 7}},
		{twohop.Append{Ends: record, If: &elsewhere}, twohop.Error{Code: twohop.CodeTailMoved, Tail: new(at(10, 1))}},
	} {
		_, err := w.append(c.a)
		e, ok := errors.AsType[*twohop.Error](err)
		if !ok {
			t.Errorf("%+v was not refused", c.a)
			continue
		}
		if e.Message == "" || e.Hint == "" || e.Channel != "c" {
			t.Errorf("it does not say enough: %+v", e)
		}
		got := twohop.Error{Code: e.Code, Epoch: e.Epoch, Expect: e.Expect, Got: e.Got, Tail: e.Tail}
		if !cmp.Equal(got, c.want) {
			t.Errorf("%s", cmp.Diff(c.want, got))
		}
	}
}

// Whatever requests a producer repeats, and when, each takes effect once, and
// the answer is that of the first time or has no offset.
func TestProducerTakesEffectOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWriter()
		type request struct{ epoch, seq uint64 }
		first := map[request]twohop.Offset{}
		newest := request{}
		known := false
		for range rapid.IntRange(1, 60).Draw(rt, "requests") {
			r := request{rapid.Uint64Range(0, 3).Draw(rt, "epoch"), rapid.Uint64Range(0, 9).Draw(rt, "seq")}
			tail := w.s.Tail
			ack, err := w.append(twohop.Append{Ends: record, Producer: &twohop.Producer{ID: "p", Epoch: r.epoch, Seq: r.seq}})
			o, repeated := first[r]
			switch {
			case known && r.epoch < newest.epoch:
				if codeOf(err) != twohop.CodeProducerEpoch {
					rt.Fatalf("%+v after %+v: %v", r, newest, err)
				}
			case repeated:
				recent := newest.seq-r.seq < acksKept
				if err != nil || !ack.Duplicate || ack.Seq != newest.seq || ack.Offset != o && (recent || !ack.Offset.IsZero()) {
					rt.Fatalf("%+v repeated after %+v: %+v, %v; the first time %v", r, newest, ack, err, o)
				}
			case known && r.epoch == newest.epoch && r.seq == newest.seq+1, (!known || r.epoch > newest.epoch) && r.seq == 0:
				if err != nil || ack.Duplicate || ack.Seq != r.seq || w.s.Tail != tail+1 {
					rt.Fatalf("%+v after %+v: %+v, %v", r, newest, ack, err)
				}
				first[r], newest, known = ack.Offset, r, true
				continue
			case err == nil:
				rt.Fatalf("%+v after %+v: %+v; want a refusal", r, newest, ack)
			}
			if w.s.Tail != tail {
				rt.Fatalf("%+v after %+v moved the tail", r, newest)
			}
		}
	})
}

func TestClosure(t *testing.T) {
	p := &twohop.Producer{ID: "p", Epoch: 1}
	w := newWriter()
	if ack, err := w.append(twohop.Append{Ends: record, Close: true, Producer: p}); err != nil || !ack.Closed {
		t.Fatalf("%+v, %v", ack, err)
	}
	if ack, err := w.append(twohop.Append{Ends: record, Close: true, Producer: p}); err != nil || !ack.Duplicate || !ack.Closed || ack.Offset != at(10, 1) {
		t.Errorf("by the producer that closed it: %+v, %v", ack, err)
	}
	if ack, err := w.append(twohop.Append{Close: true}); err != nil || !ack.Duplicate || ack.Offset != at(10, 1) {
		t.Errorf("closed again: %+v, %v", ack, err)
	}
	for _, a := range []twohop.Append{
		{Ends: record}, {Ends: record, Close: true}, {Close: true, Producer: &twohop.Producer{ID: "q"}},
		{Ends: record, Producer: &twohop.Producer{ID: "p", Epoch: 1, Seq: 1}},
	} {
		if _, err := w.append(a); codeOf(err) != twohop.CodeClosed {
			t.Errorf("%+v: %v, want %s", a, err, twohop.CodeClosed)
		}
	}
}

// Renew begins a new epoch at the tail; offsets of the old one stay what they were.
func TestRenew(t *testing.T) {
	s := forked()
	before := make([]twohop.Offset, 0, 10)
	for pos := range s.Tail + 1 {
		before = append(before, s.Offset(pos))
	}
	s.Renew(40)
	for pos, o := range before {
		if got := s.Offset(uint64(pos)); got != o { //nolint:gosec // an index
			t.Errorf("Offset(%d) was %v and is %v", pos, o, got)
		}
	}
	s.Tail++
	if got := s.Offset(s.Tail); got != at(40, 10) {
		t.Errorf("the next offset is %v", got)
	}
	if _, err := s.Locate(at(30, 10)); codeOf(err) != twohop.CodeReset {
		t.Errorf("an offset of the old epoch beyond its end: %v", err)
	}
}
