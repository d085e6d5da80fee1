package disklog

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// zeroed writes new files of the journal full of zeros before they are used. A
// sync of bytes that lie within a file costs about half of one that makes it
// longer, because the file system's own log is left alone. The journal takes
// zeros for its end, as it does what is left in files that it uses again.
type zeroed struct {
	vfs.FS
	bytes  int          // of a new file
	writer *asyncWriter // for all of them, one after the other; made for the first
}

func (z *zeroed) close() { z.writer.close() }

// zeroName is a file that becomes a log once it is filled.
const zeroName = "log.zeros"

// roomFactor is how many times its size the disk must have free for a log to be
// filled ahead.
const roomFactor = 32

func (z *zeroed) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if z.bytes > 0 && isJournal(z.PathBase(name)) {
		dir := z.PathDir(name)
		u, err := z.GetDiskUsage(dir)
		if errors.Is(err, vfs.ErrUnsupported) || err == nil && u.AvailBytes > roomFactor*uint64(z.bytes) { //nolint:gosec // not negative
			spare := z.PathJoin(dir, zeroName)
			if z.fill(spare, category) == nil {
				return z.ReuseForWrite(spare, name, category)
			}
			_ = z.Remove(spare) // a log without zeros ahead is only slower
		}
	}
	return z.FS.Create(name, category)
}

// ReuseForWrite makes a log of a file that is as long already.
func (z *zeroed) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := z.FS.ReuseForWrite(oldname, newname, category)
	if err != nil || z.bytes <= 0 || !isJournal(z.PathBase(newname)) {
		return f, err
	}
	info, err := f.Stat()
	if err != nil {
		return f, nil //nolint:nilerr // what its size is matters to direct writes only
	}
	if z.writer == nil {
		z.writer = newAsyncWriter()
	}
	return newDirectLog(f, z.writer, newname, info.Size()), nil
}

func (z *zeroed) fill(name string, category vfs.DiskWriteCategory) error {
	f, err := z.FS.Create(name, category)
	if err != nil {
		return err
	}
	zeros := make([]byte, min(z.bytes, 1<<20))
	for n := 0; n < z.bytes && err == nil; n += len(zeros) {
		_, err = f.Write(zeros)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Unwrap implements vfs.FS.
func (z *zeroed) Unwrap() vfs.FS { return z.FS }
