package disklog

import (
	"errors"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

const (
	directBlock = 4 << 10   // what is written begins and ends at multiples of this
	directRoom  = 256 << 10 // bytes that wait for a sync at most
)

// directLog is a log file that was written before, with zeros or as an earlier
// log. What is written to it waits for the next sync and goes to the disk with
// that in one system call, past the kernel's cache, which would only copy it:
// nobody reads a log that is being written. The last block is written again with
// what comes behind it.
type directLog struct {
	vfs.File
	w     *asyncWriter
	fd    int    // the same file, opened for direct writes
	size  int64  // how far the file is written already
	at    int64  // where buf begins in the file, a multiple of directBlock
	buf   []byte // the last bytes of the log, with those of the last block
	fresh bool   // buf has bytes that were not written
	loose bool   // bytes before those of buf were written but not synced
	plain bool   // the file is written as any other from at on
}

// newDirectLog makes f a direct log if its file system lets it.
func newDirectLog(f vfs.File, w *asyncWriter, name string, size int64) vfs.File {
	if f.Fd() == vfs.InvalidFd {
		return f
	}
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return f
	}
	room := make([]byte, directRoom+2*directBlock)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(room))) % directBlock
	return &directLog{File: f, w: w, fd: fd, size: size &^ (directBlock - 1), buf: room[skip:][: 0 : directRoom+directBlock]}
}

// awaitDirect returns when no direct write to a file is under way any more. The
// end of a process that is killed does not wait for those that it gave to a ring.
func awaitDirect(f vfs.File) error {
	if f.Fd() == vfs.InvalidFd {
		return nil
	}
	// File systems wait for direct writes before they change which blocks a file
	// has. This changes nothing: the first block is there.
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, 1) //nolint:gosec // a descriptor is small
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOSPC) {
		return nil // what arrives late is recognized by its seq
	}
	return err
}

func (f *directLog) Write(p []byte) (int, error) {
	if !f.plain && f.at+int64(len(f.buf)+len(p)) > f.size {
		if err := f.leave(); err != nil {
			return 0, err
		}
	}
	if f.plain {
		n, err := f.WriteAt(p, f.at)
		f.at += int64(n)
		return n, err
	}
	done := 0
	for done < len(p) {
		if len(f.buf) >= directRoom {
			if err := f.pushOrLeave(); err != nil {
				return done, err
			}
			if f.plain {
				n, err := f.Write(p[done:])
				return done + n, err
			}
			f.loose = true
		}
		n := min(len(p)-done, directRoom-len(f.buf))
		f.buf = append(f.buf, p[done:done+n]...)
		f.fresh = true
		done += n
	}
	return done, nil
}

// push writes what waits, and keeps the last block if it is not full.
func (f *directLog) push(flags int) error {
	b := f.padded()
	for at := f.at; len(b) > 0; {
		k, err := f.w.pwrite(f.fd, b, at, flags)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil && k%directBlock != 0:
			err = unix.EIO // half a block was written, the rest of it cannot be
		}
		if err != nil {
			return err
		}
		b, at = b[k:], at+int64(k)
	}
	f.written()
	return nil
}

// pushOrLeave writes what waits, by the kernel's cache if the file system wants it
// so.
func (f *directLog) pushOrLeave() error {
	err := f.push(0)
	if ownRules(err) {
		err = f.leave()
	}
	return err
}

// padded is what waits, with zeros to the end of the last block.
func (f *directLog) padded() []byte {
	n := (len(f.buf) + directBlock - 1) &^ (directBlock - 1)
	b := f.buf[:n]
	clear(b[len(f.buf):])
	return b
}

// written forgets what waited, but for the last block.
func (f *directLog) written() {
	full := len(f.buf) &^ (directBlock - 1)
	f.at += int64(full)
	f.buf = f.buf[:copy(f.buf, f.buf[full:])]
	f.fresh = false
}

// leave goes on without direct writes.
func (f *directLog) leave() error {
	if _, err := f.WriteAt(f.buf, f.at); err != nil {
		return err
	}
	f.plain, f.at = true, f.at+int64(len(f.buf))
	return nil
}

// again reports whether a sync that fails may be tried again: if all that it is
// for is here still.
func (f *directLog) again() bool { return !f.plain && !f.loose }

// SyncData implements vfs.File.
func (f *directLog) SyncData() error {
	err := f.sync()
	if ownRules(err) {
		if err = f.leave(); err == nil {
			err = f.File.SyncData()
		}
	}
	return err
}

// ownRules reports whether the file system wants direct writes otherwise.
func ownRules(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
}

func (f *directLog) sync() error {
	switch {
	case f.plain:
		return f.File.SyncData()
	case f.loose:
		if err := f.push(0); err != nil {
			return err
		}
		if err := f.File.SyncData(); err != nil {
			return err
		}
		f.loose = false
	case f.fresh:
		return f.push(unix.RWF_DSYNC)
	}
	return nil
}

// Sync implements vfs.File.
func (f *directLog) Sync() error {
	if err := f.SyncData(); err != nil {
		return err
	}
	return f.File.Sync()
}

// SyncTo implements vfs.File.
func (f *directLog) SyncTo(int64) (full bool, err error) { return true, f.SyncData() }

// Close implements vfs.File.
func (f *directLog) Close() error {
	var err error
	if !f.plain && f.fresh {
		err = f.pushOrLeave()
	}
	return errors.Join(err, unix.Close(f.fd), f.File.Close())
}
