package memlog

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unsafe"

	"twohop"
)

func numbered(i, size int) []byte {
	b := bytes.Repeat([]byte{byte(i)}, size)
	binary.LittleEndian.PutUint64(b, uint64(i))
	return b
}

// What was read stays as it was, whatever is appended and dropped afterwards.
func TestChunksKeepEachRecord(t *testing.T) {
	e := open(t, Options{})
	create(t, e, "a", &twohop.Spec{Retention: twohop.Retention{Bytes: 3 << 20}})
	type seen struct {
		first int
		batch twohop.Batch
	}
	var reads []seen
	sizeOf := func(i int) int { return 8 + i*i%9001 }
	const n = 3000
	for i := range n {
		rec := string(numbered(i, sizeOf(i)))
		if _, err := send(t, e, one("a", rec)); err != nil {
			t.Fatal(err)
		}
		if i%100 == 99 {
			at, err := e.Last(t.Context(), "a", 20)
			if err != nil {
				t.Fatal(err)
			}
			b, err := e.Read(t.Context(), "a", at, 1)
			if err != nil {
				t.Fatal(err)
			}
			reads = append(reads, seen{i - 19, b})
		}
	}
	for _, r := range reads {
		for k := range r.batch.Len() {
			if i := r.first + k; !bytes.Equal(r.batch.Record(k), numbered(i, sizeOf(i))) {
				t.Fatalf("record %d changed after it was read", i)
			}
		}
	}
	got := readAll(t, e, "a")
	for k, rec := range got {
		if i := n - len(got) + k; rec != string(numbered(i, sizeOf(i))) {
			t.Fatalf("record %d is not what was appended", i)
		}
	}
	if ch := e.shardOf("a").lookup("a"); ch.records.chunk.size == 0 {
		t.Error("a channel of 3 MiB has no chunk")
	}
}

// A channel that was large and holds little does not hold on to large chunks.
func TestChunksShrink(t *testing.T) {
	var r records
	for i := range 1000 {
		r.add(uint64(i), numbered(i, 16<<10), []uint32{16 << 10}, 0)
	}
	if r.chunk.size < 1<<20 {
		t.Fatalf("16 MB are in chunks of %d bytes", r.chunk.size)
	}
	old := r.entries[999].data
	r.cut(999, true)
	if !r.chunk.fits(r.size) || unsafe.SliceData(r.entries[0].data) == unsafe.SliceData(old) {
		t.Errorf("one record is left, in a chunk of %d bytes", r.chunk.size)
	}
	if !bytes.Equal(r.entries[0].data, numbered(999, 16<<10)) {
		t.Error("the record that is left changed")
	}
	if small := numbered(1, 100); unsafe.SliceData(r.add(1000, small, []uint32{100}, 0)) != unsafe.SliceData(small) {
		t.Error("a channel that holds little copied a record")
	}
}
