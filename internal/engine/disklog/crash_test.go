package disklog

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"twohop"
	"twohop/internal/engine"
)

var crashSeeds = flag.Int("crash.seeds", 60, "how many seeds TestCrash tries")

// TestCrash lets the power fail at any moment, several times for each seed, with
// any part of what was not synced lost, and compares what is left with what was
// acknowledged, told and read before.
func TestCrash(t *testing.T) {
	for seed := range *crashSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := &crasher{
				t: t, rng: rand.New(rand.NewPCG(uint64(seed), 1)), //nolint:gosec // seeds are small, and chance is wanted
				facts: map[twohop.Offset]string{}, issued: map[string]bool{}, channels: map[string]*crashChannel{},
			}
			fs := vfs.NewCrashableMem()
			for range 4 {
				fs = c.generation(fs)
			}
		})
	}
}

// crasher is the oracle of one seed.
type crasher struct {
	t   *testing.T
	rng *rand.Rand
	eng *Engine
	ops sync.WaitGroup // appends in flight

	mu       sync.Mutex
	facts    map[twohop.Offset]string // every record that was ever shown, by the offset after it
	issued   map[string]bool          // every record that was ever sent
	channels map[string]*crashChannel
	next     int
}

// crashChannel is what must be true of a channel.
type crashChannel struct {
	spec      twohop.Spec
	id        uint64
	deleted   bool
	closed    bool
	shown     map[twohop.Offset]string // acknowledged, told or read, in this incarnation
	producers map[string]produced
}

type produced struct {
	append twohop.Append
	rec    string
	ack    twohop.Ack
}

// Event is the feed: what it tells has been shown.
func (c *crasher) Event(_ int, e *engine.Event) {
	if e.Kind == engine.Appended {
		c.show(e.Channel, e.Batch.Next, e.Batch)
	}
}

// show notes records that somebody saw; next is the offset after the last.
func (c *crasher) show(name string, next twohop.Offset, b twohop.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range b.Len() {
		o := twohop.Offset{Epoch: next.Epoch, Pos: next.Pos - uint64(b.Len()-1-i)} //nolint:gosec // small
		c.factLocked(name, o, string(b.Record(i)))
	}
}

func (c *crasher) factLocked(name string, o twohop.Offset, rec string) {
	if old, ok := c.facts[o]; ok && old != rec {
		c.t.Errorf("%s: offset %s names %q, it named %q", name, o, rec, old)
	}
	if !c.issued[rec] {
		c.t.Errorf("%s: %q was never sent", name, rec)
	}
	c.facts[o] = rec
	if ch := c.channels[name]; ch != nil {
		ch.shown[o] = rec
	}
}

func (c *crasher) record() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	r := fmt.Sprintf("%d,", c.next)
	c.issued[r] = true
	return r
}

var crashNames = []string{"a", "b", "c", "d", "e", "f"}

// generation works on a disk until the power fails and returns what is left of it.
func (c *crasher) generation(fs *vfs.MemFS) *vfs.MemFS {
	c.eng = openAt(c.t, fs, Options{SyncInterval: time.Millisecond, CacheChannels: 4, LogBytes: []int{0, 4 << 10, 64 << 10}[c.rng.IntN(3)]})
	c.eng.Follow(c)
	c.verify()
	for range 10 + c.rng.IntN(40) {
		c.step()
	}
	for range c.rng.IntN(12) {
		c.append(crashNames[c.rng.IntN(len(crashNames))])
	}
	if c.rng.IntN(2) == 0 {
		c.ops.Wait() // else the power fails with appends in flight
	}
	must, facts := c.snapshot()
	left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.rng.IntN(3) * 50, RNG: rand.New(rand.NewPCG(c.rng.Uint64(), 2))}) //nolint:gosec // chance is wanted
	if c.rng.IntN(6) == 0 {
		c.ops.Wait()
		must, facts = c.snapshot()
		shut(c.t, c.eng)
		left = fs.CrashClone(vfs.CrashCloneCfg{})
	} else {
		c.ops.Wait()
		shut(c.t, c.eng)
	}
	c.channels, c.facts = must, facts // what came after was never
	return left
}

// snapshot is what must be true from now on.
func (c *crasher) snapshot() (map[string]*crashChannel, map[twohop.Offset]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	must := map[string]*crashChannel{}
	for name, ch := range c.channels {
		copied := *ch
		copied.shown, copied.producers = maps.Clone(ch.shown), maps.Clone(ch.producers)
		must[name] = &copied
	}
	return must, maps.Clone(c.facts)
}

func (c *crasher) step() {
	name := crashNames[c.rng.IntN(len(crashNames))]
	switch c.rng.IntN(12) {
	case 0:
		c.create(name, c.spec())
	case 1:
		from := crashNames[c.rng.IntN(len(crashNames))]
		spec := c.spec()
		spec.Fork = &twohop.Fork{Source: from, At: c.someOffset(from)}
		if spec.Fork.At != nil {
			spec.Fork.Sub = uint64(c.rng.IntN(2)) //nolint:gosec // 0 or 1
		}
		c.create(name, spec)
	case 2:
		c.remove(name)
	case 3:
		if c.rng.IntN(4) == 0 {
			c.close(name)
		}
	case 4, 5:
		c.read(name)
	default:
		c.append(name)
	}
}

// someOffset is one that a channel gave, or nil.
func (c *crasher) someOffset(name string) *twohop.Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.channels[name]
	if ch == nil || len(ch.shown) == 0 || c.rng.IntN(3) == 0 {
		return nil
	}
	all := slices.SortedFunc(maps.Keys(ch.shown), twohop.Offset.Compare)
	return &all[c.rng.IntN(len(all))]
}

func (c *crasher) spec() twohop.Spec {
	s := twohop.Spec{ContentType: "application/json", Sync: twohop.Sync(c.rng.IntN(3))} //nolint:gosec // 0 to 2
	if c.rng.IntN(3) == 0 {
		s.Retention.Records = 5
	}
	return s
}

func (c *crasher) create(name string, spec twohop.Spec) {
	c.ops.Wait()
	info, created, err := c.eng.Create(context.Background(), name, &spec)
	if err != nil || !created {
		return
	}
	ch, _, err := c.eng.cache.get(name)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.channels[name] = &crashChannel{spec: spec, id: ch.id, shown: map[twohop.Offset]string{}, producers: map[string]produced{}}
	if info.Tail != ch.Offset(ch.Tail) {
		c.t.Errorf("%s: created with tail %s, which is %s", name, info.Tail, ch.Offset(ch.Tail))
	}
}

func (c *crasher) remove(name string) {
	c.ops.Wait()
	if err := c.eng.Delete(context.Background(), name); err == nil {
		c.channels[name].deleted = true
	}
}

func (c *crasher) close(name string) {
	c.ops.Wait()
	if _, err := tryAppend(c.eng, twohop.Append{Channel: name, Close: true}); err == nil {
		c.channels[name].closed = true
	}
}

// append sends records and does not wait.
func (c *crasher) append(name string) {
	a := twohop.Append{Channel: name}
	recs := []string{c.record()}
	for c.rng.IntN(3) == 0 {
		recs = append(recs, c.record())
	}
	a.Data, a.Ends = records(recs...)
	id := fmt.Sprint(c.rng.IntN(2))
	if ch := c.channels[name]; ch != nil && c.rng.IntN(2) == 0 {
		c.mu.Lock()
		last, ok := ch.producers[id]
		c.mu.Unlock()
		a.Producer = &twohop.Producer{ID: id}
		if ok {
			a.Producer.Seq = last.append.Producer.Seq + 1
		}
	}
	b := twohop.Batch{Data: a.Data, Ends: a.Ends}
	c.ops.Add(1)
	c.eng.Append(context.Background(), &a, func(ack twohop.Ack, err error) {
		defer c.ops.Done()
		if err != nil || ack.Duplicate {
			return
		}
		c.show(name, ack.Offset, b)
		if a.Producer != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.channels[name].producers[id] = produced{twohop.Append{Channel: name, Producer: a.Producer}, recs[0], ack}
		}
	})
}

// read reads a channel from the start to the tail.
func (c *crasher) read(name string) map[twohop.Offset]string {
	got := map[twohop.Offset]string{}
	from := twohop.Offset{}
	for {
		b, err := c.eng.Read(context.Background(), name, from, 20)
		if err != nil {
			if e, ok := errors.AsType[*twohop.Error](err); ok && slices.Contains([]twohop.Code{twohop.CodeNotFound, twohop.CodeGone, twohop.CodeReset}, e.Code) {
				return got
			}
			c.t.Fatalf("%s: %v", name, err)
		}
		if b.Len() == 0 {
			return got
		}
		ch, _, err := c.eng.cache.get(name)
		if err != nil || ch == nil {
			c.t.Fatalf("%s: %v", name, err)
		}
		c.mu.Lock()
		for i := range b.Len() {
			o := ch.Offset(b.Next.Pos - uint64(b.Len()-1-i)) //nolint:gosec // small
			got[o] = string(b.Record(i))
			c.factLocked(name, o, got[o])
		}
		c.mu.Unlock()
		from = b.Next
	}
}

// verify compares what the power cut left with what must be there.
func (c *crasher) verify() {
	for name, ch := range c.channels {
		info, err := c.eng.Info(context.Background(), name)
		if ch.deleted {
			if err == nil {
				c.t.Errorf("%s is back: it was deleted", name)
			}
			delete(c.channels, name)
			continue
		}
		if err != nil {
			c.t.Fatalf("%s is lost: %v", name, err)
		}
		if ch.closed && !info.Closed {
			c.t.Errorf("%s is open again", name)
		}
		got := c.read(name)
		for o, rec := range ch.shown {
			if o.Pos <= info.Start.Pos {
				continue
			}
			if now, ok := got[o]; ok && now == rec {
				continue
			}
			if ch.spec.Sync == twohop.SyncAlways {
				c.t.Errorf("%s: %q at %s was shown and is lost; %d records are left up to %s", name, rec, o, len(got), info.Tail)
			}
			c.gone(name, o)
		}
		c.repeat(ch)
		ch.shown = got
	}
	for name, ch := range c.channels {
		if ch.spec.Sync != twohop.SyncAlways {
			ch.producers = map[string]produced{} // may have to begin anew
			c.lost(name)
		}
	}
}

// lost appends to a channel whose shown records may be lost and looks whether
// their offsets are given again; factLocked does.
func (c *crasher) lost(name string) {
	gone := map[twohop.Offset]bool{}
	got := c.read(name)
	c.mu.Lock()
	for o := range c.channels[name].shown {
		if _, ok := got[o]; !ok {
			gone[o] = true
		}
	}
	c.mu.Unlock()
	c.append(name)
	c.ops.Wait()
	for o := range gone {
		c.gone(name, o)
	}
}

// gone wants an offset of a lost record to be answered with a reset.
func (c *crasher) gone(name string, o twohop.Offset) {
	_, err := c.eng.Read(context.Background(), name, o, 1)
	if e, ok := errors.AsType[*twohop.Error](err); !ok || e.Code != twohop.CodeReset {
		c.t.Errorf("%s: the record before %s is lost, but reading on there gives %v", name, o, err)
	}
}

// repeat sends again what producers got acknowledged last.
func (c *crasher) repeat(ch *crashChannel) {
	if ch.spec.Sync != twohop.SyncAlways {
		return
	}
	for id, p := range ch.producers {
		a := p.append
		ack, err := tryAppend(c.eng, a, p.rec)
		// A later request of the producer may have been committed unacknowledged.
		if e, ok := errors.AsType[*twohop.Error](err); ok && e.Code == twohop.CodeClosed {
			continue
		}
		if err != nil || !ack.Duplicate || p.ack.Seq == a.Producer.Seq && ack.Offset != p.ack.Offset {
			c.t.Errorf("%s: repeating %d of producer %s gives %+v, %v; it was at %s", a.Channel, a.Producer.Seq, id, ack, err, p.ack.Offset)
		}
		p.append.Producer = &twohop.Producer{ID: id, Seq: ack.Seq} // go on after what was committed
		ch.producers[id] = p
	}
}
