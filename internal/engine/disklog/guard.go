package disklog

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"twohop"
)

// roomPoll is how often a change that found no room, or no descriptor, is tried
// again.
const roomPoll = 100 * time.Millisecond

// guard stands between the disk and the journal and Pebble, which ends the
// process when a change fails. A write that finds the disk full waits until
// there is room, and a file that cannot be opened for want of descriptors until
// there are some: whoever can connect can take them all. Any other failure of a
// change is final: the goroutine waits until kill. A failed sync is never tried
// again, whatever the cause, since the kernel may have dropped the data. After
// kill every change pretends to succeed and does nothing: to the disk it is as if
// the process had ended. While the store is being opened any failure kills at
// once, because Pebble would not stop trying.
type guard struct {
	vfs.FS
	changed chan struct{} // has a token when trouble may have changed

	mu struct {
		sync.Mutex
		armed   bool  // the store is open
		waiting int   // goroutines that wait for room
		lacks   error // what they wait for
		failed  error
		dead    bool
	}
	dead   chan struct{} // closed by kill
	broken chan struct{} // closed by breakDown
}

func newGuard(fs vfs.FS) *guard {
	return &guard{FS: fs, changed: make(chan struct{}, 1), dead: make(chan struct{}), broken: make(chan struct{})}
}

// arm tells that the store is open.
func (g *guard) arm() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.armed = true
}

// kill lets all that wait go on, into the void.
func (g *guard) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.mu.dead {
		g.mu.dead = true
		close(g.dead)
	}
}

func (g *guard) isDead() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.dead
}

// breakDown records that the store itself cannot go on.
func (g *guard) breakDown(err error) {
	g.fail(err)
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.broken:
	default:
		close(g.broken)
	}
}

// fail records a failure that only a restart mends.
func (g *guard) fail(err error) {
	g.mu.Lock()
	if g.mu.failed == nil {
		g.mu.failed = err
	}
	g.mu.Unlock()
	g.notify()
}

// waits notes that a goroutine waits, and for want of what.
func (g *guard) waits(lacks error) {
	g.mu.Lock()
	g.mu.waiting++
	g.mu.lacks = lacks
	g.mu.Unlock()
	g.notify()
}

// goesOn notes that one that waited waits no more.
func (g *guard) goesOn() {
	g.mu.Lock()
	g.mu.waiting--
	g.mu.Unlock()
	g.notify()
}

func (g *guard) notify() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// trouble says why nothing can be written now, or nil.
func (g *guard) trouble() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.mu.failed != nil:
		return storageFailed(g.mu.failed)
	case g.mu.waiting > 0 && isShort(g.mu.lacks):
		return storageShort(g.mu.lacks)
	case g.mu.waiting > 0 || g.mu.dead:
		return storageFull()
	}
	return nil
}

func always() bool { return true }
func never() bool  { return false }

// try carries out a change of the disk under the guard's rules. again tells, after
// a failure, whether it may be tried again.
func (g *guard) try(change func() error, again func() bool) error {
	waits := false
	defer func() {
		if waits {
			g.goesOn()
		}
	}()
	for !g.isDead() {
		err := change()
		if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrExist) {
			return err
		}
		if !g.isArmed() {
			g.fail(err)
			g.kill()
			break
		}
		if !isFull(err) && !isShort(err) || !again() {
			g.fail(err)
			<-g.dead
			break
		}
		if !waits {
			waits = true
			g.waits(err)
		}
		timer := time.NewTimer(roomPoll)
		select {
		case <-timer.C:
		case <-g.dead:
			timer.Stop()
		}
	}
	return nil
}

func (g *guard) isArmed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.armed
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isShort reports whether the system had no descriptor to give.
func isShort(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// file carries out a change that yields a file.
func (g *guard) file(open func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := g.try(func() (err error) {
		f, err = open()
		return err
	}, always)
	if err != nil {
		return nil, err
	}
	if f == nil {
		f = void{}
	}
	return &guardedFile{f, g}, nil
}

func (g *guard) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.file(func() (vfs.File, error) { return g.FS.Create(name, category) })
}

func (g *guard) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.file(func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, opts...) })
}

func (g *guard) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	renamed := false
	return g.file(func() (vfs.File, error) {
		if renamed {
			return g.FS.OpenReadWrite(newname, category)
		}
		f, err := g.FS.ReuseForWrite(oldname, newname, category)
		if err != nil {
			_, missing := g.Stat(newname)
			renamed = missing == nil // only opening it failed
		}
		return f, err
	})
}

func (g *guard) OpenDir(name string) (vfs.File, error) {
	return g.file(func() (vfs.File, error) { return g.FS.OpenDir(name) })
}

func (g *guard) Link(oldname, newname string) error {
	return g.try(func() error { return g.FS.Link(oldname, newname) }, always)
}

func (g *guard) Rename(oldname, newname string) error {
	return g.try(func() error { return g.FS.Rename(oldname, newname) }, always)
}

func (g *guard) MkdirAll(dir string, perm os.FileMode) error {
	return g.try(func() error { return g.FS.MkdirAll(dir, perm) }, always)
}

func (g *guard) Remove(name string) error {
	if g.isDead() {
		return nil
	}
	return g.FS.Remove(name)
}

func (g *guard) RemoveAll(name string) error {
	if g.isDead() {
		return nil
	}
	return g.FS.RemoveAll(name)
}

func (g *guard) Unwrap() vfs.FS { return g.FS }

type guardedFile struct {
	vfs.File
	g *guard
}

func (f *guardedFile) Write(p []byte) (int, error) {
	n := 0
	err := f.g.try(func() error {
		k, err := f.File.Write(p[n:])
		n += k
		return err
	}, always)
	if err != nil {
		return n, err
	}
	return len(p), nil
}

func (f *guardedFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.g.try(func() error {
		_, err := f.File.WriteAt(p, off)
		return err
	}, always)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *guardedFile) Sync() error { return f.g.try(f.File.Sync, never) }

func (f *guardedFile) SyncData() error {
	again := never
	if direct, ok := f.File.(interface{ again() bool }); ok {
		again = direct.again
	}
	return f.g.try(f.File.SyncData, again)
}

func (f *guardedFile) SyncTo(length int64) (full bool, err error) {
	err = f.g.try(func() error {
		full, err = f.File.SyncTo(length)
		return err
	}, never)
	return full, err
}

// Preallocate is a hint: a full disk shows itself at the write.
func (f *guardedFile) Preallocate(off, n int64) error {
	if f.g.isDead() {
		return nil
	}
	return f.File.Preallocate(off, n)
}

// void is a file that was created after kill.
type void struct{}

func (void) Close() error                           { return nil }
func (void) Read([]byte) (int, error)               { return 0, io.EOF }
func (void) ReadAt([]byte, int64) (int, error)      { return 0, io.EOF }
func (void) Write(p []byte) (int, error)            { return len(p), nil }
func (void) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (void) Preallocate(int64, int64) error         { return nil }
func (void) Stat() (vfs.FileInfo, error)            { return nil, os.ErrNotExist }
func (void) Sync() error                            { return nil }
func (void) SyncTo(int64) (bool, error)             { return true, nil }
func (void) SyncData() error                        { return nil }
func (void) Prefetch(int64, int64) error            { return nil }
func (void) Fd() uintptr                            { return vfs.InvalidFd }

func storageFull() error {
	return &twohop.Error{Code: twohop.CodeStorageFull, Message: "the disk is full",
		Hint: "make room; the server takes appends again by itself"}
}

func storageShort(err error) error {
	return &twohop.Error{Code: twohop.CodeUnavailable, Message: "the store needs a file descriptor, and there is none",
		Hint: "raise the limit of open files, or lower limits.connections; the server takes appends again by itself", Err: err}
}

func storageFailed(err error) error {
	return &twohop.Error{Code: twohop.CodeStorageFailed, Message: "the storage failed; nothing can be written any more",
		Hint: "see the server's log, mend the disk, then restart the server", Err: err}
}
