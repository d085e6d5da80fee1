package memlog

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/engine/enginetest"
)

// tiny packs nearly all, a few records together.
var tiny = chunking{entries: 3, bytes: 400, hot: 200, rest: time.Hour, save: -1000}

// packing is an engine that packs all that it can before anything is read.
type packing struct{ *Engine }

func (p packing) pack() {
	for i := range p.shards {
		for _, ch := range p.shards[i].all() {
			packNow(ch, -1)
		}
	}
}

func packNow(ch *channel, some int) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if !ch.gone {
		freed, _ := ch.records.pack(&ch.engine.chunking, math.MaxInt64, some)
		ch.releaseLocked(freed)
	}
}

func (p packing) Create(ctx context.Context, name string, spec *twohop.Spec) (twohop.Info, bool, error) {
	p.pack()
	return p.Engine.Create(ctx, name, spec)
}

func (p packing) Read(ctx context.Context, name string, from twohop.Offset, maxBytes int) (twohop.Batch, error) {
	p.pack()
	return p.Engine.Read(ctx, name, from, maxBytes)
}

func (p packing) Last(ctx context.Context, name string, n uint64) (twohop.Offset, error) {
	p.pack()
	return p.Engine.Last(ctx, name, n)
}

func (p packing) Since(ctx context.Context, name string, t time.Time) (twohop.Offset, error) {
	p.pack()
	return p.Engine.Since(ctx, name, t)
}

func TestEnginePacksAll(t *testing.T) {
	enginetest.Run(t, func(*testing.T) engine.Engine {
		e := Open(Options{})
		e.chunking = tiny
		return packing{e}
	})
}

// kept is what the entries of a channel take, added up.
func kept(ch *channel) (size int64, packed int) {
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	for i := range len(ch.records.sealed) + 1 {
		c := ch.records.chunk(i)
		for j := range c {
			size += c[j].size()
			if c[j].block != nil {
				packed++
			}
		}
	}
	return size, packed
}

// agrees checks what records count of themselves.
func agrees(t *testing.T, r *records) {
	t.Helper()
	sum := func(entries []entry) (n int64) {
		for i := range entries {
			n += entries[i].size()
		}
		return n
	}
	raw := int64(0)
	for i, c := range r.sealed {
		if c.size != sum(c.entries) {
			t.Fatalf("chunk %d takes %d bytes, its entries %d", i, c.size, sum(c.entries))
		}
		if i >= len(r.sealed)-r.raw {
			raw += c.size
		}
	}
	if dead := sum(r.chunk(0)[:r.dead]); raw != r.rawSize || dead != r.deadSize || r.openSize != sum(r.open) {
		t.Fatalf("raw %d, dead %d, open %d; counted are %d, %d, %d", raw, dead, sum(r.open), r.rawSize, r.deadSize, r.openSize)
	}
}

// Whatever is added and cut in whatever order, all that may be read is, and what
// is kept is what is counted.
func TestPackedAgainstModel(t *testing.T) {
	for seed := range uint64(80) {
		dice := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's dice
		e := open(t, Options{})
		e.chunking = chunking{entries: 1 + dice.IntN(60), bytes: int64(dice.IntN(12_000)), hot: int64(dice.IntN(9000)), rest: time.Hour, save: 12 - dice.IntN(2)*500}
		retention := twohop.Retention{}
		if dice.IntN(2) == 0 {
			retention.Records = uint64(1 + dice.IntN(150)) //nolint:gosec // small
		}
		create(t, e, "a", &twohop.Spec{ContentType: "text/plain", Retention: retention})
		ch := e.shardOf("a").lookup("a")
		fixed := ch.footprint
		packedOnce := false
		var want []string
		for n := range 120 {
			a := &twohop.Append{Channel: "a"}
			for range 1 + dice.IntN(4) {
				rec := strings.Repeat(fmt.Sprint("r", n), dice.IntN(80))
				if dice.IntN(50) == 0 {
					rec = strings.Repeat(rec, 100)
				}
				want = append(want, rec)
				a.Data = append(a.Data, rec...)
				a.Ends = append(a.Ends, uint32(len(a.Data))) //nolint:gosec // small
			}
			if _, err := send(t, e, a); err != nil {
				t.Fatal(err)
			}
			if dice.IntN(3) > 0 {
				packNow(ch, 1+dice.IntN(4))
			}
			got := readAll(t, e, "a")
			if len(got) > len(want) || len(got) < min(len(want), int(retention.Records)) && retention.Records > 0 || retention.Records == 0 && len(got) != len(want) { //nolint:gosec // small
				t.Fatalf("seed %d: %d records of %d, %+v", seed, len(got), len(want), retention)
			}
			if !slices.Equal(got, want[len(want)-len(got):]) {
				t.Fatalf("seed %d, append %d: the records differ", seed, n)
			}
			agrees(t, &ch.records)
			size, packed := kept(ch)
			packedOnce = packedOnce || packed > 0
			if counted := ch.footprint - fixed; counted != size {
				t.Fatalf("seed %d, append %d: %d bytes are counted, %d are kept", seed, n, counted, size)
			}
			from := ch.state.Tail - uint64(dice.IntN(int(ch.state.Tail-ch.state.Start)+1)) //nolint:gosec // small
			skip := int(from - ch.state.Start)                                             //nolint:gosec // small
			if b := ch.bytesLocked(from, ch.state.Tail); b != uint64(len(strings.Join(got[skip:], ""))) {
				t.Fatalf("seed %d, append %d: %d bytes from %d on", seed, n, b, from)
			}
		}
		if !packedOnce && e.chunking.save < 0 && retention.Records == 0 {
			t.Errorf("seed %d: nothing was packed by %+v", seed, e.chunking)
		}
	}
}

// What is alike takes little, what is not takes what it did.
func TestPackedSavesMemory(t *testing.T) {
	e := open(t, Options{})
	create(t, e, "a", &twohop.Spec{})
	create(t, e, "noise", &twohop.Spec{})
	fill := func(name string, size int, rec func(b []byte)) (took int64) {
		before := e.used.Load()
		for range 4 << 20 / size {
			b := make([]byte, size)
			rec(b)
			if _, err := send(t, e, one(name, string(b))); err != nil {
				t.Fatal(err)
			}
		}
		packNow(e.shardOf(name).lookup(name), -1)
		return e.used.Load() - before
	}
	dice := rand.NewChaCha8([32]byte{})
	n := 0
	alike := func(b []byte) {
		n++
		copy(b, fmt.Sprintf(`{"price":%d,"at":%d}`, n, n*7919))
		for i := len(b) / 2; i < len(b); i++ {
			b[i] = byte('a' + i%7)
		}
	}
	if took := fill("a", 4096, alike); took > 1<<20 {
		t.Errorf("4 MiB that are alike took %d bytes", took)
	}
	if took := fill("noise", 4096, func(b []byte) { _, _ = dice.Read(b) }); took < 4<<20 || took > 5<<20 {
		t.Errorf("4 MiB of noise took %d bytes", took)
	}
}

// Packed records are read as they were, also by who began before they were.
func TestReadWhilePacked(t *testing.T) {
	e := open(t, Options{})
	e.chunking = tiny
	create(t, e, "a", &twohop.Spec{ContentType: "text/plain"})
	ch := e.shardOf("a").lookup("a")
	put := func(i int) {
		if _, err := send(t, e, one("a", strings.Repeat(fmt.Sprint(i%10), 100))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		put(i)
	}
	ch.mu.Lock()
	spans := ch.spansLocked(0)
	ch.mu.Unlock()
	for i := range 1000 {
		put(10 + i)
		packNow(ch, -1)
	}
	data, ends := gather(spans, 0, 1<<20)
	if len(ends) != 10 || string(data) != strings.Join(readAll(t, e, "a")[:10], "") {
		t.Errorf("%d records, %q", len(ends), data)
	}
	if _, packed := kept(ch); packed < 1000 {
		t.Errorf("%d entries were packed", packed)
	}
}

// Packing waits until a burst is over, then all of it is packed.
func TestPackedAfterARest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, Options{})
		create(t, e, "a", &twohop.Spec{})
		ch := e.shardOf("a").lookup("a")
		began := time.Now()
		for i := range 64 {
			a := one("a", strings.Repeat(fmt.Sprint(i), 1<<15))
			if i == 0 {
				a.Key = "forgotten in five minutes" // the sweeper is to come sooner
			}
			if _, err := send(t, e, a); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		raw := e.used.Load()
		if _, packed := kept(ch); packed != 0 || raw < 2<<20 {
			t.Fatalf("%d were packed within %v, %d bytes are kept", packed, time.Since(began), raw)
		}
		time.Sleep(3 * time.Second)
		if now := e.used.Load(); now > raw/5 {
			t.Errorf("of %d bytes %d are left", raw, now)
		}
		if got := readAll(t, e, "a"); len(got) != 64 || got[7] != strings.Repeat("7", 1<<15) {
			t.Errorf("%d records are there", len(got))
		}
	})
}

// Who finds no room finds some where records can be packed.
func TestPackedWhereThereIsNoRoom(t *testing.T) {
	e := open(t, Options{MaxBytes: 1 << 20})
	create(t, e, "a", &twohop.Spec{})
	for i := range 256 {
		if _, err := send(t, e, one("a", strings.Repeat(fmt.Sprint(i), 1<<13))); err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
		if used := e.used.Load(); used > 1<<20 {
			t.Fatalf("%d bytes are kept", used)
		}
	}
	if got := readAll(t, e, "a"); len(got) != 256 {
		t.Errorf("%d records are there", len(got))
	}
}

func BenchmarkReadPacked(b *testing.B) {
	e := open(b, Options{})
	create(b, e, "a", &twohop.Spec{})
	for i := range 10_000 {
		if _, err := send(b, e, one("a", fmt.Sprintf("%0200d", i))); err != nil {
			b.Fatal(err)
		}
	}
	packNow(e.shardOf("a").lookup("a"), -1)
	ctx := b.Context()
	b.ReportAllocs()
	b.SetBytes(1 << 18)
	for b.Loop() {
		if got, err := e.Read(ctx, "a", twohop.Offset{}, 1<<18); err != nil || got.Len() != 1310 {
			b.Fatalf("%d records, %v", got.Len(), err)
		}
	}
}
