package memlog

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"twohop"
)

// chain makes a chain of forks, each with a record of its own, and says how many
// segments they inherit.
func chain(t *testing.T, e *Engine, n int) (segments int64) {
	t.Helper()
	create(t, e, "0", &twohop.Spec{Data: []byte("x"), Ends: []uint32{1}})
	for i := 1; i <= n; i++ {
		name := fmt.Sprint(i)
		create(t, e, name, &twohop.Spec{Data: []byte("x"), Ends: []uint32{1}, Fork: &twohop.Fork{Source: fmt.Sprint(i - 1)}})
		segments += int64(len(e.shardOf(name).lookup(name).state.Parents))
	}
	return segments
}

func TestLineageIsCounted(t *testing.T) {
	e := open(t, Options{})
	const n = 500
	segments := chain(t, e, n)
	if want := int64(n * (n + 1) / 2); segments != want {
		t.Fatalf("the forks inherit %d segments, want %d", segments, want)
	}
	if used := e.used.Load(); used < inheritedSize*segments {
		t.Errorf("%d inherited segments took %d bytes", segments, used)
	}
	for i := range n + 1 {
		remove(t, e, fmt.Sprint(i))
	}
	if used := e.used.Load(); used != 0 {
		t.Errorf("all channels are deleted, %d bytes are kept", used)
	}
}

// A fork whose lineage finds no room leaves no trace, with its source neither.
func TestLineageFindsNoRoom(t *testing.T) {
	e := open(t, Options{})
	chain(t, e, 100)
	full := e.used.Load()
	e.max = full + channelSize + 2*inheritedSize
	_, _, err := e.Create(t.Context(), "f", &twohop.Spec{Fork: &twohop.Fork{Source: "100"}})
	wantCode(t, err, twohop.CodeStorageFull)
	if used := e.used.Load(); used != full {
		t.Errorf("the fork that found no room took %d bytes", used-full)
	}
	remove(t, e, "100")
	create(t, e, "100", &twohop.Spec{}) // the name is free: no fork is waited for
}

// Who leaves a long lineage early takes no room for the rest of it.
func TestEarlyForkIsSmall(t *testing.T) {
	e := open(t, Options{})
	chain(t, e, 500)
	create(t, e, "f", &twohop.Spec{Fork: &twohop.Fork{Source: "500", At: &twohop.Offset{}}})
	at, err := e.Last(t.Context(), "500", 499)
	if err != nil {
		t.Fatal(err)
	}
	create(t, e, "g", &twohop.Spec{Fork: &twohop.Fork{Source: "500", At: &at}})
	for name, want := range map[string]int{"f": 0, "g": 2} {
		ch := e.shardOf(name).lookup(name)
		if n, m := len(ch.state.Parents), len(ch.ancestors); n != want || m != want {
			t.Errorf("fork %s inherits %d segments of %d channels, want %d", name, n, m, want)
		}
		if n, m := cap(ch.state.Parents), cap(ch.ancestors); n > 2*want || m > 2*want {
			t.Errorf("fork %s has room for %d segments of %d channels, want %d", name, n, m, want)
		}
	}
}

// A fork that cuts a record keeps its part, not the record or its block.
func TestForkKeepsItsPartAlone(t *testing.T) {
	e := open(t, Options{})
	e.chunking = tiny
	create(t, e, "a", &twohop.Spec{ContentType: "text/plain"})
	for _, size := range []int{1 << 20, 300, 300, 300, 300} {
		if _, err := send(t, e, one("a", strings.Repeat("x", size))); err != nil {
			t.Fatal(err)
		}
	}
	src := e.shardOf("a").lookup("a")
	packNow(src, -1)
	if src.records.holding(0).block == nil {
		t.Fatal("the record is not packed")
	}
	before := inUse()
	for i := range 200 {
		create(t, e, fmt.Sprint(i), &twohop.Spec{Fork: &twohop.Fork{Source: "a", At: &twohop.Offset{}, Sub: 1}})
	}
	if grown := inUse() - before; grown > 10<<20 {
		t.Errorf("200 forks with a byte each took %d bytes", grown)
	}
	if got := readAll(t, e, "7"); len(got) != 1 || got[0] != "x" {
		t.Errorf("a fork holds %.10q", got)
	}
}

// inUse is how many bytes of the heap are.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // less than there is memory
}

// What is known of a channel is counted, its parts that a client chooses too.
func TestChannelIsCounted(t *testing.T) {
	e := open(t, Options{})
	grew := func(what string, want int, f func()) {
		t.Helper()
		before := e.used.Load()
		f()
		if got := e.used.Load() - before; got != int64(want) {
			t.Errorf("%s took %d bytes, want %d", what, got, want)
		}
	}
	seq := func(s string) {
		t.Helper()
		if _, err := send(t, e, &twohop.Append{Channel: "a", Seq: s}); err != nil {
			t.Fatal(err)
		}
	}
	const long = 30 << 10
	contentType := "text/plain; x=" + strings.Repeat("y", 200)
	grew("creating and deleting", 0, func() {
		grew("a channel", channelSize+len("a")+len(contentType), func() { create(t, e, "a", &twohop.Spec{ContentType: contentType}) })
		grew("a Stream-Seq", long, func() { seq(strings.Repeat("1", long)) })
		grew("a longer one", 1, func() { seq(strings.Repeat("2", long+1)) })
		grew("a short one", -long, func() { seq("3") })
		grew("none", 0, func() { seq("") })
		grew("one that is refused", 0, func() {
			_, err := send(t, e, &twohop.Append{Channel: "a", Seq: "2" + strings.Repeat("2", long)})
			wantCode(t, err, twohop.CodeSeqRegression)
		})
		grew("a long one again", long-1, func() { seq(strings.Repeat("4", long)) })
		grew("a fork", channelSize+len("fork")+len("a"), func() {
			create(t, e, "fork", &twohop.Spec{ContentType: contentType, Fork: &twohop.Fork{Source: "a"}})
		})
		remove(t, e, "a")
		remove(t, e, "fork")
	})
}

// A Stream-Seq for which there is no room is refused like a record.
func TestSeqFindsNoRoom(t *testing.T) {
	e := open(t, Options{MaxBytes: 10_000})
	create(t, e, "a", &twohop.Spec{})
	_, err := send(t, e, &twohop.Append{Channel: "a", Seq: strings.Repeat("2", 10_000)})
	wantCode(t, err, twohop.CodeStorageFull)
	if _, err := send(t, e, &twohop.Append{Channel: "a", Seq: "1"}); err != nil {
		t.Errorf("the one that was refused counts: %v", err)
	}
}
