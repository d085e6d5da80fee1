package disklog

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"twohop"
)

// aging is a retention of an age for all channels.
func aging(age time.Duration) func(string) (twohop.Retention, bool) {
	return func(string) (twohop.Retention, bool) { return twohop.Retention{Age: age}, true }
}

func mustInfo(t testing.TB, e *Engine, name string) twohop.Info {
	t.Helper()
	info, err := e.Info(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// When all records of a channel were too old, and were removed from the disk, its
// offsets go on where they were, over restarts and new log epochs.
func TestAllAged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		hundred := make([]string, 100)
		for i := range hundred {
			hundred[i] = fmt.Sprint(i, ",")
		}
		spec := twohop.Spec{Retention: twohop.Retention{Age: time.Hour}, TTL: 4 * time.Hour}
		e := openAt(t, fs, Options{})
		mustCreate(t, e, "a", spec)
		held := mustAppend(t, e, "a", "first,").Offset
		var last twohop.Offset
		for round := range uint64(3) {
			last = mustAppend(t, e, "a", hundred...).Offset
			<-time.After(2 * time.Hour)
			synctest.Wait()
			before := mustInfo(t, e, "a")
			if before.Tail != last || before.Start != last {
				t.Fatalf("%d: from %v to %v, want both to be %v", round, before.Start, before.Tail, last)
			}
			if n := countKeys(t, e, 'b'); n != 0 {
				t.Fatalf("%d: %d batches are on the disk still", round, n)
			}
			if round == 1 {
				e.guard.kill() // and so a new log epoch begins
				_ = e.Close()
			} else {
				shut(t, e)
			}
			e = openAt(t, fs, Options{})
			if after := mustInfo(t, e, "a"); after.Tail != before.Tail || after.Start != before.Start {
				t.Fatalf("%d: from %v to %v, before the restart it was %v to %v", round, after.Start, after.Tail, before.Start, before.Tail)
			}
			if _, err := e.Read(t.Context(), "a", held, 100); !isReset(err, twohop.ResetTrimmed) {
				t.Errorf("%d: an offset before the start: %v", round, err)
			}
			if got := mustAppend(t, e, "a", "next,").Offset; got.Pos != last.Pos+1 {
				t.Errorf("%d: the next record ends at %v, the last one at %v", round, got, last)
			}
			if got := readAll(t, e, "a", last, 100); len(got) != 1 || got[0] != "next," {
				t.Errorf("%d: %q follow the last ones", round, got)
			}
		}
		shut(t, e)
	})
}

// countKeys counts the keys of a kind in the store.
func countKeys(t testing.TB, e *Engine, kind byte) (n int) {
	t.Helper()
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

func isReset(err error, reason twohop.ResetReason) bool {
	e, ok := errors.AsType[*twohop.Error](err)
	return ok && e.Code == twohop.CodeReset && e.Reset.Reason == reason
}

// What a fork inherits gets too old, and is too much, as if it were its own.
func TestForkOfAgedRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := openAt(t, vfs.NewMem(), Options{})
		defer shut(t, e)
		mustCreate(t, e, "source", twohop.Spec{}, "1,", "2,", "3,")
		<-time.After(40 * time.Minute)
		tail := mustAppend(t, e, "source", "4,").Offset
		fork := func(name string, r twohop.Retention) {
			mustCreate(t, e, name, twohop.Spec{Fork: &twohop.Fork{Source: "source", At: &tail}, Retention: r})
		}
		left := func(name string, want int) {
			t.Helper()
			if got := readAll(t, e, name, twohop.Offset{}, 100); len(got) != want {
				t.Errorf("%q are left of %s, want %d", got, name, want)
			}
		}
		fork("aged", twohop.Retention{Age: time.Hour})
		fork("old", twohop.Retention{Age: time.Minute})
		fork("few", twohop.Retention{Records: 1})
		synctest.Wait()
		left("old", 1)
		left("few", 1)
		left("aged", 4)
		<-time.After(21 * time.Minute)
		left("aged", 1)
		left("old", 0)
		<-time.After(40 * time.Minute)
		left("aged", 0)
		left("source", 4)
	})
}

// A look for another age is at the channel as it is by then.
func TestLookAfterAnAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		e := openAt(t, fs, Options{})
		mustCreate(t, e, "a", twohop.Spec{Retention: twohop.Retention{Age: 30 * 24 * time.Hour}}, "1,")
		seen, _, err := e.load("a")
		if err != nil {
			t.Fatal(err)
		}
		shut(t, e)
		<-time.After(2 * time.Hour)
		var holds atomic.Bool // not for the look at the start
		e = openAt(t, fs, Options{Retention: func(string) (twohop.Retention, bool) { return twohop.Retention{Age: time.Hour}, holds.Load() }})
		synctest.Wait()
		holds.Store(true)
		mustAppend(t, e, "a", "2,")
		if failed, ok := e.dealWith(kindDue, []dueName{{due{at: seen.due, id: seen.id}, "a"}}, true); failed > 0 || !ok {
			t.Fatal(failed, ok)
		}
		if got := readAll(t, e, "a", twohop.Offset{}, 100); len(got) != 1 {
			t.Errorf("%q are left, want the new one", got)
		}
		shut(t, e)
	})
}

// replace changes a value behind the committer's back, while he has nothing to do.
func replace(e *Engine, key, value []byte) error {
	b := e.db.NewBatch()
	return errors.Join(b.Set(key, value, nil), e.write(b, true), b.Close())
}

// A start that could not look at all channels leaves that to the next one, and so
// does one that learned of an age for another reason.
func TestLooksThatWereMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, how := range []string{"a channel cannot be decoded", "a batch cannot be decoded", "it was only touched"} {
			fs := vfs.NewMem()
			month := twohop.Retention{Age: 30 * 24 * time.Hour}
			e := openAt(t, fs, Options{RetentionVersion: "x", Retention: aging(month.Age)})
			mustCreate(t, e, "a", twohop.Spec{Retention: month, TTL: 100 * 24 * time.Hour}, "1,")
			mustCreate(t, e, "b", twohop.Spec{Retention: month}, "1,")
			b, _, err := e.load("b")
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(2 * time.Hour)
			was, key := []byte(nil), channelKey("b")
			if how == "a batch cannot be decoded" {
				key = batchKey(b.Epoch, b.Base)
			}
			broken := how != "it was only touched"
			if broken {
				value, closer, err := e.db.Get(key)
				if err != nil {
					t.Fatal(err)
				}
				was = append(was, value...)
				if err := errors.Join(closer.Close(), replace(e, key, []byte{99})); err != nil {
					t.Fatal(err)
				}
			}
			shut(t, e)
			if broken {
				e = openAt(t, fs, Options{RetentionVersion: "y", Retention: aging(time.Hour)})
				synctest.Wait()
				if err := replace(e, key, was); err != nil {
					t.Fatal(err)
				}
			} else {
				e = openAt(t, fs, Options{RetentionVersion: "x", Retention: aging(time.Hour)})
				e.Touch("a") // so that it is saved
				<-time.After(time.Minute)
			}
			shut(t, e)
			e = openAt(t, fs, Options{RetentionVersion: "y", Retention: aging(time.Hour)})
			synctest.Wait()
			<-time.After(time.Minute)
			for _, name := range []string{"a", "b"} {
				if got := readAll(t, e, name, twohop.Offset{}, 100); len(got) > 0 {
					t.Errorf("%s: %q are left of %s", how, got, name)
				}
			}
			shut(t, e)
		}
	})
}

// A start trusts the last one only: an older program may have been at work since,
// which knows nothing of versions.
func TestAgesOfAnotherProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		x := Options{RetentionVersion: "x", Retention: aging(time.Hour)}
		e := openAt(t, fs, x)
		synctest.Wait()
		mustCreate(t, e, "a", twohop.Spec{})
		known := e.agesValue(e.runID)
		shut(t, e)
		e = openAt(t, fs, Options{})
		if err := replace(e, agesKey, known); err != nil {
			t.Fatal(err)
		}
		e.guard.kill()
		_ = e.Close()
		looks := 0
		x.Retention = func(string) (twohop.Retention, bool) { looks++; return twohop.Retention{}, false }
		e = openAt(t, fs, x)
		synctest.Wait()
		shut(t, e)
		if looks != 1 {
			t.Errorf("%d channels were looked at, want 1", looks)
		}
	})
}

// A window that is longer than it was holds for keys that are known, too, and they
// are forgotten at its end.
func TestLongerWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		e := openAt(t, fs, Options{IdempotencyWindow: time.Minute})
		mustCreate(t, e, "a", twohop.Spec{})
		if _, err := tryAppend(e, twohop.Append{Channel: "a", Key: "k"}, "1,"); err != nil {
			t.Fatal(err)
		}
		shut(t, e)
		e = openAt(t, fs, Options{IdempotencyWindow: time.Hour})
		<-time.After(30 * time.Minute)
		if ack, err := tryAppend(e, twohop.Append{Channel: "a", Key: "k"}, "1,"); err != nil || !ack.Duplicate {
			t.Errorf("%+v, %v", ack, err)
		}
		<-time.After(31 * time.Minute)
		if keys, dues := countKeys(t, e, kindKey), countKeys(t, e, kindKeyDue); keys+dues > 0 {
			t.Errorf("%d keys and %d entries are left when the window is over", keys, dues)
		}
		shut(t, e)
	})
}

// together queues items for one group.
func together(e *Engine, items []*item) {
	q := e.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.items = append(q.mu.items, items...)
	q.stirLocked(items[0])
}

// A fork is kept within its bounds, also where it takes the place of another
// channel at once.
func TestForkInPlaceOfAChannel(t *testing.T) {
	e := openAt(t, vfs.NewMem(), Options{})
	defer shut(t, e)
	mustCreate(t, e, "s", twohop.Spec{}, "1,", "2,")
	mustAppend(t, e, "s", "3,")
	mustCreate(t, e, "f", twohop.Spec{})
	results := make(chan error, 2)
	done := func(r *result) { results <- r.err }
	together(e, []*item{
		{kind: itemDelete, name: "f", done: done},
		{kind: itemCreate, name: "f", spec: &twohop.Spec{Fork: &twohop.Fork{Source: "s"}, Retention: twohop.Retention{Records: 1}}, done: done},
	})
	for range 2 {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	if got := readAll(t, e, "f", twohop.Offset{}, 100); len(got) != 1 || got[0] != "3," {
		t.Errorf("%q, want the last record", got)
	}
}

// In one group, what a fork of a fork inherits may be of its ancestor's append.
func TestForkOfAForkInOneGroup(t *testing.T) {
	e := openAt(t, vfs.NewMem(), Options{})
	defer shut(t, e)
	info := mustCreate(t, e, "s", twohop.Spec{}, "1,")
	at := func(n uint64) *twohop.Offset { return &twohop.Offset{Epoch: info.Tail.Epoch, Pos: n} }
	data, ends := records("2,", "3,")
	results := make(chan error, 3)
	done := func(r *result) { results <- r.err }
	items := []*item{
		{kind: itemAppend, name: "s", add: &twohop.Append{Channel: "s", Data: data, Ends: ends}, done: done},
		{kind: itemCreate, name: "f", spec: &twohop.Spec{Fork: &twohop.Fork{Source: "s", At: at(3)}}, done: done},
		{kind: itemCreate, name: "g", spec: &twohop.Spec{Fork: &twohop.Fork{Source: "f", At: at(2)}}, done: done},
	}
	together(e, items)
	for range items {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got := readAll(t, e, "g", twohop.Offset{}, 100); len(got) != 2 {
		t.Errorf("%q, want two records", got)
	}
}
