package disklog

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"twohop"
)

func openDisk(b *testing.B) *Engine {
	b.Helper()
	e, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close() })
	return e
}

// BenchmarkAppend has publishers that each wait for the acknowledgement.
func BenchmarkAppend(b *testing.B) {
	for _, sync := range []twohop.Sync{twohop.SyncAlways, twohop.SyncInterval} {
		for _, publishers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/publishers=%d", sync, publishers), func(b *testing.B) {
				benchAppend(b, sync, publishers)
			})
		}
	}
}

func benchAppend(b *testing.B, level twohop.Sync, publishers int) {
	e := openDisk(b)
	for i := range publishers {
		mustCreate(b, e, fmt.Sprint(i), twohop.Spec{Sync: level})
	}
	data := make([]byte, 100)
	work := make(chan struct{})
	var all sync.WaitGroup
	for i := range publishers {
		all.Go(func() {
			name, done := fmt.Sprint(i), make(chan error, 1)
			for range work {
				e.Append(context.Background(), &twohop.Append{Channel: name, Data: data, Ends: []uint32{100}},
					func(_ twohop.Ack, err error) { done <- err })
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	all.Wait()
	s := e.Stats()
	b.ReportMetric(float64(s.Items)/float64(max(s.Groups, 1)), "items/commit")
}

// BenchmarkRead reads a page from the middle of one of many channels.
func BenchmarkRead(b *testing.B) {
	for _, channels := range []int{1, 10_000} {
		for _, cached := range []bool{true, false} {
			b.Run(fmt.Sprintf("channels=%d/cached=%v", channels, cached), func(b *testing.B) {
				e := openDisk(b)
				for i := range channels {
					mustCreate(b, e, fmt.Sprint(i), twohop.Spec{Sync: twohop.SyncNever})
					for range 10 {
						mustAppend(b, e, fmt.Sprint(i), "0123456789")
					}
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if !cached {
						e.cache.age()
						e.cache.age()
					}
					i = (i + 7919) % channels
					p, err := e.Read(context.Background(), fmt.Sprint(i), twohop.Offset{}, 1000)
					if err != nil || p.Len() != 10 {
						b.Fatal(p.Len(), err)
					}
				}
			})
		}
	}
}

// BenchmarkCreate makes channels from many callers.
func BenchmarkCreate(b *testing.B) {
	e := openDisk(b)
	b.ReportAllocs()
	b.SetParallelism(64)
	var next sync.Mutex
	n := 0
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			next.Lock()
			n++
			name := fmt.Sprint("channel/", n)
			next.Unlock()
			if _, _, err := e.Create(context.Background(), name, &twohop.Spec{}); err != nil {
				b.Error(err)
			}
		}
	})
}
