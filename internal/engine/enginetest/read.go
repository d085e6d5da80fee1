package enginetest

import (
	"fmt"
	"strings"
	"time"

	"twohop"
)

func readCases() []testCase {
	return []testCase{
		{name: "Pages", run: readPages, both: true},
		{name: "EveryOffset", run: readEveryOffset, both: true},
		{name: "AtTail", run: readAtTail, both: true},
		{name: "Large", run: readLarge},
		{name: "KeptBatches", run: readKeptBatches},
		{name: "Last", run: readLast, both: true},
		{name: "Since", run: readSince, bubble: true},
	}
}

// mixed makes a channel of appends of one and of several records.
func mixed(f *fixture, name string) []string {
	f.Helper()
	f.create(name, f.spec("i", "initial"))
	all := []string{"i", "initial"}
	for i, n := range []int{1, 3, 1, 1, 4, 2} {
		var recs []string
		for j := range n {
			recs = append(recs, strings.Repeat(string(rune('a'+i)), 1+(i+j)%5))
		}
		f.append(name, recs...)
		all = append(all, recs...)
	}
	return all
}

func readPages(f *fixture) {
	f.holds("a", mixed(f, "a")...)
	want := f.walk("a")
	for size := range len(strings.Join(datas(want), "")) + 2 {
		if err := same(f.pages("a", twohop.Offset{}, size), want); err != nil {
			f.Fatalf("in pages of %d bytes: %v", size, err)
		}
	}
	if err := same(f.pages("a", twohop.Offset{}, -1), want); err != nil {
		f.Fatalf("in pages of -1 bytes: %v", err)
	}
}

func readEveryOffset(f *fixture) {
	mixed(f, "a")
	want := f.walk("a")
	at := f.info("a").Start
	for i := range len(want) + 1 {
		for _, size := range []int{0, 1, 5, 12, huge} {
			if err := same(f.pages("a", at, size), want[i:]); err != nil {
				f.Fatalf("from %s after %d records in pages of %d: %v", at, i, size, err)
			}
		}
		if i < len(want) {
			at = want[i].after
		}
	}
}

func readAtTail(f *fixture) {
	f.channel("a", "x", "y")
	tail := f.info("a").Tail
	for _, size := range []int{0, 1, huge} {
		if b := f.read("a", tail, size); b.Len() != 0 || b.From != tail || b.Next != tail {
			f.Errorf("at the tail %s it reads %+v", tail, b)
		}
	}
}

func readLarge(f *fixture) {
	f.create("a", f.spec())
	var recs []record
	for i := range 40 {
		rec := fmt.Sprintf("%04d", i) + strings.Repeat("x", i*577)
		ack, err := f.send(f.appendOf("a", rec, "-"))
		if err != nil {
			f.Fatal(err)
		}
		recs = append(recs, record{data: rec}, record{data: "-", after: ack.Offset})
	}
	f.logs["a"].recs = recs
	f.check("a")
	for _, size := range []int{100, 4096, 65536} {
		if err := same(f.pages("a", twohop.Offset{}, size), recs); err != nil {
			f.Fatalf("in pages of %d bytes: %v", size, err)
		}
	}
}

// readKeptBatches keeps batches while the channel grows and is deleted.
func readKeptBatches(f *fixture) {
	f.channel("a", "one", "two")
	var batches []twohop.Batch
	var then []string
	keep := func(b twohop.Batch) {
		batches = append(batches, b)
		then = append(then, fmt.Sprint(b))
	}
	start := f.info("a").Start
	for i := range 20 {
		f.append("a", fmt.Sprint("more", i), "!")
		keep(f.read("a", start, huge))
		keep(f.read("a", start, 5))
	}
	f.remove("a")
	f.channel("a", "other", "records")
	for i, b := range batches {
		if fmt.Sprint(b) != then[i] {
			f.Errorf("batch %d was %s and is %v", i, then[i], b)
		}
	}
}

func readLast(f *fixture) {
	mixed(f, "a")
	all := f.walk("a")
	for n := range len(all) + 3 {
		o, err := f.eng.Last(f.Context(), "a", uint64(n))
		if err != nil {
			f.Fatal(err)
		}
		if err := same(f.pages("a", o, huge), all[max(0, len(all)-n):]); err != nil {
			f.Fatalf("Last(%d) = %s: %v", n, o, err)
		}
	}
	if o, err := f.eng.Last(f.Context(), "a", ^uint64(0)); err != nil || o != f.info("a").Start {
		f.Errorf("Last of very many = %s, %v; want the start", o, err)
	}
	f.channel("empty")
	if o, err := f.eng.Last(f.Context(), "empty", 5); err != nil || o != f.info("empty").Tail {
		f.Errorf("Last of an empty channel = %s, %v", o, err)
	}
}

func readSince(f *fixture) {
	f.create("a", f.spec())
	begin := time.Now()
	for i := range 6 {
		f.pass(time.Minute)
		f.append("a", fmt.Sprint("x", i), fmt.Sprint("y", i))
	}
	f.pass(time.Minute)
	f.create("f", &twohop.Spec{Fork: &twohop.Fork{Source: "a"}})
	f.pass(time.Minute)
	f.append("a", "after the fork")
	f.pass(30 * time.Second)
	f.append("a", "later")
	f.pass(30 * time.Second)
	f.append("f", "own")
	for name, own := range map[string]int{"a": 2, "f": 1} {
		all := f.walk(name)
		since := func(t time.Time, skip int) {
			f.Helper()
			o, err := f.eng.Since(f.Context(), name, t)
			if err != nil {
				f.Fatal(err)
			}
			if err := same(f.pages(name, o, huge), all[skip:]); err != nil {
				f.Errorf("%s: Since %s = %s: %v", name, t.Sub(begin), o, err)
			}
		}
		since(time.Time{}, 0)
		since(begin, 0)
		for i := range 6 {
			at := begin.Add(time.Duration(i+1) * time.Minute)
			since(at.Add(-30*time.Second), 2*i)
			since(at, 2*i)
			since(at.Add(30*time.Second), 2*i+2)
		}
		since(begin.Add(8*time.Minute), 12)
		since(begin.Add(8*time.Minute+15*time.Second), 12+own-1) // a fork has nothing of its source's later records
		since(begin.Add(time.Hour), 12+own)
	}
}
