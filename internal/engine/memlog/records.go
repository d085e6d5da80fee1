package memlog

import (
	"slices"
	"sort"
)

// entry is one append as it was given. Entries never change.
type entry struct {
	first  uint64 // the position of its first record
	data   []byte
	ends   []uint32
	at     int64  // Unix nanoseconds; never less than that of the entry before
	before uint64 // bytes of records in the log before it
}

const (
	entrySize = 80   // of an entry itself, in bytes
	cutWorth  = 4096 // bytes for which the entries are cut
)

func (e *entry) last() uint64 { return e.first + uint64(len(e.ends)) } // the position after it

// upTo is the number of bytes of its first n records.
func (e *entry) upTo(n uint64) uint32 {
	if n == 0 {
		return 0
	}
	return e.ends[n-1]
}

func sizeOf(data []byte, ends []uint32) int64 {
	return int64(len(data) + 4*len(ends) + entrySize)
}

// records are the entries of one log epoch in order. Slices of them may be kept
// by readers: entries are added behind and cut off in front, never moved.
type records struct {
	entries  []entry
	dead     int   // entries in front that nobody may read any more
	deadSize int64 // bytes that those take
	size     int64 // bytes that all of them take
}

func (r *records) live() []entry { return r.entries[r.dead:] }

// find is the index in entries of the one that holds the record at pos, or
// their number.
func find(entries []entry, pos uint64) int {
	if n := len(entries); n > 0 && entries[n-1].first <= pos { // the tail is asked for most
		if entries[n-1].last() <= pos {
			return n
		}
		return n - 1
	}
	return sort.Search(len(entries), func(i int) bool { return entries[i].last() > pos })
}

// add puts records behind the others and returns the bytes that they take.
func (r *records) add(first uint64, data []byte, ends []uint32, at int64) int64 {
	e := entry{first: first, data: data, ends: ends, at: at}
	if n := len(r.entries); n > 0 {
		p := &r.entries[n-1]
		e.at = max(at, p.at)
		e.before = p.before + uint64(p.upTo(uint64(len(p.ends))))
	}
	size := sizeOf(data, ends)
	r.entries = append(r.entries, e)
	r.size += size
	return size
}

// bytes is the number of bytes of the records from one position to another.
func (r *records) bytes(from, to uint64) uint64 { return r.bytesBefore(to) - r.bytesBefore(from) }

func (r *records) bytesBefore(pos uint64) uint64 {
	live := r.live()
	if len(live) == 0 {
		return 0
	}
	i := find(live, pos)
	if i == len(live) {
		last := &live[i-1]
		return last.before + uint64(last.upTo(uint64(len(last.ends))))
	}
	e := &live[i]
	if pos < e.first {
		return e.before
	}
	return e.before + uint64(e.upTo(pos-e.first))
}

// cut gives up the entries before pos and returns the bytes set free. That may
// be later: cutting costs as much as what is left, so it waits until half of
// the entries or of the bytes are dead.
func (r *records) cut(pos uint64, now bool) int64 {
	for r.dead < len(r.entries) && r.entries[r.dead].last() <= pos {
		e := &r.entries[r.dead]
		r.deadSize += sizeOf(e.data, e.ends)
		r.dead++
	}
	few := r.deadSize < cutWorth || 2*r.dead < len(r.entries) && 2*r.deadSize < r.size
	if r.dead == 0 || few && !now {
		return 0
	}
	freed := r.deadSize
	r.entries = slices.Clone(r.live())
	r.size -= freed
	r.dead, r.deadSize = 0, 0
	return freed
}
