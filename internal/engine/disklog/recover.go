package disklog

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// recoverJournal carries out what is in the journal, and begins a new file.
func (e *Engine) recoverJournal() error {
	j := &e.journal
	had, err := e.storedSeq()
	if err != nil {
		return err
	}
	j.seq, j.skip = had, had
	files, err := j.list()
	if err != nil {
		return err
	}
	ends, err := j.ends(files)
	if err != nil {
		return err
	}
	for i, number := range files {
		n, err := e.replay(number, ends[i])
		if err != nil {
			return err
		}
		j.before = append(j.before, olderFile{number: number, bytes: n})
		j.bytes.Add(n)
		j.number = number
	}
	if len(files) > 0 {
		flushed := make(chan struct{})
		var done <-chan struct{} = flushed
		if j.seq > had {
			e.opts.Logger.Info("the journal was carried out", slog.Uint64("last", j.seq))
			if done, err = e.db.AsyncFlush(); err != nil {
				return err
			}
		} else {
			close(flushed)
		}
		for i := range j.before {
			j.before[i].flushed = done
		}
	}
	return j.open()
}

// learnSecret reads the secret of the journal's checksums, or makes it for a store
// without runs, where it is on the disk before the journal begins. A store that was
// made without one has none.
func (e *Engine) learnSecret(runs bool) error {
	value, closer, err := e.db.Get(secretKey)
	if err == nil {
		if len(value) != 4 {
			return errors.Join(errors.New("disklog: the journal's secret is none"), closer.Close())
		}
		e.journal.secret = binary.BigEndian.Uint32(value)
		return closer.Close()
	}
	if !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	if runs {
		return nil
	}
	files, err := e.journal.list()
	if err != nil || len(files) > 0 {
		return err
	}
	var b [4]byte
	_, _ = rand.Read(b[:])                                   // never fails
	e.journal.secret = max(1, binary.BigEndian.Uint32(b[:])) // 0 is none
	binary.BigEndian.PutUint32(b[:], e.journal.secret)
	// A program that knows no secret would find an empty journal: what keeps it
	// from opening the store has to be outside of that.
	return errors.Join(e.db.Set(secretKey, b[:], pebble.NoSync), e.db.Set(runKey, e.run(true), pebble.NoSync),
		e.db.Set(seqKey, e.journal.seqValue(0), pebble.NoSync), e.db.Flush())
}

// storedSeq is that of the last batch without a sync which the store has.
func (e *Engine) storedSeq() (uint64, error) {
	value, closer, err := e.db.Get(seqKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(value) != len(e.journal.seqValue(0)) {
		return 0, errors.Join(errors.New("disklog: the number of the last batch is not one"), closer.Close())
	}
	return binary.BigEndian.Uint64(value[len(value)-8:]), closer.Close()
}

// list finds the journal's files, in order.
func (j *journal) list() ([]uint64, error) {
	names, err := j.fs.List(j.dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, name := range names {
		var n uint64
		if _, err := fmt.Sscanf(name, journalPrefix+"%d.log", &n); err == nil && name == journalName(n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// ends is for each file the seq that begins the next one. What else has that seq,
// or a later one, came to the disk when the process that wrote it was gone and
// its successor had read the file: nobody was told of it.
func (j *journal) ends(files []uint64) ([]uint64, error) {
	ends := make([]uint64, len(files))
	end := uint64(math.MaxUint64)
	for i := len(files) - 1; i >= 0; i-- {
		ends[i] = end
		first, err := j.firstSeq(files[i])
		if err != nil {
			return nil, err
		}
		if first > 0 {
			end = first
		}
	}
	return ends, nil
}

// firstSeq is that of a file's first entry, or 0 if there is none.
func (j *journal) firstSeq(number uint64) (seq uint64, err error) {
	f, err := j.fs.Open(j.path(number))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	b, err := readFirst(f, min(info.Size(), entryHead))
	if err == nil && len(b) == entryHead {
		b, err = readFirst(f, min(info.Size(), entryHead+int64(binary.LittleEndian.Uint32(b[4:]))))
	}
	entry, _ := j.parseEntry(b, number)
	return entry.seq, err
}

// replay carries out the entries of a file, up to a seq, and returns how long they
// are.
func (e *Engine) replay(number, end uint64) (int64, error) {
	b, err := readSynced(e.journal.fs, e.journal.path(number))
	if err != nil {
		return 0, err
	}
	at := 0
	for {
		entry, ok := e.journal.parseEntry(b[at:], number)
		if !ok || entry.seq >= end {
			break
		}
		if j := &e.journal; entry.seq > j.skip {
			if j.seq > j.skip && entry.seq != j.seq+1 {
				return 0, damaged(number, at, fmt.Errorf("batch %d follows batch %d", entry.seq, j.seq))
			}
			if err := e.apply(entry.batch); err != nil {
				return 0, damaged(number, at, err)
			}
			j.seq = entry.seq
		}
		at += entryHead + len(entry.batch)
	}
	return int64(at), e.journal.lostSynced(b, at, number)
}

func (e *Engine) apply(repr []byte) error {
	batch := e.db.NewBatch()
	if err := batch.SetRepr(slices.Clone(repr)); err != nil { // Pebble writes into it, and may keep it
		return errors.Join(err, batch.Close())
	}
	return errors.Join(e.db.Apply(batch, pebble.NoSync), batch.Close())
}

type journalEntry struct {
	seq    uint64
	synced uint64
	batch  []byte
}

// parseEntry takes the entry at the beginning of b apart, if there is a whole
// one of that file.
func (j *journal) parseEntry(b []byte, number uint64) (e journalEntry, ok bool) {
	if len(b) < entryHead {
		return e, false
	}
	size := uint64(binary.LittleEndian.Uint32(b[4:]))
	if size > uint64(len(b)-entryHead) || binary.LittleEndian.Uint64(b[8:]) != number {
		return e, false
	}
	if crc32.Update(j.secret, castagnoli, b[4:entryHead+size]) != binary.LittleEndian.Uint32(b) {
		return e, false
	}
	return journalEntry{binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:]), b[entryHead:][:size]}, true
}

// lostSynced looks behind the last whole entry, which ends at end. There may be
// pieces of what the power failed under, in any order; but if one says that more
// was synced, then that is lost.
func (j *journal) lostSynced(b []byte, end int, number uint64) error {
	mark := binary.LittleEndian.AppendUint64(nil, number)
	for at := end; ; at++ {
		i := bytes.Index(b[min(len(b), at+8):], mark)
		if i < 0 {
			return nil
		}
		at += i
		if e, ok := j.parseEntry(b[at:], number); ok && e.synced > uint64(end) { //nolint:gosec // not negative
			return damaged(number, end, fmt.Errorf("batch %d is whole, and was written when all before it had been synced", e.seq))
		}
	}
}

func damaged(number uint64, at int, err error) error {
	return fmt.Errorf("disklog: %s is damaged at byte %d: %w", journalName(number), at, err)
}

// readSynced reads a file when all of it is on the disk: the process may have
// died with a sync still to come, and what is carried out now must not be lost
// when the power fails later.
func readSynced(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.OpenReadWrite(name, "journal")
	if err != nil {
		return nil, err
	}
	b, err := readSyncedFile(f)
	return b, errors.Join(err, f.Close())
}

func readSyncedFile(f vfs.File) ([]byte, error) {
	if err := awaitDirect(f); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return readFirst(f, info.Size())
}

// readFirst reads so many bytes, which the file has.
func readFirst(f vfs.File, n int64) ([]byte, error) {
	b := make([]byte, n)
	if n, err := f.ReadAt(b, 0); n < len(b) { // else it may tell the end of the file
		return nil, err
	}
	return b, nil
}
