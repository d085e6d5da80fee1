package hub

import (
	"fmt"
	"sync"
	"testing"

	"twohop"
	"twohop/internal/engine/memlog"
)

func benchHub(b *testing.B) (h *tester, c *Channel, at twohop.Offset) {
	e := memlog.Open(memlog.Options{MaxBytes: 8 << 30})
	b.Cleanup(func() { _ = e.Close() })
	h = newTester(b, e, Options{})
	h.create("c")
	c = h.open("c")
	b.Cleanup(c.Close)
	return h, c, c.Info().Tail
}

// What a reader at the tail costs: the first after an append, and the others.
func BenchmarkReadAtTail(b *testing.B) {
	for _, readers := range []int{1, 1000} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			h, c, at := benchHub(b)
			c.AddReader(int32(readers))
			defer c.AddReader(int32(-readers))
			b.ReportAllocs()
			for b.Loop() {
				next := h.append("c", "a record of some size, as they are")
				for range readers {
					v, err := c.Read(b.Context(), at)
					if err != nil || v.Len() != 1 {
						b.Fatalf("%v, %v", v, err)
					}
				}
				at = next
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(readers), "ns/read")
		})
	}
}

// What an append costs that wakes ten thousand, until all are awake, and what
// the publisher waits for.
func BenchmarkWake(b *testing.B) {
	const readers = 10_000
	h, c, at := benchHub(b)
	var awake sync.WaitGroup
	waiters := make([]Waiter, readers)
	for i := range waiters {
		waiters[i].Wake = awake.Done
	}
	b.ReportAllocs()
	for b.Loop() {
		awake.Add(readers)
		for i := range waiters {
			if !c.Wait(&waiters[i], at) {
				b.Fatal("a waiter did not wait")
			}
		}
		at = h.append("c", "x")
		awake.Wait()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/readers, "ns/wake")
}

// What publishing to a live channel costs, without waiters.
func BenchmarkAppend(b *testing.B) {
	h, _, _ := benchHub(b)
	record := "a record of some size, as they are"
	b.ReportAllocs()
	for b.Loop() {
		h.append("c", record)
	}
}

// What the frame of a view costs those that share it.
func BenchmarkSharedFrame(b *testing.B) {
	h, c, at := benchHub(b)
	h.append("c", "a record of some size, as they are")
	v, err := c.Read(b.Context(), at)
	if err != nil {
		b.Fatal(err)
	}
	encode := func(dst []byte) []byte { return append(dst, v.Data...) }
	b.ReportAllocs()
	for b.Loop() {
		v.Frame(0, FrameKey{Token: 1}, 100, encode)
	}
}
