package disklog

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/engine/enginetest"
)

// testLoop is a loop of nothing but what an engine does on it.
type testLoop struct {
	wakeup int
	fd     int // that is watched, or -1
	look   func()

	mu     sync.Mutex
	posted []interface{ Turn() bool }
	ended  bool
}

func (l *testLoop) Post(t interface{ Turn() bool }) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posted = append(l.posted, t)
	_, _ = unix.Write(l.wakeup, []byte{0: 1, 7: 0})
}

func (l *testLoop) Watch(fd int, look func()) { l.fd, l.look = fd, look }
func (l *testLoop) Unwatch(int)               { l.fd, l.look = -1, func() {} }

func (l *testLoop) run() {
	var more []interface{ Turn() bool }
	for {
		fds := []unix.PollFd{{Fd: int32(l.wakeup), Events: unix.POLLIN}, {Fd: int32(l.fd), Events: unix.POLLIN}}
		limit := -1
		if len(more) > 0 {
			limit = 0
		}
		_, _ = unix.Poll(fds, limit) // interrupted is as good
		var b [8]byte
		_, _ = unix.Read(l.wakeup, b[:])
		l.look()
		l.mu.Lock()
		turns, ended := append(more, l.posted...), l.ended
		l.posted, more = nil, nil
		l.mu.Unlock()
		for _, t := range turns {
			if t.Turn() {
				more = append(more, t)
			}
		}
		if ended {
			return
		}
	}
}

// runLoop runs a loop until the end of the test.
func runLoop(t *testing.T, before func(engine.Loop)) {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	l := &testLoop{wakeup: fd, fd: -1, look: func() {}}
	before(l)
	var running sync.WaitGroup
	running.Go(l.run)
	t.Cleanup(func() {
		l.mu.Lock()
		l.ended = true
		_, _ = unix.Write(l.wakeup, []byte{0: 1, 7: 0})
		l.mu.Unlock()
		running.Wait()
		_ = unix.Close(fd)
	})
}

// openOnLoop opens an engine on the real file system, with a loop to commit on.
func openOnLoop(t *testing.T, dir string) *Engine {
	t.Helper()
	var e *Engine
	runLoop(t, func(l engine.Loop) {
		var err error
		if e, err = Open(dir, Options{LogBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		e.MoveIn(l)
	})
	t.Cleanup(func() { _ = e.Close() }) // before the loop ends
	return e
}

// warmUp appends until the loop has committed something.
func warmUp(t *testing.T, e *Engine) {
	t.Helper()
	mustCreate(t, e, "first", twohop.Spec{Sync: twohop.SyncAlways})
	for e.Stats().LoopGroups == 0 {
		mustAppend(t, e, "first", "x")
	}
}

func TestSuiteOnLoop(t *testing.T) {
	enginetest.Suite{
		Open: func(t *testing.T) engine.Engine { return openOnLoop(t, t.TempDir()) },
		Reopen: func(t *testing.T, e engine.Engine) engine.Engine {
			old := e.(*Engine)
			shut(t, old)
			return openOnLoop(t, old.dir)
		},
		Real: true,
	}.Run(t)
}

// publishers append all at once what a loop takes and what it does not, and
// check the answers against the feed and the log.
func publishers(t *testing.T, e *Engine, each int, meanwhile func()) {
	t.Helper()
	const writers = 8
	var mu sync.Mutex
	told := map[string]twohop.Offset{}
	e.Follow(sinkFunc(func(ev *engine.Event) {
		if ev.Kind != engine.Appended || ev.Batch.Len() == 0 {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if was, ok := told[ev.Channel]; ok && was != ev.Batch.From {
			t.Errorf("%s: the feed goes on at %v after %v", ev.Channel, ev.Batch.From, was)
		}
		told[ev.Channel] = ev.Batch.Next
	}))
	mustCreate(t, e, "synced", twohop.Spec{Sync: twohop.SyncAlways})
	mustCreate(t, e, "lazy", twohop.Spec{Sync: twohop.SyncInterval})
	mustCreate(t, e, "short", twohop.Spec{Sync: twohop.SyncAlways, Retention: twohop.Retention{Records: 10}})
	names := []string{"synced", "lazy", "short"}
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				a := twohop.Append{Channel: names[(w+i)%len(names)]}
				switch {
				case w == 0:
					a.Producer = &twohop.Producer{ID: a.Channel, Seq: uint64(i / len(names))} //nolint:gosec // small
				case w == 1 && i%5 == 0:
					a.Key = fmt.Sprint("key ", i)
				case w == 2 && i%7 == 0:
					a.Channel, a.Create = fmt.Sprint("new ", i), &twohop.Spec{}
				}
				rec := fmt.Sprintf("%d/%d %s", w, i, strings.Repeat("x", i*i%5000))
				if _, err := tryAppend(e, a, rec); err != nil {
					t.Errorf("%+v: %v", a, err)
				}
				if i == each/2 && w == 3 {
					meanwhile()
				}
			}
		})
	}
	all.Wait()
	counts := map[string]int{}
	last := map[string]int{}
	for _, name := range []string{"synced", "lazy"} {
		for _, rec := range readAll(t, e, name, twohop.Offset{}, 1<<20) {
			var w, i int
			if _, err := fmt.Sscanf(rec, "%d/%d", &w, &i); err != nil {
				t.Fatalf("%q: %v", rec, err)
			}
			key := fmt.Sprint(name, w)
			if was, ok := last[key]; ok && i <= was {
				t.Errorf("%s: writer %d has %d after %d", name, w, i, was)
			}
			last[key] = i
			counts[name]++
		}
	}
	want := map[string]int{}
	for w := range writers {
		for i := range each {
			if w != 2 || i%7 != 0 {
				want[names[(w+i)%len(names)]]++
			}
		}
	}
	if counts["synced"] != want["synced"] || counts["lazy"] != want["lazy"] {
		t.Errorf("there are %v records, want %v", counts, want)
	}
	if n := len(readAll(t, e, "short", twohop.Offset{}, 1<<20)); n < 10 || n > 11 {
		t.Errorf("%d records are kept of the last ten", n)
	}
}

// What a loop takes and what it does not are judged in one order.
func TestLoopAndCommitterTakeTurns(t *testing.T) {
	e := openOnLoop(t, t.TempDir())
	warmUp(t, e)
	before := e.Stats()
	publishers(t, e, 400, func() {})
	s := e.Stats()
	s.Groups, s.LoopGroups = s.Groups-before.Groups, s.LoopGroups-before.LoopGroups
	t.Logf("%d groups, %d on the loop", s.Groups, s.LoopGroups)
	if s.LoopGroups == 0 || s.LoopGroups == s.Groups {
		t.Errorf("%d of %d groups were committed on the loop", s.LoopGroups, s.Groups)
	}
}

// The engine leaves its loop in the midst of work, and works on.
func TestMoveOutAtWork(t *testing.T) {
	for range 5 {
		e := openOnLoop(t, t.TempDir())
		warmUp(t, e)
		var then uint64
		publishers(t, e, 100, func() {
			e.MoveOut()
			then = e.Stats().LoopGroups
			e.MoveOut()
		})
		if now := e.Stats().LoopGroups; then == 0 || now != then {
			t.Errorf("%d groups were committed on the loop, %d before the engine left", now, then)
		}
		shut(t, e)
	}
}

// A ring that fails in the midst of a round leaves the round to the committer.
func TestRingFailsOnLoop(t *testing.T) {
	e := openOnLoop(t, t.TempDir())
	warmUp(t, e)
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(null) }()
	publishers(t, e, 100, func() {
		if err := unix.Dup3(null, e.resident.ring.FD(), unix.O_CLOEXEC); err != nil {
			t.Error(err)
		}
	})
	if s := e.Stats(); s.LoopGroups == 0 || s.LoopGroups == s.Groups {
		t.Errorf("%d of %d groups were committed on the loop", s.LoopGroups, s.Groups)
	}
}

// A disk that fails in the midst of a round is a failed disk, and its appends
// are answered.
func TestDiskFailsOnLoop(t *testing.T) {
	dir := t.TempDir()
	e := openOnLoop(t, dir)
	mustCreate(t, e, "a", twohop.Spec{Sync: twohop.SyncAlways})
	mustAppend(t, e, "a", "fine")
	warmUp(t, e)
	unwritable, err := unix.Open(dir, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(unwritable) }()
	if err := unix.Dup3(unwritable, e.journal.direct().fd, unix.O_CLOEXEC); err != nil { // nothing is under way
		t.Fatal(err)
	}
	_, err = tryAppend(e, twohop.Append{Channel: "a"}, "lost?")
	wantCode(t, err, twohop.CodeUnknownOutcome)
	_, err = tryAppend(e, twohop.Append{Channel: "a"}, "refused")
	wantCode(t, err, twohop.CodeStorageFailed)
	wantCode(t, e.Close(), twohop.CodeStorageFailed)
	e = openOnLoop(t, dir)
	for _, rec := range readAll(t, e, "a", twohop.Offset{}, 1<<20) {
		if rec != "fine" && rec != "lost?" {
			t.Errorf("there is %q", rec)
		}
	}
}

// What might have to wait for the disk is not done on the loop: looking up what
// a producer sent, and finding the records that retention lets go.
func TestLoopNeverReads(t *testing.T) {
	const appends = 200
	e := openOnLoop(t, t.TempDir())
	mustCreate(t, e, "a", twohop.Spec{Sync: twohop.SyncAlways})
	onLoop := func(a twohop.Append) (n uint64) {
		t.Helper()
		before := e.Stats().LoopGroups
		for i := range appends {
			if a.Producer != nil {
				a.Producer.Seq = uint64(i) //nolint:gosec // small
			}
			if _, err := tryAppend(e, a, "x"); err != nil {
				t.Fatal(err)
			}
		}
		return e.Stats().LoopGroups - before
	}
	if n := onLoop(twohop.Append{Channel: "a"}); n < appends*9/10 { // now and then the room on the disk is looked at
		t.Errorf("%d of %d plain appends were committed on the loop", n, appends)
	}
	if n := onLoop(twohop.Append{Channel: "a", Producer: &twohop.Producer{ID: "p"}}); n != 0 {
		t.Errorf("%d of %d of a producer were committed on the loop", n, appends)
	}
	for i := range 5 {
		name := fmt.Sprint("short ", i)
		mustCreate(t, e, name, twohop.Spec{Sync: twohop.SyncAlways, Retention: twohop.Retention{Records: 1}})
		mustAppend(t, e, name, "x")
		before := e.Stats().LoopGroups
		mustAppend(t, e, name, "y")
		if e.Stats().LoopGroups != before {
			t.Error("the first record that goes was found on the loop")
		}
	}
}

// turns counts the turns of a task that is never done.
type turns struct{ n atomic.Int64 }

func (c *turns) Turn() bool {
	c.n.Add(1)
	return true
}

// Appends that need no sync, and never end, leave the loop time for others.
func TestLoopHasOtherWork(t *testing.T) {
	const appends = 1000
	e := openOnLoop(t, t.TempDir())
	mustCreate(t, e, "a", twohop.Spec{Sync: twohop.SyncInterval})
	mustAppend(t, e, "a", "x")
	var others turns
	e.resident.loop.Post(&others)
	before := e.Stats().LoopGroups
	done := make(chan error)
	left, seen, waited, longest := appends, int64(0), 0, 0
	var next func(twohop.Ack, error)
	next = func(_ twohop.Ack, err error) {
		if n := others.n.Load(); n != seen {
			seen, waited = n, 0
		} else {
			waited++
		}
		longest = max(longest, waited)
		if left--; err != nil || left == 0 {
			done <- err
			return
		}
		e.Append(t.Context(), &twohop.Append{Channel: "a", Data: []byte("x"), Ends: []uint32{1}}, next)
	}
	next(twohop.Ack{}, nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := e.Stats().LoopGroups - before; n < appends/2 {
		t.Errorf("%d of %d groups were committed on the loop", n, appends)
	}
	if longest > 2*fewGroups {
		t.Errorf("others waited for %d groups", longest)
	}
}
