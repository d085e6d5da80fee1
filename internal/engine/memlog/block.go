package memlog

import (
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
)

// block is the records of a chunk, packed.
type block struct {
	packed []byte
	before uint64 // bytes of records in the log before it
	size   uint64 // bytes of its records
}

// keptScratch bounds the room that is kept for the next chunk.
const keptScratch = 128 << 10

// scratch is room for what is packed.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// packed is the chunk with its records packed, or nil if that does not save so
// many percent.
func (c *chunk) packed(save int) *chunk {
	first := &c.entries[0]
	b := &block{before: first.before, size: c.last().after() - first.before}
	data := first.data
	if len(c.entries) > 1 {
		room := scratch.Get().(*[]byte)
		defer scratch.Put(room)
		data = (*room)[:0]
		for i := range c.entries {
			data = append(data, c.entries[i].data...)
		}
		if cap(data) <= keptScratch {
			*room = data[:0]
		}
	}
	room := scratch.Get().(*[]byte)
	defer scratch.Put(room)
	out := s2.Encode((*room)[:cap(*room)], data)
	if cap(out) <= keptScratch {
		*room = out[:0]
	}
	if len(out) > len(data)*(100-save)/100 {
		return nil
	}
	b.packed = slices.Clone(out)
	n := 0
	for i := range c.entries {
		n += len(c.entries[i].ends)
	}
	ends := make([]uint32, 0, n) // of all, so that a small record has no memory of its own
	p := &chunk{entries: slices.Clone(c.entries)}
	for i := range p.entries {
		e := &p.entries[i]
		from := len(ends)
		ends = append(ends, e.ends...)
		e.data, e.block, e.ends = nil, b, ends[from:len(ends):len(ends)]
		p.size += e.size()
	}
	return p
}

// share is the bytes of the block that records take, which are some bytes into
// the log.
func (b *block) share(from, to uint64) uint64 {
	n := uint64(len(b.packed))
	return (to-b.before)*n/b.size - (from-b.before)*n/b.size
}

// unpacker keeps the block that was unpacked last: its entries are read one
// after the other.
type unpacker struct {
	b    *block
	data []byte
}

// bytes are those of an entry.
func (u *unpacker) bytes(e *entry) []byte {
	b := e.block
	if b == nil {
		return e.data
	}
	if u.b != b {
		data, err := s2.Decode(nil, b.packed)
		if err != nil || uint64(len(data)) != b.size {
			panic(fmt.Sprintf("memlog: a block of %d bytes became %d bytes: %v", b.size, len(data), err)) // memory is broken
		}
		u.b, u.data = b, data
	}
	return u.data[e.before-b.before : e.after()-b.before]
}
