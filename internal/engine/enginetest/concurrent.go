package enginetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"twohop"
)

func concurrentCases() []testCase {
	return []testCase{
		{name: "Appends", run: concurrentAppends, both: true},
		{name: "AppendsAndReads", run: concurrentReads},
		{name: "Create", run: concurrentCreate},
		{name: "CreateByAppend", run: concurrentCreateByAppend},
		{name: "Duplicates", run: concurrentDuplicates},
		{name: "ForksAndDeletes", run: concurrentForks},
		{name: "Delete", run: concurrentDelete},
		{name: "Retention", run: concurrentRetention, needs: hasRetention},
		{name: "OneWinnerPerTail", run: oneWinner, needs: hasConditions},
		{name: "Linearizable", run: linearizable, needs: hasConditions},
	}
}

// parallel runs f for 0 to n-1 at once and waits for all.
func parallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// tell is send for goroutines other than the test's.
func (f *fixture) tell(a *twohop.Append) (ack twohop.Ack, err error) {
	done := make(chan struct{})
	f.eng.Append(f.Context(), a, func(k twohop.Ack, e error) { ack, err = k, e; close(done) })
	<-done
	return ack, err
}

// adopt takes what a channel holds as what it must hold, once the case has
// compared it, so that all other checks are made.
func (f *fixture) adopt(name string) []record {
	f.Helper()
	info := f.info(name)
	recs := f.walk(name)
	f.logs[name] = &wanted{kind: info.ContentType, recs: slices.Clone(recs), closed: info.Closed}
	f.check(name)
	return recs
}

// concurrentAppends checks that each answer names its own records' offset, that
// appends are not torn, and that each appender's are in order.
func concurrentAppends(f *fixture) {
	const appenders, each = 8, 30
	names := []string{"a", "b", "c"}
	for _, n := range names {
		f.channel(n)
	}
	var mu sync.Mutex
	acked := map[string]map[twohop.Offset]string{"a": {}, "b": {}, "c": {}}
	parallel(appenders, func(i int) {
		for j := range each {
			name := names[(i+j)%len(names)]
			first, second := fmt.Sprintf("%d.%d", i, j), fmt.Sprintf("%d.%d+", i, j)
			ack, err := f.tell(f.appendOf(name, first, second))
			if err != nil {
				f.Errorf("append: %v", err)
				return
			}
			mu.Lock()
			acked[name][ack.Offset] = encode(f.kind, second)
			mu.Unlock()
		}
	})
	for _, name := range names {
		recs := f.adopt(name)
		if len(recs) != 2*len(acked[name]) {
			f.Errorf("%s: %d records, %d appends of two were acknowledged", name, len(recs), len(acked[name]))
		}
		last := map[string]int{}
		for i := 0; i < len(recs); i += 2 {
			var by, n int
			if _, err := fmt.Sscanf(encodedText(f.kind, recs[i].data), "%d.%d", &by, &n); err != nil {
				f.Fatal(err)
			}
			if want := encode(f.kind, fmt.Sprintf("%d.%d+", by, n)); recs[i+1].data != want || acked[name][recs[i+1].after] != want {
				f.Errorf("%s: at %s is %q after %q, acknowledged was %q", name, recs[i+1].after, recs[i+1].data, recs[i].data, acked[name][recs[i+1].after])
			}
			key := fmt.Sprint(name, by)
			if before, ok := last[key]; ok && before >= n {
				f.Errorf("%s: append %d of %d comes after %d", name, n, by, before)
			}
			last[key] = n
		}
	}
}

// encodedText is the text of a record that encode made.
func encodedText(kind, data string) string {
	if kind == json {
		return data[1 : len(data)-2]
	}
	return data
}

// concurrentReads reads while others append: what a reader saw is a prefix of
// the log, page by page.
func concurrentReads(f *fixture) {
	f.channel("a")
	start := f.info("a").Start
	const appenders, each = 4, 60
	var open atomic.Int64
	open.Store(appenders)
	seen := make([][]record, 4)
	parallel(appenders+len(seen), func(i int) {
		if i < appenders {
			defer open.Add(-1)
			for j := range each {
				if _, err := f.tell(f.appendOf("a", fmt.Sprint(i, ".", j), "-")); err != nil {
					f.Errorf("append: %v", err)
					return
				}
			}
			return
		}
		i -= appenders
		at := start
		for last := false; ; {
			b, err := f.eng.Read(f.Context(), "a", at, 1+10*i)
			if err != nil || b.From != at {
				f.Errorf("Read from %s: %+v, %v", at, b, err)
				return
			}
			for k := range b.Len() {
				seen[i] = append(seen[i], record{data: string(b.Record(k))})
			}
			if b.Len() == 0 && last {
				return
			}
			if b.Len() > 0 {
				seen[i][len(seen[i])-1].after = b.Next
			}
			at, last = b.Next, open.Load() == 0
		}
	})
	want := f.adopt("a")
	if len(want) != 2*appenders*each {
		f.Errorf("%d records, want %d", len(want), 2*appenders*each)
	}
	for i := range seen {
		if err := same(seen[i], want); err != nil {
			f.Errorf("reader %d: %v", i, err)
		}
	}
}

func concurrentCreate(f *fixture) {
	for round := range 10 {
		name := fmt.Sprint("n", round)
		var created atomic.Int64
		parallel(6, func(i int) {
			spec := f.spec()
			if i%2 == 1 {
				spec = &twohop.Spec{ContentType: json}
			}
			_, ok, err := f.eng.Create(f.Context(), name, spec)
			if ok {
				created.Add(1)
			}
			if err != nil && codeOf(err) != twohop.CodeExists {
				f.Errorf("Create: %v", err)
			}
		})
		if n := created.Load(); n != 1 {
			f.Errorf("%d of the concurrent creates made the channel", n)
		}
		f.adopt(name)
	}
}

func concurrentCreateByAppend(f *fixture) {
	for round := range 10 {
		name := fmt.Sprint("n", round)
		var created atomic.Int64
		parallel(6, func(i int) {
			a := f.appendOf(name, fmt.Sprint(i))
			a.Create = f.spec()
			ack, err := f.tell(a)
			if err != nil {
				f.Errorf("append: %v", err)
			}
			if ack.Created {
				created.Add(1)
			}
		})
		if n := created.Load(); n != 1 {
			f.Errorf("%d of the concurrent appends made the channel", n)
		}
		if got := f.adopt(name); len(got) != 6 {
			f.Errorf("%s holds %q", name, datas(got))
		}
	}
}

// concurrentDuplicates sends each request several times at once: it takes
// effect once, and all answers name one offset.
func concurrentDuplicates(f *fixture) {
	f.channel("a")
	for seq := range uint64(15) {
		for _, keyed := range []bool{false, true} {
			var mu sync.Mutex
			offsets, fresh := map[twohop.Offset]bool{}, 0
			parallel(4, func(int) {
				a := f.produce("a", "p", 0, seq, fmt.Sprint("p", seq))
				if keyed {
					a = f.appendOf("a", fmt.Sprint("k", seq))
					a.Key = fmt.Sprint("k", seq)
				}
				ack, err := f.tell(a)
				if err != nil {
					f.Errorf("append: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				offsets[ack.Offset] = true
				if !ack.Duplicate {
					fresh++
				}
			})
			if fresh != 1 || len(offsets) != 1 {
				f.Errorf("number %d, key %v: %d took effect, at %v", seq, keyed, fresh, offsets)
			}
		}
	}
	if got := f.adopt("a"); len(got) != 30 {
		f.Errorf("the channel holds %q", datas(got))
	}
}

// concurrentForks forks, reads forks and deletes at once; nothing is left.
func concurrentForks(f *fixture) {
	for round := range 8 {
		root := fmt.Sprint("root", round)
		f.channel(root, "x", "y")
		delete(f.logs, root)
		parallel(8, func(i int) {
			name := fmt.Sprint(root, "/", i)
			source := root
			if i >= 4 {
				source = fmt.Sprint(root, "/", i-4)
			}
			_, created, err := f.eng.Create(f.Context(), name, &twohop.Spec{Fork: &twohop.Fork{Source: source}})
			if !created {
				if c := codeOf(err); c != twohop.CodeNotFound && c != twohop.CodeForkSource {
					f.Errorf("fork of %s: %v", source, err)
				}
				return
			}
			if b, err := f.eng.Read(f.Context(), name, twohop.Offset{}, huge); err != nil || string(b.Data) != "xy" {
				f.Errorf("%s reads %+v, %v", name, b, err)
			}
			if i == 1 {
				if err := f.eng.Delete(f.Context(), root); err != nil {
					f.Errorf("Delete(%q): %v", root, err)
				}
			}
			if err := f.eng.Delete(f.Context(), name); err != nil {
				f.Errorf("Delete(%q): %v", name, err)
			}
		})
		if f.codeOf(root) == "" {
			f.remove(root) // the first fork came too late to delete it
		}
		f.eventually(root+" is collected", func() bool { return f.codeOf(root) == twohop.CodeNotFound })
		for i := range 8 {
			name := fmt.Sprint(root, "/", i)
			f.eventually(name+" is collected", func() bool { return f.codeOf(name) == twohop.CodeNotFound })
		}
	}
}

// concurrentDelete looks at channels while they are deleted and made anew: they
// are there or they are not; without forks they are never said to be gone.
func concurrentDelete(f *fixture) {
	var open atomic.Bool
	open.Store(true)
	parallel(4, func(i int) {
		if i == 0 {
			defer open.Store(false)
			for range 300 {
				if _, _, err := f.eng.Create(f.Context(), "a", f.spec("x")); err != nil {
					f.Errorf("Create: %v", err)
				}
				if err := f.eng.Delete(f.Context(), "a"); err != nil {
					f.Errorf("Delete: %v", err)
				}
			}
			return
		}
		for open.Load() {
			b, err := f.eng.Read(f.Context(), "a", twohop.Offset{}, huge)
			if err != nil && codeOf(err) != twohop.CodeNotFound || err == nil && b.Len() > 1 {
				f.Errorf("Read: %+v, %v", b, err)
				return
			}
			a := f.appendOf("a", "y")
			a.If = &twohop.Offset{Epoch: 1, Pos: 1}
			if _, err := f.tell(a); i == 1 && codeOf(err) != twohop.CodeNotFound && codeOf(err) != twohop.CodeTailMoved && codeOf(err) != twohop.CodeUnsupported {
				f.Errorf("Append: %v", err)
				return
			}
		}
	})
}

// concurrentRetention reads what retention drops at the same time: a reader
// gets the next record or a reset, never a gap.
func concurrentRetention(f *fixture) {
	spec := f.spec()
	spec.Retention.Records = 5
	f.create("a", spec)
	delete(f.logs, "a")
	var open atomic.Bool
	open.Store(true)
	parallel(3, func(i int) {
		if i == 0 {
			defer open.Store(false)
			for j := range 300 {
				if _, err := f.tell(f.appendOf("a", fmt.Sprintf("%06d", j))); err != nil {
					f.Errorf("append: %v", err)
					return
				}
			}
			return
		}
		at, last := twohop.Offset{}, -1
		for open.Load() {
			b, err := f.eng.Read(f.Context(), "a", at, 6*i)
			if err != nil {
				if codeOf(err) != twohop.CodeReset {
					f.Errorf("Read: %v", err)
					return
				}
				at, last = twohop.Offset{}, -1
				continue
			}
			for k := range b.Len() {
				var n int
				if _, err := fmt.Sscanf(string(b.Record(k)), "%06d", &n); err != nil || last >= 0 && n != last+1 {
					f.Errorf("after %d it reads %q without a reset", last, b.Record(k))
				}
				last = n
			}
			at = b.Next
		}
	})
}

// oneWinner lets many appenders race for each tail.
func oneWinner(f *fixture) {
	f.channel("a")
	for range 30 {
		tail := f.info("a").Tail
		var won atomic.Int64
		parallel(5, func(i int) {
			a := f.appendOf("a", fmt.Sprint(i))
			a.If = &tail
			switch _, err := f.tell(a); {
			case err == nil:
				won.Add(1)
			case codeOf(err) != twohop.CodeTailMoved:
				f.Errorf("append: %v", err)
			}
		})
		if n := won.Load(); n != 1 {
			f.Fatalf("%d appends won the tail %s", n, tail)
		}
	}
	if got := f.adopt("a"); len(got) != 30 {
		f.Errorf("%d records, want 30", len(got))
	}
}

// register is the channel as a register that holds its tail: If is
// compare-and-set, Info is a read.
type registerIn struct {
	write  bool
	expect twohop.Offset
}

type registerOut struct {
	ok   bool
	tail twohop.Offset
}

var register = porcupine.Model{
	Init: func() any { return twohop.Offset{} },
	Step: func(state, in, out any) (bool, any) {
		i, o, tail := in.(registerIn), out.(registerOut), state.(twohop.Offset)
		switch {
		case !i.write || !o.ok: // a read, or a refusal that names the tail
			return (tail.IsZero() || o.tail == tail) && (!i.write || o.tail != i.expect), o.tail
		default:
			return (tail.IsZero() || i.expect == tail) && o.tail.Compare(i.expect) > 0, o.tail
		}
	},
}

// linearizable records a history of conditional appends and reads of the tail
// and has it checked.
func linearizable(f *fixture) {
	f.channel("a")
	var mu sync.Mutex
	var history []porcupine.Operation
	begin := time.Now()
	parallel(5, func(client int) {
		tail := f.info("a").Tail
		for n := range 25 {
			op := porcupine.Operation{ClientId: client, Call: int64(time.Since(begin))}
			var out registerOut
			if (n+client)%5 == 0 {
				info, err := f.eng.Info(f.Context(), "a")
				if err != nil {
					f.Errorf("Info: %v", err)
				}
				op.Input, out = registerIn{}, registerOut{true, info.Tail}
			} else {
				a := f.appendOf("a", "x")
				expect := tail
				a.If = &expect
				op.Input = registerIn{write: true, expect: expect}
				out = f.swap(a)
			}
			op.Output, op.Return = out, int64(time.Since(begin))
			tail = out.tail
			mu.Lock()
			history = append(history, op)
			mu.Unlock()
		}
	})
	if res := porcupine.CheckOperationsTimeout(register, history, time.Minute); res != porcupine.Ok {
		f.Errorf("the history of conditional appends is not linearizable: %s\n%+v", res, history)
	}
	f.adopt("a")
}

// swap makes a conditional append and says what it answered.
func (f *fixture) swap(a *twohop.Append) registerOut {
	ack, err := f.tell(a)
	if err == nil {
		return registerOut{true, ack.Offset}
	}
	e, ok := errors.AsType[*twohop.Error](err)
	if !ok || e.Code != twohop.CodeTailMoved || e.Tail == nil {
		f.Errorf("append: %v", err)
		return registerOut{}
	}
	return registerOut{false, *e.Tail}
}
