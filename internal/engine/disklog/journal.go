package disklog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// journal is the log ahead of the store: each batch is in it, and synced if the
// batch asks for that, before the store shows it. It takes the place of
// Pebble's own log, which has a goroutine between whoever commits and the disk,
// and two changes of goroutines in every sync.
//
// It is a row of files, and an entry in them is
//
//	checksum  4 bytes, CRC-32C of all that follows, begun with the store's secret: a record
//	          that looks like an entry is none
//	length    4 bytes, of the batch
//	file      8 bytes, the number of the file: what a file holds of an earlier life is no entry
//	seq       8 bytes, one more than that of the entry before, over all files
//	synced    8 bytes, how far the file was synced when the entry was written
//	batch     as Pebble represents it
//
// with numbers in little-endian order.
//
// After a crash the entries are carried out again, all that there are: what the
// store has of them already it has again in the end. But it may have flushed a
// batch that was never synced here, and then what came before that may not be
// carried out any more. So a batch that asks for no sync holds its own seq,
// under seqKey. The others don't: a key that is in all tables makes Pebble merge
// tables that it would only have moved.
//
// A file that is full is followed by the next one, and whenever that happens
// the store is told to flush what it has in memory. When it has, the file's name
// is given to a later one.
type journal struct {
	fs  vfs.FS
	dir string
	max int64 // bytes after which the next file begins

	file   vfs.File // nil if the next one could not begin
	number uint64
	at     int64  // where the next entry begins
	synced int64  // up to here the file is on the disk
	seq    uint64 // of the last entry
	secret uint32 // that checksums begin with; 0 is none
	skip   uint64 // up to here entries are not carried out when the store is opened
	entry  []byte // room for one

	before []olderFile  // the oldest first
	bytes  atomic.Int64 // of all entries that the store may need
}

// olderFile is one that is full, or of an earlier run.
type olderFile struct {
	number  uint64
	bytes   int64
	flushed <-chan struct{} // closed when the store needs it no more
}

func (f *olderFile) needed() bool {
	select {
	case <-f.flushed:
		return false
	default:
		return true
	}
}

const (
	entryHead    = 32
	maxEntryRoom = 1 << 20 // kept for the next entry
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// journalName sorts by number as Pebble's files do, and is none of theirs.
func journalName(number uint64) string { return fmt.Sprintf("%s%06d.log", journalPrefix, number) }

const journalPrefix = "journal-"

func isJournal(name string) bool { return strings.HasPrefix(name, journalPrefix) }

func (j *journal) path(number uint64) string { return j.fs.PathJoin(j.dir, journalName(number)) }

// open begins a new file behind those that there are. It takes the place of one
// that is needed no more; others go.
func (j *journal) open() (err error) {
	next := j.path(j.number + 1)
	var file vfs.File
	for err == nil && len(j.before) > 0 && !j.before[0].needed() {
		f := j.before[0]
		j.before = j.before[1:]
		j.bytes.Add(-f.bytes)
		if file == nil {
			file, err = j.fs.ReuseForWrite(j.path(f.number), next, "journal")
		} else {
			err = j.fs.Remove(j.path(f.number))
		}
	}
	if file == nil && err == nil {
		file, err = j.fs.Create(next, "journal")
	}
	if err == nil {
		err = syncDir(j.fs, j.dir)
	}
	if err != nil {
		return err
	}
	j.file, j.at, j.synced = file, 0, 0
	j.number++
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		_ = d.Close() // the first error tells more
		return err
	}
	return d.Close()
}

// add writes a batch whose seq is the next one.
func (j *journal) add(batch []byte) error {
	b := binary.LittleEndian.AppendUint32(j.entry[:0], 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(batch))) //nolint:gosec // Pebble's batches are smaller
	b = binary.LittleEndian.AppendUint64(b, j.number)
	b = binary.LittleEndian.AppendUint64(b, j.seq+1)
	b = binary.LittleEndian.AppendUint64(b, uint64(j.synced)) //nolint:gosec // not negative
	b = append(b, batch...)
	binary.LittleEndian.PutUint32(b, crc32.Update(j.secret, castagnoli, b[4:]))
	n := int64(len(b))
	if _, err := j.file.Write(b); err != nil {
		return err
	}
	if j.entry = b[:0]; cap(b) > maxEntryRoom {
		j.entry = nil
	}
	j.seq++
	j.at += n
	j.bytes.Add(n)
	return nil
}

// mark has a batch hold its seq unless it is synced at once.
func (j *journal) mark(b *pebble.Batch, sync bool) error {
	if sync {
		return nil
	}
	return b.Set(seqKey, j.seqValue(j.seq+1), nil)
}

// seqValue is a seq as the store has it. A program that knows no secret refuses
// the longer one before it touches the journal, which it could not read.
func (j *journal) seqValue(seq uint64) []byte {
	var v []byte
	if j.secret != 0 {
		v = append(v, storeFormat)
	}
	return binary.BigEndian.AppendUint64(v, seq)
}

// sync returns when all that was added is on the disk.
func (j *journal) sync() error {
	if j.synced == j.at {
		return nil
	}
	if err := j.file.SyncData(); err != nil {
		return err
	}
	j.synced = j.at
	return nil
}

// full reports whether an entry for a batch belongs into the next file.
func (j *journal) full(batch int) bool {
	return j.at > 0 && j.at+int64(entryHead+batch) > j.max
}

// turn begins the next file. All that was added must be in the store, which
// flush tells to write it to files of its own.
func (j *journal) turn(flush func() (<-chan struct{}, error)) error {
	if err := j.sync(); err != nil { // what the next file holds makes sense only with this
		return err
	}
	file := j.file
	j.file = nil // whatever comes, nothing goes there any more: its descriptor may be another file's
	if err := file.Close(); err != nil {
		return err
	}
	flushed, err := flush()
	if err != nil {
		return err
	}
	j.before = append(j.before, olderFile{j.number, j.at, flushed})
	return j.open()
}

func (e *Engine) closeJournal() error {
	defer e.ahead.close()
	if e.journal.file == nil {
		return nil
	}
	return e.journal.file.Close()
}

// write puts a batch into the journal and then into the store. With sync it is
// on the disk in between, and all before it. After an error nobody knows what the
// journal holds, or the store lacks what it holds, so nothing is written any more.
func (e *Engine) write(b *pebble.Batch, sync bool) error {
	return e.keep(b, e.writeAhead(b, sync))
}

// keep puts a batch into the store, unless there was an error on the way into the
// journal.
func (e *Engine) keep(b *pebble.Batch, err error) error {
	if err == nil && !b.Empty() && !e.guard.isDead() {
		err = e.db.Apply(b, pebble.NoSync)
	}
	if err != nil {
		e.guard.fail(err)
	}
	return err
}

var errNoJournal = errors.New("disklog: the journal has no file")

func (e *Engine) writeAhead(b *pebble.Batch, sync bool) error {
	j := &e.journal
	if j.file == nil {
		return errNoJournal
	}
	if !b.Empty() {
		if err := j.mark(b, sync); err != nil {
			return err
		}
		batch := b.Repr()
		if j.full(len(batch)) {
			if err := j.turn(e.db.AsyncFlush); err != nil {
				return err
			}
		}
		if err := j.add(batch); err != nil {
			return err
		}
	}
	if !sync {
		return nil
	}
	return j.sync()
}
