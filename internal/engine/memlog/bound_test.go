package memlog

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
	"twohop/internal/engine"
)

type deaf struct{}

func (deaf) Event(int, *engine.Event) {}

func open(t testing.TB, o Options) *Engine {
	e := Open(o)
	e.Follow(deaf{})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func create(t testing.TB, e *Engine, name string, spec *twohop.Spec) {
	t.Helper()
	if _, created, err := e.Create(t.Context(), name, spec); err != nil || !created {
		t.Fatalf("Create(%q) = %v, %v", name, created, err)
	}
}

func send(t testing.TB, e *Engine, a *twohop.Append) (ack twohop.Ack, err error) {
	t.Helper()
	done := make(chan struct{})
	e.Append(t.Context(), a, func(k twohop.Ack, x error) { ack, err = k, x; close(done) })
	<-done
	return ack, err
}

func one(channel, rec string) *twohop.Append {
	return &twohop.Append{Channel: channel, Data: []byte(rec), Ends: []uint32{uint32(len(rec))}}
}

func wantCode(t testing.TB, err error, code twohop.Code) {
	t.Helper()
	if e, ok := errors.AsType[*twohop.Error](err); !ok || e.Code != code {
		t.Fatalf("error %v, want code %s", err, code)
	}
}

// readAll reads all records of a channel.
func readAll(t testing.TB, e *Engine, name string) (recs []string) {
	t.Helper()
	at := twohop.Offset{}
	for {
		b, err := e.Read(t.Context(), name, at, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if b.Len() == 0 {
			return recs
		}
		for i := range b.Len() {
			recs = append(recs, string(b.Record(i)))
		}
		at = b.Next
	}
}

func TestFullRefusesAndKeeps(t *testing.T) {
	const limit = 100_000
	e := open(t, Options{MaxBytes: limit})
	create(t, e, "a", &twohop.Spec{})
	create(t, e, "b", &twohop.Spec{})
	var want []string
	for {
		rec := fmt.Sprint(len(want), strings.Repeat("x", 1000))
		if _, err := send(t, e, one("a", rec)); err != nil {
			wantCode(t, err, twohop.CodeStorageFull)
			break
		}
		want = append(want, rec)
		if used := e.used.Load(); used > limit {
			t.Fatalf("%d bytes are kept, %d may be", used, limit)
		}
	}
	if len(want) < 80 {
		t.Errorf("full after %d records of 1000 bytes", len(want))
	}
	if got := readAll(t, e, "a"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d records are there, %d were acknowledged", len(got), len(want))
	}
	_, err := send(t, e, one("b", strings.Repeat("y", 1000)))
	wantCode(t, err, twohop.CodeStorageFull)
	_, _, err = e.Create(t.Context(), "c", &twohop.Spec{Data: make([]byte, 1000), Ends: []uint32{1000}})
	wantCode(t, err, twohop.CodeStorageFull)
	if _, err = e.Info(t.Context(), "c"); err == nil {
		t.Error("the channel that found no room is there")
	}
	if err := e.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := send(t, e, one("b", strings.Repeat("y", 1000))); err != nil {
		t.Errorf("after a delete: %v", err)
	}
}

func TestUnhealthyWhenFull(t *testing.T) {
	e := open(t, Options{MaxBytes: channelSize + 1})
	if err := e.Healthy(); err != nil {
		t.Errorf("empty: %v", err)
	}
	create(t, e, "a", &twohop.Spec{})
	wantCode(t, e.Healthy(), twohop.CodeStorageFull)
}

// A channel with a retention never fills the engine: what is trimmed makes room.
func TestRetentionMakesRoom(t *testing.T) {
	for _, retention := range []twohop.Retention{{Records: 20}, {Bytes: 20_000}} {
		const limit = 40_000
		e := open(t, Options{MaxBytes: limit})
		create(t, e, "a", &twohop.Spec{Retention: retention})
		for i := range 500 {
			rec := fmt.Sprintf("%04d", i) + strings.Repeat("x", 996)
			if _, err := send(t, e, one("a", rec)); err != nil {
				t.Fatalf("%+v: append %d: %v", retention, i, err)
			}
			if used := e.used.Load(); used > limit {
				t.Fatalf("%d bytes are kept, %d may be", used, limit)
			}
		}
		if got := readAll(t, e, "a"); len(got) != 20 || got[19][:4] != "0499" {
			t.Errorf("%+v: %d records are left", retention, len(got))
		}
	}
}

// Records alone fill the engine nearly; the last append drops what it replaces.
func TestRetentionMakesRoomForItsOwn(t *testing.T) {
	e := open(t, Options{MaxBytes: 10_000})
	create(t, e, "a", &twohop.Spec{Retention: twohop.Retention{Records: 1}})
	for range 5 {
		if _, err := send(t, e, one("a", strings.Repeat("x", 8000))); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, e, "a"); len(got) != 1 {
			t.Fatalf("%d records, want one", len(got))
		}
	}
	_, err := send(t, e, one("a", strings.Repeat("x", 9900)))
	wantCode(t, err, twohop.CodeStorageFull)
	if got := readAll(t, e, "a"); len(got) != 1 || len(got[0]) != 8000 {
		t.Error("the refused append cost the record that was there")
	}
}

// What is deleted leaves nothing behind, whatever it was.
func TestNothingLeaks(t *testing.T) {
	e := open(t, Options{})
	for range 3 {
		create(t, e, "a", &twohop.Spec{ContentType: "text/plain", Retention: twohop.Retention{Records: 3}})
		for i := range uint64(100) {
			a := one("a", strings.Repeat("x", 100))
			a.Key, a.Producer = fmt.Sprint(i), &twohop.Producer{ID: fmt.Sprint(i % 7), Seq: i / 7}
			if _, err := send(t, e, a); err != nil {
				t.Fatal(err)
			}
		}
		for _, sub := range []uint64{0, 3, 1000} {
			at, err := e.Last(t.Context(), "a", 1)
			if err != nil {
				t.Fatal(err)
			}
			_, created, err := e.Create(t.Context(), fmt.Sprint("f", sub), &twohop.Spec{Fork: &twohop.Fork{Source: "a", At: &at, Sub: sub}})
			if created != (sub <= 100) {
				t.Fatalf("fork with sub-offset %d: %v, %v", sub, created, err)
			}
		}
		for _, name := range []string{"a", "f0", "f3"} {
			if err := e.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		if used := e.used.Load(); used != 0 {
			t.Fatalf("all channels are deleted, %d bytes are kept", used)
		}
	}
}

func TestForkCopiesNothing(t *testing.T) {
	e := open(t, Options{})
	create(t, e, "0", &twohop.Spec{})
	if _, err := send(t, e, one("0", strings.Repeat("x", 1<<20))); err != nil {
		t.Fatal(err)
	}
	before := e.used.Load()
	for i := range 100 {
		create(t, e, fmt.Sprint(i+1), &twohop.Spec{Fork: &twohop.Fork{Source: fmt.Sprint(i)}})
	}
	if each := (e.used.Load() - before) / 100; each > 2*channelSize {
		t.Errorf("a fork takes %d bytes", each)
	}
	a, err := e.Read(t.Context(), "0", twohop.Offset{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Read(t.Context(), "100", twohop.Offset{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if &a.Data[0] != &b.Data[0] {
		t.Error("a fork's read copied the record")
	}
}

func TestReadWithinAnAppendDoesNotCopy(t *testing.T) {
	e := open(t, Options{})
	create(t, e, "a", &twohop.Spec{})
	data := []byte("abcdefgh")
	ack, err := send(t, e, &twohop.Append{Channel: "a", Data: data, Ends: []uint32{1, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	at := twohop.Offset{}
	for _, want := range []int{0, 1, 3} {
		b, err := e.Read(t.Context(), "a", at, 0)
		if err != nil || b.Len() != 1 || &b.Data[0] != &data[want] {
			t.Fatalf("from %s: %+v, %v; want the slice at %d", at, b, err, want)
		}
		at = b.Next
	}
	if at != ack.Offset {
		t.Errorf("read up to %s, appended up to %s", at, ack.Offset)
	}
}

func TestClosed(t *testing.T) {
	e := Open(Options{})
	e.Follow(deaf{})
	create(t, e, "a", &twohop.Spec{})
	for range 2 {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := send(t, e, one("a", "x"))
	wantCode(t, err, twohop.CodeUnavailable)
	_, err = e.Read(t.Context(), "a", twohop.Offset{}, 1)
	wantCode(t, err, twohop.CodeUnavailable)
	_, _, err = e.Create(t.Context(), "b", &twohop.Spec{})
	wantCode(t, err, twohop.CodeUnavailable)
	wantCode(t, e.Delete(t.Context(), "a"), twohop.CodeUnavailable)
	wantCode(t, e.Healthy(), twohop.CodeUnavailable)
}

func TestCloseWithoutFollow(t *testing.T) {
	if err := Open(Options{}).Close(); err != nil {
		t.Fatal(err)
	}
}

// A key is forgotten when its window ends, not when the sweeper comes by; and
// the sweeper gives back what it took, of a channel that nobody uses.
func TestKeyWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, Options{IdempotencyWindow: time.Second})
		create(t, e, "a", &twohop.Spec{})
		before := e.used.Load()
		time.Sleep(33 * time.Millisecond) // so that it ends at an odd time
		keyed := func() *twohop.Append { return &twohop.Append{Channel: "a", Key: "k"} }
		for _, duplicate := range []bool{false, true} {
			if ack, err := send(t, e, keyed()); err != nil || ack.Duplicate != duplicate {
				t.Errorf("%+v, %v; want a duplicate: %v", ack, err, duplicate)
			}
		}
		time.Sleep(time.Second + time.Millisecond)
		if ack, err := send(t, e, keyed()); err != nil || ack.Duplicate {
			t.Errorf("after the window: %+v, %v", ack, err)
		}
		time.Sleep(2 * time.Second)
		if used := e.used.Load(); used != before {
			t.Errorf("keys that are forgotten take %d bytes", used-before)
		}
	})
}

// A channel is absent from the moment that it is deleted, not once it is
// collected: no one ever hears of forks that it does not have.
func TestDeletedButNotCollected(t *testing.T) {
	e := open(t, Options{})
	create(t, e, "a", &twohop.Spec{})
	ch := e.shardOf("a").lookup("a")
	ch.mu.Lock()
	ch.state.Deleted = true
	ch.mu.Unlock()
	_, err := e.Info(t.Context(), "a")
	wantCode(t, err, twohop.CodeNotFound)
	_, err = send(t, e, one("a", "x"))
	wantCode(t, err, twohop.CodeNotFound)
	wantCode(t, e.Delete(t.Context(), "a"), twohop.CodeNotFound)
	_, _, err = e.Create(t.Context(), "f", &twohop.Spec{Fork: &twohop.Fork{Source: "a"}})
	wantCode(t, err, twohop.CodeNotFound)
	create(t, e, "a", &twohop.Spec{Data: []byte("new"), Ends: []uint32{3}})
	ch.collect()
	if got := readAll(t, e, "a"); len(got) != 1 || got[0] != "new" {
		t.Errorf("its successor holds %q", got)
	}
}
