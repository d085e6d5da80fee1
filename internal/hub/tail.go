package hub

import (
	"slices"
	"sort"

	"twohop"
)

// tail is the tail buffer of a live channel: the newest batches as the engine
// gave them, each beginning where the one before it ends. It is cut and read at
// the batches' borders only, so that nothing here depends on how an engine
// numbers positions.
type tail struct {
	batches []twohop.Batch
	next    twohop.Offset // after the last one
	bytes   int
}

// sizeOf is what a batch takes in memory: many small ones are not free.
func sizeOf(b *twohop.Batch) int {
	const batch = 80
	return batch + len(b.Data) + 4*len(b.Ends)
}

func (t *tail) reset(at twohop.Offset) { *t = tail{next: at} }

// add appends a batch and drops old ones beyond limit bytes. Batches that were
// known already are passed over; after a gap the buffer begins anew.
func (t *tail) add(b twohop.Batch, limit int) {
	if b.Len() == 0 || b.Next.Compare(t.next) <= 0 {
		return
	}
	if b.From != t.next {
		t.reset(b.From)
	}
	t.batches = append(t.batches, b)
	t.next = b.Next
	t.bytes += sizeOf(&b)
	drop := 0
	for t.bytes > limit && drop < len(t.batches)-1 {
		t.bytes -= sizeOf(&t.batches[drop])
		drop++
	}
	t.drop(drop)
}

// trim drops what lies below the start.
func (t *tail) trim(start twohop.Offset) {
	drop := 0
	for drop < len(t.batches) && t.batches[drop].From.Compare(start) < 0 {
		t.bytes -= sizeOf(&t.batches[drop])
		drop++
	}
	t.drop(drop)
}

func (t *tail) drop(n int) {
	if n == 0 {
		return
	}
	clear(t.batches[:n]) // let go of the data
	t.batches = t.batches[n:]
	if cap(t.batches) > 64 && len(t.batches) < cap(t.batches)/4 {
		t.batches = slices.Clone(t.batches)
	}
}

// run returns the batches from an offset on, as many as fit into a page, or nil
// if the engine has to be read. They are the buffer's own.
func (t *tail) run(from twohop.Offset, page int) []twohop.Batch {
	i := sort.Search(len(t.batches), func(i int) bool { return t.batches[i].From.Compare(from) >= 0 })
	if i == len(t.batches) || t.batches[i].From != from || len(t.batches[i].Data) > page {
		return nil
	}
	n, size := i, 0
	for n < len(t.batches) && size+len(t.batches[n].Data) <= page {
		size += len(t.batches[n].Data)
		n++
	}
	return t.batches[i:n]
}

// join makes one batch of a run.
func join(run []twohop.Batch) twohop.Batch {
	if len(run) == 1 {
		return run[0]
	}
	size, records := 0, 0
	for i := range run {
		size += len(run[i].Data)
		records += run[i].Len()
	}
	b := twohop.Batch{From: run[0].From, Next: run[len(run)-1].Next,
		Data: make([]byte, 0, size), Ends: make([]uint32, 0, records)}
	for i := range run {
		base := uint32(len(b.Data)) //nolint:gosec // a page is far smaller than 4 GiB
		b.Data = append(b.Data, run[i].Data...)
		for _, e := range run[i].Ends {
			b.Ends = append(b.Ends, base+e)
		}
	}
	return b
}
