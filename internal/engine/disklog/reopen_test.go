package disklog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"twohop"
)

// TestLargeAppend reads from the middle of an append that takes several keys,
// and drops it as one.
func TestLargeAppend(t *testing.T) {
	e := openAt(t, vfs.NewMem(), Options{})
	mustCreate(t, e, "a", twohop.Spec{Retention: twohop.Retention{Records: 1}})
	var recs []string
	for i := range 100 {
		recs = append(recs, strings.Repeat(fmt.Sprint(i%10), 10_000)+",")
	}
	mustAppend(t, e, "a", recs...)
	if got := readAll(t, e, "a", twohop.Offset{}, 25_000); !slices.Equal(got, recs) {
		t.Errorf("read %d records, want %d", len(got), len(recs))
	}
	from, err := e.Last(context.Background(), "a", 42)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, e, "a", from, 1<<20); !slices.Equal(got, recs[58:]) {
		t.Errorf("read %d records, want 42", len(got))
	}
	mustAppend(t, e, "a", "next,")
	if got := readAll(t, e, "a", twohop.Offset{}, 1<<20); !slices.Equal(got, []string{"next,"}) {
		t.Errorf("%d records are left, want the last append", len(got))
	}
}

// count is the number of keys of a kind in the store of an idle engine.
func count(t *testing.T, e *Engine, kind byte) (n int) {
	t.Helper()
	synctest.Wait()
	it, err := e.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		if it.Key()[0] == kind {
			n++
		}
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTrim looks at what retention leaves on the disk, before and after a fork
// that needs it.
func TestTrim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := openAt(t, vfs.NewMem(), Options{})
		stored := func() int { return count(t, e, kindBatch) }
		mustCreate(t, e, "a", twohop.Spec{Retention: twohop.Retention{Records: 10}})
		for i := range 1000 {
			mustAppend(t, e, "a", fmt.Sprint(i))
		}
		if n := stored(); n > 10+2*trimRecords {
			t.Errorf("%d appends are stored, 10 are kept", n)
		}
		mustCreate(t, e, "f", twohop.Spec{Fork: &twohop.Fork{Source: "a"}})
		for i := range 1000 {
			mustAppend(t, e, "a", fmt.Sprint(i))
		}
		if n := stored(); n < 1000 {
			t.Errorf("%d appends are stored, a fork needs more", n)
		}
		if got := readAll(t, e, "f", twohop.Offset{}, 1000); !slices.Equal(got, []string{"990", "991", "992", "993", "994", "995", "996", "997", "998", "999"}) {
			t.Errorf("the fork holds %q", got)
		}
		if err := e.Delete(context.Background(), "f"); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, e, "a", "last")
		if n := stored(); n > 10+2*trimRecords {
			t.Errorf("%d appends are stored after the fork went, 10 are kept", n)
		}
		if err := e.Delete(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
		if n := stored(); n != 0 {
			t.Errorf("%d appends are stored, all is deleted", n)
		}
		shut(t, e)
	})
}

// TestSmallCache works on more channels than the cache holds.
func TestSmallCache(t *testing.T) {
	e := openAt(t, vfs.NewMem(), Options{CacheChannels: 4})
	for round := range 3 {
		for i := range 50 {
			name := fmt.Sprintf("c%d", i)
			if round == 0 {
				mustCreate(t, e, name, twohop.Spec{})
			}
			mustAppend(t, e, name, fmt.Sprintf("%d.%d", i, round))
		}
	}
	for i := range 50 {
		want := []string{fmt.Sprintf("%d.0", i), fmt.Sprintf("%d.1", i), fmt.Sprintf("%d.2", i)}
		if got := readAll(t, e, fmt.Sprintf("c%d", i), twohop.Offset{}, 1); !slices.Equal(got, want) {
			t.Errorf("c%d holds %q", i, got)
		}
	}
	if n := e.Stats().Channels; n > 8 {
		t.Errorf("%d channels are in memory", n)
	}
}

// TestTTLOutlivesCrash wants a channel that was touched to live as long as if
// the power had not failed.
func TestTTLOutlivesCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewCrashableMem()
		e := openAt(t, fs, Options{})
		mustCreate(t, e, "touched", twohop.Spec{TTL: time.Hour})
		mustCreate(t, e, "idle", twohop.Spec{TTL: time.Hour})
		time.Sleep(50 * time.Minute)
		e.Touch("touched")
		left := fs.CrashClone(vfs.CrashCloneCfg{})
		shut(t, e)

		again := openAt(t, left, Options{})
		time.Sleep(time.Hour - time.Microsecond)
		for _, name := range []string{"touched", "idle"} {
			if _, err := again.Info(context.Background(), name); err != nil {
				t.Errorf("an hour after its last use at the latest: %v", err)
			}
		}
		time.Sleep(time.Microsecond)
		_, err := again.Info(context.Background(), "touched")
		wantCode(t, err, twohop.CodeNotFound)
		shut(t, again)
	})
}

// TestTouchOutlivesClose is about a touch that no append follows.
func TestTouchOutlivesClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		e := openAt(t, fs, Options{})
		mustCreate(t, e, "a", twohop.Spec{TTL: time.Hour})
		time.Sleep(50 * time.Minute) // it has left the cache
		e.Touch("a")
		time.Sleep(time.Second)
		e.Touch("a") // it has not
		shut(t, e)
		e = openAt(t, fs, Options{})
		time.Sleep(time.Hour - time.Microsecond)
		if _, err := e.Info(context.Background(), "a"); err != nil {
			t.Errorf("within an hour of the touch: %v", err)
		}
		time.Sleep(time.Microsecond)
		_, err := e.Info(context.Background(), "a")
		wantCode(t, err, twohop.CodeNotFound)
		shut(t, e)
	})
}

// TestKeysAreForgotten wants nothing left of idempotency keys after the window.
func TestKeysAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := openAt(t, vfs.NewMem(), Options{})
		mustCreate(t, e, "a", twohop.Spec{})
		for i := range 2000 {
			if _, err := tryAppend(e, twohop.Append{Channel: "a", Key: fmt.Sprint(i)}, "x"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(e.opts.IdempotencyWindow)
		for _, kind := range []byte{kindKey, kindKeyDue} {
			if n := count(t, e, kind); n > 0 {
				t.Errorf("%d keys of kind %c are left", n, kind)
			}
		}
		shut(t, e)
	})
}

// TestLocked wants a second engine on a directory to be refused.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, Options{})
	wantCode(t, err, twohop.CodeStorageFailed)
	shut(t, e)
	e, err = Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	shut(t, e)
}

// A retention that is set later holds for channels that exist, from the next
// start on.
func TestRetentionSetLater(t *testing.T) {
	fs := vfs.NewMem()
	e := openAt(t, fs, Options{})
	for _, name := range []string{"a", "own"} {
		mustCreate(t, e, name, twohop.Spec{ContentType: "text/plain"})
		for _, r := range []string{"1", "2", "3"} {
			mustAppend(t, e, name, r)
		}
	}
	shut(t, e)
	e = openAt(t, fs, Options{Retention: func(channel string) (twohop.Retention, bool) {
		return twohop.Retention{Records: 1}, channel != "own"
	}})
	defer shut(t, e)
	if got := readAll(t, e, "a", twohop.Offset{}, 100); len(got) != 1 || got[0] != "3" {
		t.Errorf("%q are kept of a, want the last one", got)
	}
	if got := readAll(t, e, "own", twohop.Offset{}, 100); len(got) != 3 {
		t.Errorf("%q are kept of a channel that the retention is not for", got)
	}
}

// TestAgeSetLater gives channels that nothing is appended to an age, or another
// one: their records go when they are as old.
func TestAgeSetLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		e := openAt(t, fs, Options{})
		mustCreate(t, e, "none", twohop.Spec{}, "1,")
		mustCreate(t, e, "long", twohop.Spec{Retention: twohop.Retention{Age: 30 * 24 * time.Hour}}, "1,")
		shut(t, e)
		for start, left := range []int{1, 1, 0} { // after 40, 80 and 120 minutes
			e = openAt(t, fs, Options{Retention: func(string) (twohop.Retention, bool) { return twohop.Retention{Age: 100 * time.Minute}, true }})
			<-time.After(40 * time.Minute)
			for _, name := range []string{"none", "long"} {
				if got := readAll(t, e, name, twohop.Offset{}, 100); len(got) != left {
					t.Errorf("start %d: %q are left of %s, want %d", start, got, name, left)
				}
			}
			shut(t, e)
		}
	})
}

// TestAgesAreLookedAtOnce counts the channels that a start asks the retention of:
// none if it is the retention of the last one, and all of its channels are known
// to have it.
func TestAgesAreLookedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		asked := func(version string, age time.Duration, end func(*Engine)) int64 {
			var n atomic.Int64
			e := openAt(t, fs, Options{RetentionVersion: version, Retention: func(string) (twohop.Retention, bool) {
				n.Add(1)
				return twohop.Retention{Age: age}, true
			}})
			synctest.Wait()
			end(e)
			return n.Load()
		}
		ends := func(e *Engine) { shut(t, e) }
		dies := func(e *Engine) { e.guard.kill(); _ = e.Close() }
		e := openAt(t, fs, Options{})
		mustCreate(t, e, "a", twohop.Spec{}, "1,")
		shut(t, e)
		for i, start := range []struct {
			version string
			age     time.Duration
			end     func(*Engine)
			looks   bool
		}{
			{"x", time.Hour, ends, true}, {"x", time.Hour, ends, false}, {"x", time.Hour, dies, false}, {"x", time.Hour, ends, false},
			{"y", 2 * time.Hour, dies, true}, {"x", time.Hour, ends, true}, {"x", time.Hour, ends, false},
			{"", time.Hour, ends, true}, {"", time.Hour, ends, true}, {"x", time.Hour, ends, true},
		} {
			if n := asked(start.version, start.age, start.end); n > 0 != start.looks {
				t.Errorf("start %d, %+v: the retention of %d channels was asked for", i, start, n)
			}
		}
		var last *Engine
		asked("x", time.Hour, func(e *Engine) { last = e })
		<-time.After(2 * time.Hour)
		if got := readAll(t, last, "a", twohop.Offset{}, 100); len(got) > 0 {
			t.Errorf("%q are left after their age", got)
		}
		shut(t, last)
	})
}

// TestAgeTakenAwayAndSetAgain appends while there was no age.
func TestAgeTakenAwayAndSetAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		open := func(age time.Duration) *Engine {
			return openAt(t, fs, Options{Retention: func(string) (twohop.Retention, bool) { return twohop.Retention{Age: age}, true }})
		}
		e := open(time.Hour)
		mustCreate(t, e, "a", twohop.Spec{Retention: twohop.Retention{Age: time.Hour}}, "1,")
		<-time.After(2 * time.Hour)
		shut(t, e)
		e = open(0)
		synctest.Wait() // it looks
		mustAppend(t, e, "a", "2,")
		shut(t, e)
		e = open(time.Hour)
		<-time.After(2 * time.Hour)
		if got := readAll(t, e, "a", twohop.Offset{}, 100); len(got) > 0 {
			t.Errorf("%q are left", got)
		}
		shut(t, e)
	})
}

// TestRestored puts an older copy of a store back. Offsets that were given since
// it was made get a reset, whatever is appended afterwards; older ones go on.
func TestRestored(t *testing.T) { synctest.Test(t, testRestored) }

func testRestored(t *testing.T) {
	fs, copied := vfs.NewMem(), vfs.NewMem()
	kinds := map[string]twohop.Sync{"always": twohop.SyncAlways, "interval": twohop.SyncInterval, "later": twohop.SyncAlways}
	held, lost := map[string]twohop.Offset{}, map[string]twohop.Offset{}
	e := openAt(t, fs, Options{})
	for name, level := range kinds {
		mustCreate(t, e, name, twohop.Spec{Sync: level}, "1,")
		held[name] = mustAppend(t, e, name, "2,").Offset
	}
	mustCreate(t, e, "ttl", twohop.Spec{TTL: time.Hour})
	shut(t, e)
	if ok, err := vfs.Clone(fs, copied, "data", "data"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	e = openAt(t, fs, Options{})
	for name := range kinds {
		mustAppend(t, e, name, "gone,")
		lost[name] = mustAppend(t, e, name, "gone, too,").Offset
	}
	shut(t, e)
	<-time.After(2 * time.Hour) // it would have expired, had it not been used

	appended := map[string]bool{}
	for start := range 3 {
		e = openAt(t, copied, Options{Restored: start == 0})
		for name := range kinds {
			if name == "later" && start == 0 {
				continue // still to come in a start that is told nothing
			}
			offset := mustAppend(t, e, name, "new,").Offset
			if first := !appended[name]; first != (offset.Epoch != held[name].Epoch && offset.Pos == 3) {
				t.Errorf("start %d, %s: the record is at %v, after %v", start, name, offset, held[name])
			}
			appended[name] = true
		}
		if _, err := e.Info(context.Background(), "ttl"); err != nil {
			t.Errorf("start %d: nobody knows when it was used last, and it was deleted: %v", start, err)
		}
		for name := range appended {
			_, err := e.Read(context.Background(), name, lost[name], 1000)
			wantCode(t, err, twohop.CodeReset)
			if got := readAll(t, e, name, held[name], 1000); len(got) == 0 || strings.Trim(strings.Join(got, ""), "new,") != "" {
				t.Errorf("start %d, %s: after what was read %q comes", start, name, got)
			}
		}
		shut(t, e)
	}
}
