package disklog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"twohop"
)

// What the store flushed although it was never synced in the journal is not
// overwritten with what came before it.
func TestStoreAheadOfJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewCrashableMem()
		e := openAt(t, fs, Options{SyncInterval: time.Hour})
		mustCreate(t, e, "a", twohop.Spec{Sync: twohop.SyncInterval}, "1,")
		for i := range 3 { // each is noted in the channel's own key
			if _, err := tryAppend(e, twohop.Append{Channel: "a", Seq: fmt.Sprint("seq", i)}, fmt.Sprintf("%d,", 2+i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.db.Flush(); err != nil {
			t.Fatal(err)
		}
		left := fs.CrashClone(vfs.CrashCloneCfg{})
		shut(t, e)
		e = openAt(t, left, Options{})
		if got, want := readAll(t, e, "a", twohop.Offset{}, 1000), []string{"1,", "2,", "3,", "4,"}; !slices.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
		_, err := tryAppend(e, twohop.Append{Channel: "a", Seq: "seq1"}, "5,")
		wantCode(t, err, twohop.CodeSeqRegression)
		mustAppend(t, e, "a", "6,")
		time.Sleep(time.Second) // it is synced
		left = left.CrashClone(vfs.CrashCloneCfg{})
		shut(t, e)
		e = openAt(t, left, Options{})
		if got := readAll(t, e, "a", twohop.Offset{}, 1000); !slices.Equal(got, []string{"1,", "2,", "3,", "4,", "6,"}) {
			t.Errorf("read %q after another crash", got)
		}
		shut(t, e)
	})
}

// A batch whose sync failed with the process is carried out by the next one, and
// then it stays, even if the power fails.
func TestCarriedOutIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &faultyFS{MemFS: vfs.NewCrashableMem(), room: 1 << 39}
		e := openAt(t, fs, Options{})
		mustCreate(t, e, "a", twohop.Spec{Sync: twohop.SyncAlways}, "1,")
		fs.set(nil, syscall.EIO)
		_, err := tryAppend(e, twohop.Append{Channel: "a"}, "2,")
		wantCode(t, err, twohop.CodeUnknownOutcome)
		_ = e.Close()
		fs.set(nil, nil)
		e = openAt(t, fs, Options{})
		mustAppend(t, e, "a", "3,")
		synctest.Wait()
		left := fs.CrashClone(vfs.CrashCloneCfg{})
		shut(t, e)
		e = openAt(t, left, Options{})
		if got := readAll(t, e, "a", twohop.Offset{}, 1000); !slices.Equal(got, []string{"1,", "2,", "3,"}) {
			t.Errorf("read %q", got)
		}
		shut(t, e)
	})
}

func journals(t *testing.T, fs vfs.FS) (names []string) {
	t.Helper()
	all, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if isJournal(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Files of the journal are used again, and each crash finds all that was synced
// in those that are left, whatever they hold of earlier lives.
func TestJournalFilesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewCrashableMem()
		var want []string
		for range 3 {
			e := openAt(t, fs, Options{LogBytes: 16 << 10})
			if want == nil {
				mustCreate(t, e, "a", twohop.Spec{Sync: twohop.SyncAlways})
			}
			for i := range 100 {
				rec := fmt.Sprintf("%d %s,", i, strings.Repeat("x", 40*(i%50)))
				mustAppend(t, e, "a", rec)
				want = append(want, rec)
				synctest.Wait() // what is to be flushed is
			}
			if names := journals(t, fs); len(names) > 3 {
				t.Errorf("there are %q", names)
			}
			left := fs.CrashClone(vfs.CrashCloneCfg{})
			shut(t, e)
			fs = left
		}
		e := openAt(t, fs, Options{})
		if got := readAll(t, e, "a", twohop.Offset{}, 1000); !slices.Equal(got, want) {
			t.Errorf("read %d records, want %d", len(got), len(want))
		}
		shut(t, e)
	})
}

// overwrite makes b what a file holds.
func overwrite(t *testing.T, fs vfs.FS, name string, b []byte) {
	t.Helper()
	file, err := fs.Create(name, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// A journal that lacks what was synced is not opened, for nobody would hear of
// the loss.
func TestDamagedJournal(t *testing.T) {
	f := func(what string, opens bool, damage func(fs *vfs.MemFS, name string, b []byte) []byte) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			fs := vfs.NewMem()
			e := openAt(t, fs, Options{LogBytes: 4 << 10})
			mustCreate(t, e, "a", twohop.Spec{Sync: twohop.SyncAlways})
			for i := range 8 {
				mustAppend(t, e, "a", fmt.Sprintf("record %d,", i))
			}
			name := "data/" + journals(t, fs)[0]
			b, err := readSynced(fs, name)
			if err != nil {
				t.Fatal(err)
			}
			b = damage(fs, name, b)
			e.guard.kill() // the rest goes nowhere
			_ = e.Close()
			if b != nil {
				overwrite(t, fs, name, b)
			}
			e, err = Open("data", Options{FS: fs})
			if !opens {
				wantCode(t, err, twohop.CodeStorageFailed)
				if err != nil && !strings.Contains(err.Error(), "damaged") {
					t.Errorf("%s: %v", what, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got := readAll(t, e, "a", twohop.Offset{}, 1000); len(got) < 7 {
				t.Errorf("%s: %q is left", what, got)
			}
			shut(t, e)
		})
	}
	f("nothing", true, func(_ *vfs.MemFS, _ string, b []byte) []byte { return b })
	f("the last entry", true, func(_ *vfs.MemFS, _ string, b []byte) []byte {
		b[bytes.Index(b, []byte("record 7"))]++
		return b
	})
	f("an entry", false, func(_ *vfs.MemFS, _ string, b []byte) []byte {
		b[bytes.Index(b, []byte("record 3"))]++
		return b
	})
	f("a length", false, func(_ *vfs.MemFS, _ string, b []byte) []byte {
		b[bytes.Index(b, []byte("record 3"))-60]++
		return b
	})
	f("a hole", false, func(_ *vfs.MemFS, _ string, b []byte) []byte {
		from := bytes.Index(b, []byte("record 2"))
		clear(b[from-50 : from+300])
		return b
	})
}

// A record may be written so that it looks like an entry, and be what an earlier
// life of the file left behind its end. Who does not know the store's secret
// cannot make the store take it for one.
func TestRecordsThatLookLikeEntries(t *testing.T) {
	forged := func(secret uint32) []byte {
		fs := vfs.NewMem()
		file, err := fs.Create("j", "test")
		if err != nil {
			t.Fatal(err)
		}
		j := &journal{file: file, number: 7, seq: 41, synced: 1 << 40, secret: secret}
		if err := j.add([]byte("batch")); err != nil {
			t.Fatal(err)
		}
		b, err := readSynced(fs, "j")
		if err != nil {
			t.Fatal(err)
		}
		return append(make([]byte, 500), b...)
	}
	if (&journal{}).lostSynced(forged(0), 10, 7) == nil {
		t.Error("what says that more was synced is overlooked")
	}
	if err := (&journal{secret: 99}).lostSynced(forged(0), 10, 7); err != nil {
		t.Errorf("made without the secret: %v", err)
	}
	fs := vfs.NewMem()
	e := openAt(t, fs, Options{})
	secret := e.journal.secret
	shut(t, e)
	tables := vfs.NewMem() // without the journal
	if ok, err := vfs.Clone(fs, tables, "data", "data"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, name := range journals(t, tables) {
		if err := tables.Remove("data/" + name); err != nil {
			t.Fatal(err)
		}
	}
	db, err := pebble.Open("data", &pebble.Options{FS: tables, DisableWAL: true, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		t.Fatal(err)
	}
	// An older program wants eight bytes there, and looks before it touches the journal.
	if value, closer, err := db.Get(seqKey); err != nil || len(value) != 9 || closer.Close() != nil {
		t.Errorf("an older program would open the store, and find nothing: %d, %v", value, err)
	}
	// A store that was made without a secret goes on without.
	if err := errors.Join(db.Delete(secretKey, pebble.NoSync), db.Delete(seqKey, pebble.NoSync), db.Set(runKey, []byte{formatPlain, 5, 1, 0, 0}, pebble.NoSync), db.Flush(), db.Close()); err != nil {
		t.Fatal(err)
	}
	older := openAt(t, tables, Options{})
	if older.journal.secret != 0 || older.runID != 6 {
		t.Errorf("an older store is in run %d, with the secret %d", older.runID, older.journal.secret)
	}
	if value, closer, err := older.db.Get(runKey); err != nil || value[0] != formatPlain || closer.Close() != nil {
		t.Errorf("its format is %d, %v", value, err)
	}
	shut(t, older)
	again := openAt(t, fs, Options{})
	if secret == 0 || again.journal.secret != secret {
		t.Errorf("the secret was %d, and is %d", secret, again.journal.secret)
	}
	shut(t, again)
}

// FuzzParseEntry: no bytes make it read beyond them, and only whole entries of
// the file count.
func FuzzParseEntry(f *testing.F) {
	fs := vfs.NewMem()
	file, err := fs.Create("j", "test")
	if err != nil {
		f.Fatal(err)
	}
	j := &journal{file: file, number: 7, seq: 41, secret: 99}
	if err := j.add([]byte("batch")); err != nil {
		f.Fatal(err)
	}
	whole, err := readSynced(fs, "j")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := j.parseEntry(b, 7)
		if ok && len(e.batch)+entryHead > len(b) {
			t.Errorf("%d bytes of batch in %d", len(e.batch), len(b))
		}
		if bytes.HasPrefix(b, whole) && (!ok || e.seq != 42 || string(e.batch) != "batch") {
			t.Errorf("%+v, %v", e, ok)
		}
		_ = j.lostSynced(b, 0, 7)
	})
}

// When the next file cannot begin, nothing is written to the one before any more:
// its descriptor is closed, and may be another file's by now.
func TestNextFileCannotBegin(t *testing.T) {
	fs := vfs.NewMem()
	e := openAt(t, fs, Options{LogBytes: 16 << 10})
	mustCreate(t, e, "a", twohop.Spec{})
	big := strings.Repeat("x", 3000) + ","
	var err error
	for i := 0; i < 1000 && err == nil; i++ {
		if names := journals(t, fs); len(names) > 1 {
			if err := fs.Remove("data/" + names[0]); err != nil {
				t.Fatal(err)
			}
		}
		_, err = tryAppend(e, twohop.Append{Channel: "a"}, big)
	}
	if f, ok := errors.AsType[*twohop.Error](err); !ok || f.Code != twohop.CodeUnknownOutcome {
		t.Fatal(err)
	}
	if r := e.do(t.Context(), &item{kind: itemSync}); r.err == nil {
		t.Error("a sync that goes nowhere is reported as done")
	}
	if e.journal.file != nil {
		t.Error("the journal has its closed file still")
	}
	if err := e.Healthy(); err == nil {
		t.Error("an engine without a journal is healthy")
	}
}
