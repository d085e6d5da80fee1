package memlog

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPacePercent(t *testing.T) {
	const mb = 1 << 20
	f := func(base int, live, chunks int64, want int) {
		t.Helper()
		if got := pacePercent(base, live, chunks); got != want {
			t.Errorf("GOGC %d, %d bytes of which %d in chunks: got %d, want %d", base, live, chunks, got, want)
		}
	}
	f(100, 50*mb, 0, 100)          // no chunks, nothing changes
	f(100, 100*mb, 50*mb, 50)      // 50 MB more, as for the 50 MB that are not chunks
	f(200, 100*mb, 50*mb, 100)     // 100 MB more
	f(100, 1000*mb, 990*mb, 13)    // an eighth of the chunks
	f(100, 8*mb, 7*mb, 50)         // 4 MB more
	f(100, 2*mb, 3*mb/2, 100)      // never more than GOGC
	f(-1, 100*mb, 50*mb, -1)       // off stays off
	f(100, 100*mb, 200*mb, 25)     // chunks that came since the last cycle
	f(100, math.MaxInt64, mb, 100) // no overflow
}

// Chunks make the collector run sooner, until they are gone.
func TestPaceFollowsChunks(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("%s: GOGC is %d with %d bytes of chunks", what, gcPercent(), pace.chunks.Load())
			}
			runtime.GC()
		}
	}
	r := &records{}
	for i := range 2000 {
		r.add(uint64(i), make([]byte, 16<<10), []uint32{16 << 10}, 0)
	}
	until("with chunks", func() bool { return gcPercent() < 60 })
	runtime.KeepAlive(r)
	r = nil
	until("without", func() bool { return gcPercent() == 100 && pace.chunks.Load() < paceFrom })
}
