package memlog

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
)

// The collector lets a heap grow by its own size before it runs again, because
// running costs as much as there is to look through. Chunks hold no pointers and
// cost it nothing, so they need not count: else each byte kept would take two.
// What GOGC says stays true of all the rest.
var pace struct {
	once   sync.Once
	chunks atomic.Int64 // bytes of them on the heap

	mu      sync.Mutex
	base    int // what GOGC is without chunks
	current int // what it was set to
}

const (
	paceFrom  = 1 << 20 // bytes of chunks below which nothing is changed
	leastRoom = 4 << 20 // the heap may grow by so much at least
	roomShare = 8       // and by this part of the chunks
)

// counted makes the bytes of a chunk count as such while it is on the heap.
func counted(b []byte) []byte {
	size := int64(cap(b))
	pace.chunks.Add(size)
	runtime.AddCleanup(&b[:1][0], func(n int64) { pace.chunks.Add(-n) }, size)
	pace.once.Do(func() {
		pace.base = gcPercent()
		pace.current = pace.base
		everyCycle()
	})
	return b
}

// everyCycle sets the pace after each cycle of the collector, beginning with the
// next.
func everyCycle() {
	type beacon [32]byte // large enough to be an object of its own
	var found func(*beacon)
	found = func(b *beacon) {
		setPace()
		runtime.SetFinalizer(b, found)
	}
	runtime.SetFinalizer(new(beacon), found)
}

func setPace() {
	pace.mu.Lock()
	defer pace.mu.Unlock()
	if now := gcPercent(); now != pace.current { // somebody else set it
		pace.base, pace.current = now, now
	}
	want := pacePercent(pace.base, gauge("/gc/heap/live:bytes"), pace.chunks.Load())
	if far := pace.current/16 + 1; want != pace.current && (want == pace.base || want <= pace.current-far || want >= pace.current+far) {
		debug.SetGCPercent(want)
		pace.current = want
	}
}

// pacePercent is the GOGC for a heap with so many live bytes, chunks among them,
// that is to be collected as if it had a GOGC of base and no chunks.
func pacePercent(base int, live, chunks int64) int {
	if base < 0 || chunks < paceFrom || live <= 0 {
		return base
	}
	rest := float64(max(live-chunks, 0))
	room := max(rest*float64(base)/100, leastRoom, float64(chunks)/roomShare)
	return min(base, int(math.Ceil(100*room/float64(live))))
}

// gcPercent is GOGC, or -1 if it is off.
func gcPercent() int {
	if v := gauge("/gc/gogc:percent"); v >= 0 && v < math.MaxInt32 {
		return int(v)
	}
	return -1
}

func gauge(name string) int64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return -1
	}
	return int64(min(s[0].Value.Uint64(), math.MaxInt64)) //nolint:gosec // clamped
}
