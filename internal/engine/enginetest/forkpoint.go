package enginetest

import (
	"fmt"
	"strings"

	"twohop"
)

func forkPointCases() []testCase {
	return []testCase{
		{name: "Refused", run: forkPointRefused},
		{name: "SubJSON", run: subJSON},
		{name: "SubBytes", run: subBytes},
		{name: "SubInChain", run: subInChain},
		{name: "TrimmedSource", run: forkTrimmedSource, bubble: true, needs: hasRetention},
		{name: "SourceTrimsLater", run: forkSourceTrims, bubble: true, needs: hasRetention},
		{name: "ForkTrims", run: forkTrims, bubble: true, needs: hasRetention},
	}
}

func forkPointRefused(f *fixture) {
	f.channel("a", "x", "y")
	f.channel("b", "x", "y")
	tail, other := f.info("a").Tail, f.info("b").Tail
	for _, at := range []twohop.Offset{
		{Epoch: tail.Epoch, Pos: tail.Pos + 1}, {Epoch: tail.Epoch, Pos: twohop.MaxPosition}, other, {Epoch: 1, Pos: 1},
	} {
		f.forkRefused(&twohop.Spec{Fork: &twohop.Fork{Source: "a", At: &at}}, twohop.CodeForkOffset)
	}
	f.forkRefused(&twohop.Spec{Fork: &twohop.Fork{Source: "a", Sub: 1}}, twohop.CodeForkOffset)
	f.forkRefused(&twohop.Spec{Fork: &twohop.Fork{Source: "a", At: &tail, Sub: 1}}, twohop.CodeForkOffset)
	f.forkRefused(&twohop.Spec{Fork: &twohop.Fork{Source: "absent"}}, twohop.CodeNotFound)
	f.forkRefused(&twohop.Spec{Fork: &twohop.Fork{Source: "refused"}}, twohop.CodeNotFound) // of itself
	f.remove("a")
	f.absent("a", twohop.CodeNotFound) // no refused fork holds on to it
}

func subJSON(f *fixture) {
	f.kind = json
	f.channel("a", "r0")
	f.append("a", "r1", "r2", "r3")
	all := []string{"r0", "r1", "r2", "r3"}
	offsets := []twohop.Offset{{}, f.info("a").Start}
	for _, r := range f.walk("a") {
		offsets = append(offsets, r.after)
	}
	for i, at := range offsets {
		first := max(0, i-1)
		for sub := range len(all) - first + 1 {
			name := fmt.Sprint("f", i, "-", sub)
			f.fork(name, "a", &at, uint64(sub))
			f.holds(name, all[:first+sub]...)
			f.append(name, "own")
			f.holds(name, append(all[:first+sub:first+sub], "own")...)
		}
		over := uint64(len(all) - first + 1)
		f.forkRefused(&twohop.Spec{Fork: &twohop.Fork{Source: "a", At: &at, Sub: over}}, twohop.CodeForkOffset)
		f.forkRefused(&twohop.Spec{Fork: &twohop.Fork{Source: "a", At: &at, Sub: 1 << 63}}, twohop.CodeForkOffset)
	}
}

// content is all that a channel holds; where records end does not show.
func (f *fixture) content(name string) string {
	f.Helper()
	return strings.Join(datas(f.walk(name)), "")
}

func subBytes(f *fixture) {
	all := []string{"first", "ab", "second", "c"}
	f.channel("a", all[0])
	f.append("a", all[1:]...)
	at := f.info("a").Start
	for i, r := range f.walk("a") {
		before := strings.Join(all[:i], "")
		for sub := range len(all[i]) + 1 {
			name := fmt.Sprint("f", i, "-", sub)
			info := f.fork(name, "a", &at, uint64(sub))
			want := before + all[i][:sub]
			if got := f.content(name); got != want {
				f.Errorf("a fork at record %d and %d bytes holds %q, want %q", i, sub, got, want)
			}
			f.compares(name, &twohop.Spec{Fork: &twohop.Fork{Source: "a", At: &at, Sub: uint64(sub)}}, true)
			f.append(name, "own")
			if got := f.content(name); got != want+"own" {
				f.Errorf("the fork holds %q, want %q", got, want+"own")
			}
			if got := f.pages(name, info.Tail, huge); len(got) != 1 || got[0].data != "own" {
				f.Errorf("after the tail at its creation the fork holds %q", datas(got))
			}
		}
		f.forkRefused(&twohop.Spec{Fork: &twohop.Fork{Source: "a", At: &at, Sub: uint64(len(all[i]) + 1)}}, twohop.CodeForkOffset)
		at = r.after
	}
}

// subInChain cuts a record that a fork inherits, and the cut part again.
func subInChain(f *fixture) {
	f.channel("a", "012", "3456789")
	at := f.walk("a")[0].after
	f.fork("b", "a", nil, 0)
	f.fork("c", "b", &at, 5)
	if got := f.content("c"); got != "01234567" {
		f.Fatalf("c holds %q", got)
	}
	f.fork("d", "c", &at, 2)
	if got := f.content("d"); got != "01234" {
		f.Fatalf("d holds %q", got)
	}
	spec := f.spec("-", "!")
	spec.Fork = &twohop.Fork{Source: "d", At: &at, Sub: 1}
	f.create("e", spec)
	for _, name := range []string{"a", "b", "c", "d"} {
		f.remove(name)
	}
	if got := f.content("e"); got != "0123-!" {
		f.Fatalf("e holds %q", got)
	}
}

// forkTrimmedSource forks a channel whose first records are gone.
func forkTrimmedSource(f *fixture) {
	f.create("a", &twohop.Spec{ContentType: f.kind, Retention: twohop.Retention{Records: 3}})
	var offsets []twohop.Offset
	for i := range 6 {
		ack, err := f.send(f.appendOf("a", fmt.Sprint("r", i)))
		if err != nil {
			f.Fatal(err)
		}
		offsets = append(offsets, ack.Offset)
	}
	delete(f.logs, "a")
	f.pass(lazy)
	f.holds("a", "r3", "r4", "r5")
	f.forkRefused(&twohop.Spec{Fork: &twohop.Fork{Source: "a", At: &offsets[0]}}, twohop.CodeForkOffset)
	if info := f.fork("f", "a", &offsets[4], 0); info.Start != f.info("a").Start {
		f.Errorf("the fork begins at %s, its source at %s", info.Start, f.info("a").Start)
	}
	f.holds("f", "r3", "r4")
	f.append("f", "own")
	f.wantReset("f", offsets[0], twohop.ResetTrimmed)
	f.fork("g", "a", &offsets[2], 0)
	f.holds("g")
	f.append("g", "own")
	f.holds("g", "own")
	f.fork("h", "a", &twohop.Offset{}, 0)
	f.holds("h")
}

// forkSourceTrims trims a source: its forks keep what they inherited.
func forkSourceTrims(f *fixture) {
	x, y := strings.Repeat("x", 5000), strings.Repeat("y", 5000) // worth to be given up
	f.create("a", &twohop.Spec{ContentType: f.kind, Retention: twohop.Retention{Records: 2}})
	f.append("a", x)
	f.append("a", y)
	f.fork("f", "a", nil, 0)
	f.fork("g", "f", nil, 0)
	delete(f.logs, "a")
	for i := range 5 {
		if _, err := f.send(f.appendOf("a", fmt.Sprint("z", i))); err != nil {
			f.Fatal(err)
		}
	}
	f.pass(lazy)
	f.holds("a", "z3", "z4")
	f.holds("f", x, y)
	f.append("f", "own")
	f.fork("h", "f", nil, 0)
	f.holds("h", x, y, "own")
	f.remove("a")
	f.remove("f")
	f.holds("g", x, y)
	f.holds("h", x, y, "own")
	f.remove("g")
	f.remove("h")
	f.eventually("a is collected", func() bool { return f.codeOf("a") == twohop.CodeNotFound })
}

// forkTrims gives a fork a retention of its own: it drops what it inherited,
// and its source keeps it.
func forkTrims(f *fixture) {
	f.channel("a", "x", "y")
	f.append("a", "u", "v")
	f.create("f", &twohop.Spec{Fork: &twohop.Fork{Source: "a"}, Retention: twohop.Retention{Records: 3}})
	delete(f.logs, "f")
	for i, want := range [][]string{{"u", "v", "0"}, {"u", "v", "0", "1"}, {"0", "1", "2"}, {"1", "2", "3"}} {
		if _, err := f.send(f.appendOf("f", fmt.Sprint(i))); err != nil {
			f.Fatal(err)
		}
		f.pass(lazy)
		f.holds("f", want...)
	}
	f.holds("a", "x", "y", "u", "v")
	f.create("b", &twohop.Spec{Fork: &twohop.Fork{Source: "a"}, Retention: twohop.Retention{Bytes: 4}})
	delete(f.logs, "b")
	for i, want := range [][]string{{"y", "u", "v", "0"}, {"u", "v", "0", "1"}, {"u", "v", "0", "1", "2"}, {"0", "1", "2", "3"}} {
		if _, err := f.send(f.appendOf("b", fmt.Sprint(i))); err != nil {
			f.Fatal(err)
		}
		f.pass(lazy)
		f.holds("b", want...)
	}
	f.remove("b")
	f.fork("g", "f", nil, 0)
	f.remove("a")
	f.holds("f", "1", "2", "3")
	f.holds("g", "1", "2", "3")
}
