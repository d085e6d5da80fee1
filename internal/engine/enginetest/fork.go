package enginetest

import (
	"fmt"
	"time"

	"twohop"
)

func forkCases() []testCase {
	return []testCase{
		{name: "AtTail", run: forkAtTail, both: true},
		{name: "AtEveryOffset", run: forkAtEveryOffset, both: true},
		{name: "AtZero", run: forkAtZero, both: true},
		{name: "Chain", run: forkChain, both: true},
		{name: "Compare", run: forkCompare},
		{name: "Initial", run: forkInitial, both: true},
		{name: "Closed", run: forkClosed},
		{name: "WriterState", run: forkWriterState},
		{name: "ContentType", run: forkContentType},
		{name: "Offsets", run: forkOffsets},
		{name: "If", run: forkIf, needs: hasConditions},
		{name: "SoftDelete", run: forkSoftDelete},
		{name: "Cascade", run: forkCascade},
		{name: "CascadeMixed", run: forkCascadeMixed},
		{name: "Expiry", run: forkExpiry, bubble: true},
		{name: "SourceExpires", run: forkSourceExpires, bubble: true},
	}
}

// fork makes a fork of the source at an offset, or at its tail.
func (f *fixture) fork(name, source string, at *twohop.Offset, sub uint64) twohop.Info {
	f.Helper()
	return f.create(name, &twohop.Spec{Fork: &twohop.Fork{Source: source, At: at, Sub: sub}})
}

// forkRefused tries to make a fork that cannot be, and checks that it is not.
func (f *fixture) forkRefused(spec *twohop.Spec, code twohop.Code) {
	f.Helper()
	_, _, err := f.eng.Create(f.Context(), "refused", spec)
	f.wantCode(err, code)
	f.absent("refused", twohop.CodeNotFound)
}

func forkAtTail(f *fixture) {
	f.channel("a", "x", "y")
	tail := f.info("a").Tail
	info := f.fork("f", "a", nil, 0)
	if info.Tail != tail || info.Start != f.info("a").Start {
		f.Errorf("a fork from %s to %s of a source up to %s", info.Start, info.Tail, tail)
	}
	f.holds("f", "x", "y")
	f.append("a", "source only")
	f.append("f", "fork only", "too")
	f.holds("a", "x", "y", "source only")
	f.holds("f", "x", "y", "fork only", "too")
}

func forkAtEveryOffset(f *fixture) {
	all := mixed(f, "a")
	offsets := []twohop.Offset{f.info("a").Start}
	for _, r := range f.walk("a") {
		offsets = append(offsets, r.after)
	}
	for i, at := range offsets {
		name := fmt.Sprint("f", i)
		if info := f.fork(name, "a", &at, 0); i > 0 && info.Tail != at {
			f.Errorf("a fork at %s has the tail %s", at, info.Tail)
		}
		f.holds(name, all[:i]...)
		f.append(name, "own", name)
		f.holds(name, append(all[:i:i], "own", name)...)
		want := f.walk(name)
		for j, r := range want {
			if j < i && r.after != offsets[j+1] {
				f.Errorf("%s: record %d ends at %s, in the source at %s", name, j, r.after, offsets[j+1])
			}
			for _, size := range []int{0, 7, huge} {
				if err := same(f.pages(name, r.after, size), want[j+1:]); err != nil {
					f.Fatalf("%s: from %s in pages of %d: %v", name, r.after, size, err)
				}
			}
			if o, err := f.eng.Last(f.Context(), name, uint64(len(want)-j-1)); err != nil || o != r.after {
				f.Errorf("%s: Last(%d) = %s, %v; want %s", name, len(want)-j-1, o, err, r.after)
			}
		}
	}
	f.holds("a", all...)
}

func forkAtZero(f *fixture) {
	f.channel("a", "x", "y")
	f.fork("f", "a", &twohop.Offset{}, 0)
	f.holds("f")
	f.append("f", "own")
	f.holds("f", "own")
	start := f.info("a").Start
	f.fork("g", "a", &start, 0)
	f.holds("g")
	f.append("g", "own")
	f.holds("g", "own")
}

// forkChain forks forks, each at its tail, its source's part and its own, and
// writes to all of them.
func forkChain(f *fixture) {
	f.channel("c0", "0a", "0b")
	want := []string{"0a", "0b"}
	const depth = 8
	for i := 1; i <= depth; i++ {
		name, source := fmt.Sprint("c", i), fmt.Sprint("c", i-1)
		f.fork(name, source, nil, 0)
		f.append(name, fmt.Sprint(i, "a"), fmt.Sprint(i, "b"))
		want = append(want, fmt.Sprint(i, "a"), fmt.Sprint(i, "b"))
		f.holds(name, want...)
	}
	for i := range depth {
		f.append(fmt.Sprint("c", i), "after the fork")
	}
	deepest := fmt.Sprint("c", depth)
	f.holds(deepest, want...)
	offsets := []twohop.Offset{f.info(deepest).Start}
	for _, r := range f.walk(deepest) {
		offsets = append(offsets, r.after)
	}
	for i, at := range offsets {
		name := fmt.Sprint("d", i)
		f.fork(name, deepest, &at, 0)
		f.holds(name, want[:i]...)
		f.append(name, "own")
		f.holds(name, append(want[:i:i], "own")...)
	}
}

func forkCompare(f *fixture) {
	f.channel("a", "x", "y")
	f.channel("b", "x", "y")
	at := f.walk("a")[0].after
	of := func(source string, at *twohop.Offset, sub uint64) *twohop.Spec {
		return &twohop.Spec{Fork: &twohop.Fork{Source: source, At: at, Sub: sub}}
	}
	tail := f.info("a").Tail
	f.create("f", of("a", &at, 0))
	f.append("f", "own")
	f.compares("f", of("a", &at, 0), true)
	with := of("a", &at, 0)
	with.ContentType = text
	f.compares("f", with, true)
	f.compares("f", of("a", &tail, 0), false)
	f.compares("f", of("b", &at, 0), false)
	f.compares("f", of("a", &at, 1), false)
	f.compares("f", of("absent", &at, 0), false)
	f.compares("f", f.spec(), false)
	f.compares("a", of("b", nil, 0), false)
	ttl := of("a", &at, 0)
	ttl.TTL = time.Hour
	f.compares("f", ttl, false)
	f.create("g", of("a", nil, 0))
	f.append("a", "z")
	f.compares("g", of("a", nil, 0), true) // it asks for the same, though the tail moved
	f.holds("g", "x", "y")
}

func forkInitial(f *fixture) {
	f.channel("a", "x", "y")
	at := f.walk("a")[0].after
	spec := f.spec("first", "second")
	spec.Fork = &twohop.Fork{Source: "a", At: &at}
	f.create("f", spec)
	f.holds("f", "x", "first", "second")
	f.append("f", "third")
	f.holds("f", "x", "first", "second", "third")
}

func forkClosed(f *fixture) {
	f.channel("a", "x")
	f.must(f.closing(f.appendOf("a", "y")))
	f.fork("f", "a", nil, 0)
	f.append("f", "z")
	f.holds("f", "x", "y", "z")
	f.refused(f.appendOf("a", "z"), twohop.CodeClosed)
	f.create("g", &twohop.Spec{Fork: &twohop.Fork{Source: "a"}, Closed: true})
	f.holds("g", "x", "y")
	f.refused(f.appendOf("g", "z"), twohop.CodeClosed)
	f.must(f.closing(f.appendOf("f")))
}

func forkWriterState(f *fixture) {
	f.channel("a")
	first := func(name string, seq uint64) *twohop.Append {
		a := f.produce(name, "p", 3, seq, "x")
		a.Key, a.Seq = fmt.Sprint("k", seq), fmt.Sprint("9", seq)
		return a
	}
	f.must(first("a", 0))
	f.must(first("a", 1))
	f.fork("f", "a", nil, 0)
	f.refused(f.produce("f", "p", 3, 2, "no"), twohop.CodeProducerSeq)
	f.must(first("f", 0))
	f.must(first("a", 2))
}

func forkContentType(f *fixture) {
	f.create("a", &twohop.Spec{ContentType: "text/plain; charset=utf-8"})
	f.append("a", "x")
	for i, contentType := range []string{"", "text/plain", "TEXT/plain; charset=latin1"} {
		name := fmt.Sprint("f", i)
		f.create(name, &twohop.Spec{ContentType: contentType, Fork: &twohop.Fork{Source: "a"}})
		if got := f.info(name).ContentType; !twohop.SameContentType(got, text) {
			f.Errorf("a fork of %s that asks for %q keeps %q", text, contentType, got)
		}
	}
	f.forkRefused(&twohop.Spec{ContentType: json, Fork: &twohop.Fork{Source: "a"}}, twohop.CodeContentType)
}

// forkOffsets checks which offsets of its source a fork can be read from.
func forkOffsets(f *fixture) {
	f.channel("a", "x", "y", "z")
	offsets := f.walk("a")
	f.fork("f", "a", &offsets[1].after, 0)
	f.wantReset("f", offsets[2].after, twohop.ResetEpoch)
	f.append("f", "1", "2")
	f.wantReset("f", offsets[2].after, twohop.ResetEpoch)
	f.append("a", "u")
	f.wantReset("f", f.info("a").Tail, twohop.ResetEpoch)
	own := f.info("f").Tail
	f.wantReset("a", own, twohop.ResetEpoch)
	f.wantReset("f", twohop.Offset{Epoch: own.Epoch, Pos: own.Pos + 1}, twohop.ResetAhead)
	if own.Epoch <= offsets[1].after.Epoch {
		f.Errorf("the fork's own epoch %d is not above its source's %d", own.Epoch, offsets[1].after.Epoch)
	}
}

func forkIf(f *fixture) {
	f.channel("a", "x", "y")
	tail := f.info("a").Tail
	f.fork("f", "a", nil, 0)
	a := f.appendOf("f", "own")
	a.If = &tail
	f.must(a)
	f.refused(a, twohop.CodeTailMoved)
	b := f.appendOf("a", "own")
	b.If = &tail
	f.must(b)
}

func forkSoftDelete(f *fixture) {
	f.channel("a", "x", "y")
	f.fork("f", "a", nil, 0)
	f.fork("g", "a", nil, 0)
	f.remove("a")
	f.absent("a", twohop.CodeGone)
	_, _, err := f.eng.Create(f.Context(), "a", f.spec())
	f.wantCode(err, twohop.CodeExists)
	create := f.appendOf("a", "x")
	create.Create = f.spec()
	_, err = f.send(create)
	f.wantCode(err, twohop.CodeGone)
	f.forkRefused(&twohop.Spec{Fork: &twohop.Fork{Source: "a"}}, twohop.CodeForkSource)
	f.eng.Touch("a")
	f.holds("f", "x", "y")
	f.append("f", "z")
	f.remove("f")
	f.absent("a", twohop.CodeGone)
	f.holds("g", "x", "y")
	f.fork("h", "g", nil, 0)
	f.remove("g")
	f.absent("a", twohop.CodeGone)
	f.absent("g", twohop.CodeGone)
	f.append("h", "own")
	f.holds("h", "x", "y", "own")
	f.remove("h")
	f.eventually("a is collected", func() bool { return f.codeOf("a") == twohop.CodeNotFound })
	f.channel("a", "new")
	f.channel("g", "new")
}

func forkCascade(f *fixture) {
	const depth = 6
	f.channel("c0", "0")
	want := []string{"0"}
	for i := 1; i <= depth; i++ {
		f.fork(fmt.Sprint("c", i), fmt.Sprint("c", i-1), nil, 0)
		f.append(fmt.Sprint("c", i), fmt.Sprint(i))
		want = append(want, fmt.Sprint(i))
	}
	for i := range depth {
		f.remove(fmt.Sprint("c", i))
		f.absent(fmt.Sprint("c", i), twohop.CodeGone)
		f.holds(fmt.Sprint("c", depth), want...)
	}
	f.remove(fmt.Sprint("c", depth))
	for i := range depth + 1 {
		name := fmt.Sprint("c", i)
		f.eventually(name+" is collected", func() bool { return f.codeOf(name) == twohop.CodeNotFound })
		f.absent(name, twohop.CodeNotFound)
	}
}

// forkCascadeMixed deletes a middle one last: what is alive below and above
// stays.
func forkCascadeMixed(f *fixture) {
	f.channel("a", "a1")
	f.fork("b", "a", nil, 0)
	f.append("b", "b1")
	f.fork("c", "b", nil, 0)
	f.append("c", "c1")
	f.remove("b")
	f.append("a", "a2")
	f.remove("c")
	f.eventually("b is collected", func() bool { return f.codeOf("b") == twohop.CodeNotFound })
	f.holds("a", "a1", "a2")
	f.fork("b", "a", nil, 0)
	f.holds("b", "a1", "a2")
	f.remove("b")
	f.remove("a")
	f.absent("a", twohop.CodeNotFound)
}

// forkExpiry goes through the table of Durable Streams 4.2.
func forkExpiry(f *fixture) {
	soon, late := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	type life struct {
		ttl time.Duration
		at  time.Time
	}
	none, ttl, at := life{}, life{ttl: time.Hour}, life{at: soon}
	own, ownAt := life{ttl: 3 * time.Hour}, life{at: late}
	for i, c := range []struct{ source, asked, want life }{
		{none, none, none}, {none, own, own}, {none, ownAt, ownAt},
		{ttl, none, ttl}, {ttl, own, own}, {ttl, ownAt, ownAt},
		{at, none, at}, {at, own, own}, {at, ownAt, ownAt},
	} {
		source, name := fmt.Sprint("s", i), fmt.Sprint("f", i)
		f.create(source, &twohop.Spec{ContentType: f.kind, TTL: c.source.ttl, ExpiresAt: c.source.at})
		f.append(source, "x")
		spec := &twohop.Spec{TTL: c.asked.ttl, ExpiresAt: c.asked.at, Fork: &twohop.Fork{Source: source}}
		f.create(name, spec)
		if info := f.info(name); info.TTL != c.want.ttl || !info.ExpiresAt.Equal(c.want.at) {
			f.Errorf("a source of %+v, a fork that asks for %+v: it got %s, %s", c.source, c.asked, info.TTL, info.ExpiresAt)
		}
		f.compares(name, spec, true)
	}
}

func forkSourceExpires(f *fixture) {
	f.pass(33 * time.Millisecond) // so that it is due at an odd time
	f.create("a", &twohop.Spec{ContentType: f.kind, TTL: time.Hour})
	f.append("a", "x")
	f.create("f", &twohop.Spec{TTL: 24 * time.Hour, Fork: &twohop.Fork{Source: "a"}})
	f.pass(time.Hour)
	delete(f.logs, "a")
	f.forkRefused(&twohop.Spec{Fork: &twohop.Fork{Source: "a"}}, twohop.CodeForkSource)
	f.absent("a", twohop.CodeGone)
	f.holds("f", "x")
	f.append("f", "y")
	f.pass(lazy)
	f.holds("f", "x", "y")
	f.pass(25 * time.Hour)
	delete(f.logs, "f")
	f.absent("f", twohop.CodeNotFound)
	f.absent("a", twohop.CodeNotFound)
	f.channel("a", "new")
}

// codeOf is the code of the error that Info gives.
func (f *fixture) codeOf(name string) twohop.Code {
	f.Helper()
	_, err := f.eng.Info(f.Context(), name)
	if err == nil {
		return ""
	}
	return codeOf(err)
}
