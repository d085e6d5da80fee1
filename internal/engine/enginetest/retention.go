package enginetest

import (
	"fmt"
	"strings"
	"time"

	"twohop"
)

func retentionCases() []testCase {
	return []testCase{
		{name: "Records", run: retainRecords, both: true, bubble: true, needs: hasRetention},
		{name: "WholeAppends", run: retainWholeAppends, both: true, bubble: true, needs: hasRetention},
		{name: "Bytes", run: retainBytes, both: true, bubble: true, needs: hasRetention},
		{name: "Age", run: retainAge, both: true, bubble: true, needs: hasRetention},
		{name: "Producers", run: retainProducers, bubble: true, needs: hasRetention},
		{name: "Closed", run: retainClosed, bubble: true, needs: hasRetention},
	}
}

// grow appends records in one append to a channel with a retention, waits until
// it was carried out, and checks that so many appends are left.
func (f *fixture) grow(name string, appends [][]string, recs []string, left int) [][]string {
	f.Helper()
	ack, err := f.send(f.appendOf(name, recs...))
	if err != nil {
		f.Fatal(err)
	}
	w := f.logs[name]
	data, ends := batch(f.kind, recs...)
	w.add(data, ends, ack.Offset)
	f.pass(lazy)
	appends = append(appends, recs)
	w.start = len(w.recs)
	for _, a := range appends[len(appends)-left:] {
		w.start -= len(a)
	}
	f.check(name)
	return appends
}

func retainRecords(f *fixture) {
	spec := f.spec()
	spec.Retention.Records = 4
	f.create("a", spec)
	var appends [][]string
	for i := range 10 {
		appends = f.grow("a", appends, []string{fmt.Sprint(i)}, min(i+1, 4))
	}
	if n := f.feed.await(f, "a", "trimmed", func(c *told) bool { return c.trims > 0 }).trims; n != 6 {
		f.Errorf("%d Trimmed events, want one for each append", n)
	}
}

func retainWholeAppends(f *fixture) {
	spec := f.spec()
	spec.Retention.Records = 5
	f.create("a", spec)
	var appends [][]string
	for i, left := range []int{1, 2, 3, 2, 3, 1, 2} {
		n := []int{2, 2, 2, 3, 1, 9, 1}[i]
		appends = f.grow("a", appends, strings.Split(strings.Repeat("x", n), ""), left)
	}
}

func retainBytes(f *fixture) {
	spec := f.spec()
	size := len(encode(f.kind, "0123456789"))
	spec.Retention.Bytes = uint64(3 * size)
	f.create("a", spec)
	var appends [][]string
	for i := range 6 {
		appends = f.grow("a", appends, []string{"0123456789"}, min(i+1, 3))
	}
	appends = f.grow("a", appends, []string{"0", "1"}, 4) // one less would be below the limit
	f.grow("a", appends, []string{strings.Repeat("x", 3*size)}, 1)
}

func retainAge(f *fixture) {
	spec := f.spec("initial")
	spec.Retention.Age = time.Hour
	f.create("a", spec)
	for range 5 {
		f.pass(10 * time.Minute)
		f.append("a", "x", "y")
	}
	f.pass(10*time.Minute - time.Second)
	f.check("a")
	f.pass(time.Second + lazy)
	for i := range 5 {
		f.logs["a"].start = 1 + 2*i
		f.check("a")
		f.pass(10 * time.Minute)
	}
	f.logs["a"].start = 11
	f.check("a")
	if info := f.info("a"); info.Start != info.Tail {
		f.Errorf("all records are too old, but the start is %s and the tail %s", info.Start, info.Tail)
	}
	f.append("a", "z")
	f.pass(time.Hour + lazy)
	f.logs["a"].start = 12
	f.check("a")
}

// retainProducers checks that what is known of producers outlives the records.
func retainProducers(f *fixture) {
	spec := f.spec()
	spec.Retention.Age = time.Minute
	f.create("a", spec)
	ack := f.must(f.produce("a", "p", 0, 0, "x"))
	f.pass(time.Minute + lazy)
	f.logs["a"].start = 1
	f.repeated(f.produce("a", "p", 0, 0, "x"), ack.Offset)
	f.must(f.produce("a", "p", 0, 1, "y"))
}

func retainClosed(f *fixture) {
	f.create("a", &twohop.Spec{ContentType: f.kind, Closed: true, Data: []byte("x"), Ends: []uint32{1},
		Retention: twohop.Retention{Age: time.Minute}})
	f.pass(time.Minute + lazy)
	f.logs["a"].start = 1
	f.check("a")
	f.refused(f.appendOf("a", "y"), twohop.CodeClosed)
}
