package memlog

import (
	"iter"
	"slices"
	"sort"
	"time"
)

// entry is one append as it was given. Entries never change.
type entry struct {
	first  uint64 // the position of its first record
	data   []byte // nil if it is in a block
	block  *block
	ends   []uint32
	at     int64  // Unix nanoseconds; never less than that of the entry before
	before uint64 // bytes of records in the log before it
}

const (
	entrySize = 88   // of an entry itself, in bytes
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

// after is the number of bytes of records in the log up to its end.
func (e *entry) after() uint64 { return e.before + uint64(e.upTo(uint64(len(e.ends)))) }

// size is the bytes that it takes: of a block its share.
func (e *entry) size() int64 {
	if e.block != nil {
		return int64(e.block.share(e.before, e.after())) + sizeOf(nil, e.ends) //nolint:gosec // less than the records
	}
	return sizeOf(e.data, e.ends)
}

func sizeOf(data []byte, ends []uint32) int64 {
	return int64(len(data) + 4*len(ends) + entrySize)
}

// chunk is entries that follow each other, and never changes.
type chunk struct {
	entries []entry
	size    int64 // bytes that all of them take
}

func (c *chunk) last() *entry { return &c.entries[len(c.entries)-1] }

// chunking says what goes into chunks, and which are packed.
type chunking struct {
	entries int           // in a chunk, at most
	bytes   int64         // that they take, unless it is one
	hot     int64         // bytes in the newest chunks that stay as they came: most is read there
	rest    time.Duration // before a chunk is packed, so that a burst is over first
	save    int           // percent that packing has to save
}

var defaultChunking = chunking{entries: 256, bytes: 64 << 10, hot: 256 << 10, rest: 2 * time.Second, save: 12}

// entries are those of one log epoch in order. A copy of the struct stays as it
// is, without a lock: chunks and entries are added behind, which it does not see,
// and all else is done to copies.
type entries struct {
	sealed []*chunk
	open   []entry
}

// find is the index of the entry that holds the record at pos, or their number.
func find(entries []entry, pos uint64) int {
	if n := len(entries); n > 0 && entries[n-1].first <= pos { // the tail is asked for most
		if entries[n-1].last() <= pos {
			return n
		}
		return n - 1
	}
	return sort.Search(len(entries), func(i int) bool { return entries[i].last() > pos })
}

// seek is the chunk that holds the record at pos, or comes next, by its number;
// the open entries follow the others.
func (s *entries) seek(pos uint64) int {
	if len(s.open) > 0 && s.open[0].first <= pos {
		return len(s.sealed)
	}
	return sort.Search(len(s.sealed), func(i int) bool { return s.sealed[i].last().last() > pos })
}

func (s *entries) chunk(i int) []entry {
	if i < len(s.sealed) {
		return s.sealed[i].entries
	}
	return s.open
}

// holding is the entry that holds the record at pos, or comes next; nil is none.
func (s *entries) holding(pos uint64) *entry {
	c := s.chunk(s.seek(pos))
	if i := find(c, pos); i < len(c) {
		return &c[i]
	}
	return nil
}

// from goes through the entries from the one that holds the record at pos on.
func (s *entries) from(pos uint64) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		n := s.seek(pos)
		for i := find(s.chunk(n), pos); n <= len(s.sealed); n, i = n+1, 0 {
			for c := s.chunk(n); i < len(c); i++ {
				if !yield(&c[i]) {
					return
				}
			}
		}
	}
}

// since is the first entry that was added at a time or later; nil is none.
func (s *entries) since(t time.Time) *entry {
	late := func(e *entry) bool { return !time.Unix(0, e.at).Before(t) }
	c := s.chunk(sort.Search(len(s.sealed), func(i int) bool { return late(s.sealed[i].last()) }))
	if i := sort.Search(len(c), func(i int) bool { return late(&c[i]) }); i < len(c) {
		return &c[i]
	}
	return nil
}

// newest is the last entry, or nil.
func (s *entries) newest() *entry {
	switch {
	case len(s.open) > 0:
		return &s.open[len(s.open)-1]
	case len(s.sealed) > 0:
		return s.sealed[len(s.sealed)-1].last()
	}
	return nil
}

// bytes is the number of bytes of the records from one position to another.
func (s *entries) bytes(from, to uint64) uint64 { return s.bytesBefore(to) - s.bytesBefore(from) }

func (s *entries) bytesBefore(pos uint64) uint64 {
	switch e := s.holding(pos); {
	case e != nil && pos > e.first:
		return e.before + uint64(e.upTo(pos-e.first))
	case e != nil:
		return e.before
	}
	if e := s.newest(); e != nil {
		return e.after()
	}
	return 0
}

// records are the entries of one log epoch, and what is done with them as they
// grow old: those that are full are sealed, older ones packed, dead ones cut off.
type records struct {
	entries
	openSize int64 // bytes that the open entries take
	raw      int   // sealed chunks, the newest ones, that are not packed yet
	rawSize  int64 // bytes that those take
	dead     int   // entries of the first chunk that nobody may read any more
	deadSize int64 // bytes that those take
}

// add puts records behind the others.
func (r *records) add(k *chunking, first uint64, data []byte, ends []uint32, at int64) {
	e := entry{first: first, data: data, ends: ends, at: at}
	if p := r.newest(); p != nil {
		e.at, e.before = max(at, p.at), p.after()
	}
	size := e.size()
	if n := len(r.open); n >= k.entries || n > 0 && r.openSize+size > k.bytes {
		r.sealed = append(r.sealed, &chunk{slices.Clip(r.open), r.openSize})
		r.raw++
		r.rawSize += r.openSize
		r.open, r.openSize = make([]entry, 0, (n+3)/4), 0 // what there is room for is not counted, so it is not much
	}
	r.open = append(r.open, e)
	r.openSize += size
}

// ripe is the oldest chunk that is to be packed, when its time has come; nil is
// none.
func (r *records) ripe(k *chunking) *chunk {
	if r.raw == 0 {
		return nil
	}
	if c := r.sealed[len(r.sealed)-r.raw]; r.rawSize-c.size >= k.hot {
		return c
	}
	return nil
}

// pack packs some of the chunks that are ripe and were sealed before a time. It
// returns the bytes set free, and whether others are left.
func (r *records) pack(k *chunking, before int64, some int) (freed int64, more bool) {
	for c, copied := r.ripe(k), false; c != nil && c.last().at < before; c, some = r.ripe(k), some-1 {
		if some == 0 {
			return freed, true
		}
		i := len(r.sealed) - r.raw
		r.raw--
		r.rawSize -= c.size
		p := c.packed(k.save)
		if p == nil {
			continue
		}
		if !copied {
			r.sealed, copied = slices.Clone(r.sealed), true
		}
		r.sealed[i] = p
		freed += c.size - p.size
		if i == 0 { // the dead ones among them take less now
			r.deadSize = 0
			for j := range r.dead {
				r.deadSize += p.entries[j].size()
			}
		}
	}
	return freed, false
}

// cut gives up the entries before pos and returns the bytes set free. Of the
// first chunk that may be later: it waits until half of its entries or bytes are
// dead. What they have in a block goes with the last of the block's entries.
func (r *records) cut(pos uint64, now bool) (freed int64) {
	n := 0
	for n < len(r.sealed) && r.sealed[n].last().last() <= pos {
		freed += r.sealed[n].size
		n++
	}
	if n > 0 {
		for _, c := range r.sealed[:n][min(n, len(r.sealed)-r.raw):] {
			r.rawSize -= c.size
		}
		r.sealed = slices.Clone(r.sealed[n:])
		r.raw = min(r.raw, len(r.sealed))
		r.dead, r.deadSize = 0, 0
	}
	first := r.chunk(0)
	for r.dead < len(first) && first[r.dead].last() <= pos {
		r.deadSize += first[r.dead].size()
		r.dead++
	}
	size := r.openSize
	if len(r.sealed) > 0 {
		size = r.sealed[0].size
	}
	few := r.deadSize < cutWorth || 2*r.dead < len(first) && 2*r.deadSize < size
	if r.dead == 0 || few && !now {
		return freed
	}
	freed += r.deadSize
	left := slices.Clone(first[r.dead:])
	if size -= r.deadSize; len(r.sealed) > 0 {
		r.sealed = slices.Clone(r.sealed)
		r.sealed[0] = &chunk{left, size}
		if r.raw == len(r.sealed) {
			r.rawSize -= r.deadSize
		}
	} else {
		r.open, r.openSize = left, size
	}
	r.dead, r.deadSize = 0, 0
	return freed
}

// live goes through the entries that may be read, and those that retention may
// still drop.
func (r *records) live() iter.Seq[*entry] {
	if first := r.chunk(0); r.dead < len(first) {
		return r.from(first[r.dead].first)
	}
	return func(func(*entry) bool) {}
}
