package memlog

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"twohop"
)

func BenchmarkAppend(b *testing.B) {
	e := open(b, Options{MaxBytes: 1 << 40})
	create(b, e, "a", &twohop.Spec{Retention: twohop.Retention{Records: 100_000}})
	data, ends := make([]byte, 200), []uint32{200}
	done := func(_ twohop.Ack, err error) {
		if err != nil {
			b.Error(err)
		}
	}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		e.Append(ctx, &twohop.Append{Channel: "a", Data: data, Ends: ends}, done)
	}
}

func BenchmarkAppendParallel(b *testing.B) {
	e := open(b, Options{MaxBytes: 1 << 40})
	for i := range 64 {
		create(b, e, strconv.Itoa(i), &twohop.Spec{Retention: twohop.Retention{Records: 1000}})
	}
	data, ends := make([]byte, 200), []uint32{200}
	ctx := b.Context()
	var next atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		name := strconv.FormatInt(next.Add(1)%64, 10)
		done := make(chan error, 1)
		for pb.Next() {
			e.Append(ctx, &twohop.Append{Channel: name, Data: data, Ends: ends}, func(_ twohop.Ack, err error) { done <- err })
			if err := <-done; err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkAppendProducer(b *testing.B) {
	e := open(b, Options{MaxBytes: 1 << 40})
	create(b, e, "a", &twohop.Spec{Retention: twohop.Retention{Records: 1000, Age: time.Hour}})
	data, ends := make([]byte, 200), []uint32{200}
	done := func(_ twohop.Ack, err error) {
		if err != nil {
			b.Error(err)
		}
	}
	ctx := b.Context()
	seq := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		e.Append(ctx, &twohop.Append{Channel: "a", Data: data, Ends: ends, Producer: &twohop.Producer{ID: "p", Seq: seq}}, done)
		seq++
	}
}

func benchmarkRead(b *testing.B, back uint64, maxBytes int) {
	e := open(b, Options{})
	create(b, e, "a", &twohop.Spec{})
	for i := range 10_000 {
		if _, err := send(b, e, one("a", fmt.Sprintf("%0200d", i))); err != nil {
			b.Fatal(err)
		}
	}
	at, err := e.Last(b.Context(), "a", back)
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		got, err := e.Read(ctx, "a", at, maxBytes)
		if err != nil || got.Len() != int(back) {
			b.Fatalf("%d records, %v", got.Len(), err)
		}
	}
}

func BenchmarkReadNothing(b *testing.B)    { benchmarkRead(b, 0, 1<<18) }
func BenchmarkReadTail(b *testing.B)       { benchmarkRead(b, 1, 1<<18) }
func BenchmarkRead200Records(b *testing.B) { benchmarkRead(b, 200, 1<<18) }
