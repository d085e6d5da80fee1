package engine

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"twohop"
)

// A fork has its source's offsets up to where it leaves it, at any depth, and
// only those.
func TestForksKeepTheirSourcesOffsets(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		now := time.Now()
		src := NewState("0", &twohop.Spec{ContentType: "application/json"}, 100, now)
		for epoch := range rapid.Uint64Range(101, 106).Draw(rt, "last epoch") - 100 {
			src.Tail += rapid.Uint64Range(0, 5).Draw(rt, "appended")
			src.Start = rapid.Uint64Range(src.Start, src.Tail).Draw(rt, "start")
			pos := rapid.Uint64Range(src.Start, src.Tail).Draw(rt, "at")
			anchor := rapid.Uint64Range(src.Start, pos).Draw(rt, "anchor")
			at := src.Offset(anchor)
			spec := &twohop.Spec{Fork: &twohop.Fork{Source: src.Name, At: &at, Sub: pos - anchor}}
			got, sub, err := src.ForkPoint(spec.Fork)
			if err != nil || got != pos || sub != 0 {
				rt.Fatalf("ForkPoint(%+v) of %+v = %d, %d, %v; want %d", spec.Fork, src, got, sub, err, pos)
			}
			f, err := src.NewFork("f", spec, pos, 101+epoch, now)
			if err != nil {
				rt.Fatal(err)
			}
			for p := range pos + 1 {
				if want, got := src.Offset(p), f.Offset(p); got != want && pos > 0 {
					rt.Fatalf("at %d the fork has %v, its source %v", p, got, want)
				}
			}
			if f.Start != src.Start || f.Tail != pos || f.Base != pos {
				rt.Fatalf("a fork at %d of %+v: %+v", pos, src, f)
			}
			if next := (twohop.Offset{Epoch: src.Epoch, Pos: pos + 1}); src.Tail > pos && pos > 0 {
				if _, err := f.Locate(src.Offset(pos + 1)); err == nil {
					rt.Fatalf("the fork takes %v, which its source gave after %d", next, pos)
				}
			}
			src = f
		}
	})
}

// A fork has room for what it inherits, not for all that its source did.
func TestForkHoldsWhatItInherits(t *testing.T) {
	src := &State{Name: "s", Epoch: 5000, Base: 4000, Tail: 4003}
	for i := range uint64(1000) {
		src.Parents = append(src.Parents, Segment{1000 + i, 4 * i, 4*i + 4})
	}
	for _, c := range []struct {
		at    uint64
		n     int
		until uint64
	}{{0, 0, 0}, {1, 1, 1}, {4, 1, 4}, {6, 2, 6}, {4000, 1000, 4000}, {4001, 1001, 4001}, {4003, 1001, 4003}} {
		f, err := src.NewFork("f", &twohop.Spec{Fork: &twohop.Fork{Source: "s"}}, c.at, 6000, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Parents) != c.n || c.n > 0 && f.Parents[c.n-1].To != c.until || cap(f.Parents) > 2*c.n {
			t.Errorf("a fork at %d has %d segments of %d, want %d", c.at, len(f.Parents), cap(f.Parents), c.n)
		}
	}
	if last := src.Parents[1]; last.To != 8 {
		t.Errorf("its source has %+v now", last)
	}
}

func TestForkPointRefuses(t *testing.T) {
	json := &State{Name: "j", Epoch: 7, Start: 1, Tail: 3, ContentType: "application/json"}
	text := &State{Name: "t", Epoch: 7, Start: 1, Tail: 3, ContentType: "text/plain"}
	for _, c := range []struct {
		s    *State
		f    twohop.Fork
		code twohop.Code
	}{
		{json, twohop.Fork{Sub: 1}, twohop.CodeForkOffset},
		{json, twohop.Fork{At: new(at(7, 4))}, twohop.CodeForkOffset},
		{json, twohop.Fork{At: new(at(7, 0)), Sub: 1}, twohop.CodeForkOffset},
		{json, twohop.Fork{At: new(at(6, 2))}, twohop.CodeForkOffset},
		{json, twohop.Fork{At: new(at(7, 2)), Sub: 2}, twohop.CodeForkOffset},
		{json, twohop.Fork{At: new(at(7, 2)), Sub: 1 << 63}, twohop.CodeForkOffset},
		{json, twohop.Fork{At: new(at(7, 3)), Sub: 1}, twohop.CodeForkOffset},
		{text, twohop.Fork{At: new(at(7, 3)), Sub: 1}, twohop.CodeForkOffset},
		{&State{Name: "d", Deleted: true}, twohop.Fork{}, twohop.CodeForkSource},
	} {
		if pos, sub, err := c.s.ForkPoint(&c.f); codeOf(err) != c.code {
			t.Errorf("ForkPoint(%+v) of %s = %d, %d, %v; want %s", c.f, c.s.Name, pos, sub, err, c.code)
		}
	}
	if pos, sub, err := text.ForkPoint(&twohop.Fork{At: new(at(7, 2)), Sub: 9}); pos != 2 || sub != 9 || err != nil {
		t.Errorf("a sub-offset in bytes: %d, %d, %v; want it left to the engine", pos, sub, err)
	}
}
