package disklog

import (
	"encoding/binary"
)

// maxStored is the size from which an append is stored as several batches, so
// that a read from its middle does not load all of it.
const maxStored = 128 << 10

// stored is a run of records under one key: an append, or a part of a large one.
type stored struct {
	first uint64 // position of its first record
	count uint64
	part  bool   // not the first part of its append
	run   uint64 // the run of the engine that wrote it
	time  int64  // of the commit, Unix microseconds; never falls along a lineage
	bytes uint64 // of the lineage before it
	lens  []byte // lengths of all records but the last, as varints
	data  []byte
}

func (s *stored) end() uint64 { return s.first + s.count }

const partFlag = 1

// size is the length of the encoded form. ends are those of the records of s,
// in a buffer where data begins at base.
func (s *stored) size(ends []uint32, base uint32) int {
	n := uvarintLen(s.flags()) + uvarintLen(s.run) + uvarintLen(uint64(s.time)) + //nolint:gosec // not negative
		uvarintLen(s.bytes) + uvarintLen(s.count) + len(s.data)
	for _, end := range ends[:len(ends)-1] {
		n += uvarintLen(uint64(end - base))
		base = end
	}
	return n
}

// encode appends the stored form to b.
func (s *stored) encode(b []byte, ends []uint32, base uint32) []byte {
	b = binary.AppendUvarint(b, s.flags())
	b = binary.AppendUvarint(b, s.run)
	b = binary.AppendUvarint(b, uint64(s.time)) //nolint:gosec // not negative
	b = binary.AppendUvarint(b, s.bytes)
	b = binary.AppendUvarint(b, s.count)
	for _, end := range ends[:len(ends)-1] {
		b = binary.AppendUvarint(b, uint64(end-base))
		base = end
	}
	return append(b, s.data...)
}

func (s *stored) flags() uint64 {
	if s.part {
		return partFlag
	}
	return 0
}

// decodeStored reads a key and value; the slices in it are the value's.
func decodeStored(key, value []byte) (stored, error) {
	if len(key) != batchKeyLen {
		return stored{}, errCorrupt
	}
	d := decoder{b: value}
	s := stored{first: batchPos(key), part: d.uint()&partFlag != 0, run: d.uint(), time: int64(d.uint()), bytes: d.uint(), count: d.uint()} //nolint:gosec // was one
	if s.count == 0 || s.count > uint64(len(d.b))+1 {
		return s, errCorrupt
	}
	lens, total := d.b, uint64(0)
	for range s.count - 1 {
		n := d.uint()
		if n > uint64(len(value)) { // so the sum cannot wrap
			return s, errCorrupt
		}
		total += n
	}
	s.lens, s.data = lens[:len(lens)-len(d.b)], d.b
	if total > uint64(len(s.data)) {
		d.bad = true
	}
	return s, d.err()
}

// cut appends records from..to of s (counted within it) to data and ends, as
// long as data stays within maxBytes or is empty. It reports whether it took
// them all.
func (s *stored) cut(from, to uint64, data []byte, ends []uint32, maxBytes int) ([]byte, []uint32, bool) {
	lens, at, begin, had := s.lens, 0, 0, len(data)
	for i := range to {
		n := len(s.data) - at
		if i < s.count-1 {
			v, w := binary.Uvarint(lens)
			n, lens = int(v), lens[w:] //nolint:gosec // decodeStored checked the sum
		}
		if i == from {
			begin = at
		}
		if i >= from {
			size := had + at + n - begin
			if len(ends) > 0 && size > maxBytes {
				return append(data, s.data[begin:at]...), ends, false
			}
			ends = append(ends, uint32(size)) //nolint:gosec // a page is far below 4 GiB
		}
		at += n
	}
	return append(data, s.data[begin:at]...), ends, true
}

// bytesBefore is the number of bytes of the lineage before a position in s.
func (s *stored) bytesBefore(pos uint64) uint64 {
	if pos >= s.end() {
		return s.bytes + uint64(len(s.data))
	}
	n, lens := s.bytes, s.lens
	for range pos - s.first {
		v, w := binary.Uvarint(lens)
		n, lens = n+v, lens[w:]
	}
	return n
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}
