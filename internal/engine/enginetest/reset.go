package enginetest

import (
	"twohop"
)

func resetCases() []testCase {
	return []testCase{
		{name: "Ahead", run: resetAhead, both: true},
		{name: "Epoch", run: resetEpoch, both: true},
		{name: "Recreated", run: resetRecreated},
		{name: "RecreatedOften", run: resetRecreatedOften},
		{name: "Trimmed", run: resetTrimmed, bubble: true, needs: hasRetention},
	}
}

// wantReset checks that an offset cannot be read from.
func (f *fixture) wantReset(name string, from twohop.Offset, reason twohop.ResetReason) *twohop.Reset {
	f.Helper()
	b, err := f.eng.Read(f.Context(), name, from, huge)
	if err == nil {
		f.Fatalf("Read(%q, %s) = %+v; want a reset: %s", name, from, b, reason)
	}
	e := f.wantError(err, twohop.CodeReset)
	info := f.info(name)
	if e.Reset == nil || e.Reset.Reason != reason || e.Reset.Start != info.Start || e.Reset.Tail != info.Tail {
		f.Fatalf("Read(%q, %s): %+v; want a reset: %s, start %s, tail %s", name, from, e.Reset, reason, info.Start, info.Tail)
	}
	f.pages(name, e.Reset.Start, huge) // where it says to go on can be read from
	f.pages(name, e.Reset.Tail, huge)
	return e.Reset
}

func resetAhead(f *fixture) {
	f.channel("a", "x", "y")
	tail := f.info("a").Tail
	for _, by := range []uint64{1, 2, 1000, twohop.MaxPosition - tail.Pos} {
		f.wantReset("a", twohop.Offset{Epoch: tail.Epoch, Pos: tail.Pos + by}, twohop.ResetAhead)
	}
}

func resetEpoch(f *fixture) {
	f.channel("a", "x", "y")
	tail := f.info("a").Tail
	for _, epoch := range []uint64{0, 1, tail.Epoch - 1, tail.Epoch + 1, twohop.MaxPosition} {
		f.wantReset("a", twohop.Offset{Epoch: epoch, Pos: tail.Pos}, twohop.ResetEpoch)
	}
	if b := f.read("a", twohop.Offset{}, huge); b.Len() != 2 {
		f.Errorf("the zero offset reads %+v", b)
	}
}

func resetRecreated(f *fixture) {
	f.channel("a", "x", "y", "z")
	before := f.info("a")
	mid := f.walk("a")[0].after
	f.remove("a")
	f.absent("a", twohop.CodeNotFound)
	f.channel("a", "new")
	after := f.info("a")
	if after.Tail.Epoch <= before.Tail.Epoch || after.Start.String() <= before.Tail.String() {
		f.Errorf("deleted at %s, made anew at %s", before.Tail, after.Start)
	}
	for _, old := range []twohop.Offset{before.Start, mid, before.Tail} {
		f.wantReset("a", old, twohop.ResetEpoch)
	}
	f.holds("a", "new")
}

// resetRecreatedOften makes logs faster than the clock ticks.
func resetRecreatedOften(f *fixture) {
	var last twohop.Offset
	for range 50 {
		info := f.create("a", f.spec("x"))
		if info.Start.Compare(last) <= 0 {
			f.Fatalf("deleted at %s, made anew at %s", last, info.Start)
		}
		last = info.Tail
		f.remove("a")
	}
}

func resetTrimmed(f *fixture) {
	spec := f.spec()
	spec.Retention.Records = 3
	f.create("a", spec)
	start := f.info("a").Start
	offsets := []twohop.Offset{start}
	for range 10 {
		ack, err := f.send(f.appendOf("a", "x"))
		if err != nil {
			f.Fatal(err)
		}
		offsets = append(offsets, ack.Offset)
	}
	f.logs["a"].recs = []record{{data: "x"}, {data: "x"}, {data: "x"}}
	f.pass(lazy)
	f.check("a")
	for i, o := range offsets[:7] {
		if r := f.wantReset("a", o, twohop.ResetTrimmed); r.Missed != 0 && r.Missed != uint64(7-i) {
			f.Errorf("%d records are missed after %s, the reset says %d", 7-i, o, r.Missed)
		}
	}
	for i, o := range offsets[7:] {
		if got := f.pages("a", o, huge); len(got) != 3-i {
			f.Errorf("after %s it reads %q", o, datas(got))
		}
	}
	if b := f.read("a", twohop.Offset{}, huge); b.Len() != 3 || b.From != offsets[7] {
		f.Errorf("the zero offset reads %+v", b)
	}
}
