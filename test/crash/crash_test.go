// Package crash tests the law of the disk: what was acknowledged or shown is
// there after a crash, at its offset, or is answered with a reset where the
// channel's level allows that; never with something else.
//
// Invariant: the server is all of it but the sockets, and clients know only what
// HTTP told them before the crash. An answer that comes after it was never sent.
package crash

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	crashSeeds = flag.Int("crash.seeds", 20, "how many seeds TestCrash tries")
	crashSeed  = flag.Uint64("crash.seed", 1, "the first seed of TestCrash")
)

const (
	generations = 4
	writers     = 4
	readers     = 2
)

// TestCrash lets many clients work on a server until its power fails, several
// times for each seed, and compares what is left with what they know. A seed
// fixes what they try and how the disk is left; the order they come in is that
// of the machine.
func TestCrash(t *testing.T) {
	for seed := *crashSeed; seed < *crashSeed+uint64(*crashSeeds); seed++ { //nolint:gosec // not negative
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // chance is wanted, and to be repeated
			o := newOracle(t, random.IntN(8) == 0)
			crew := newCrew(o, random)
			fs := vfs.NewCrashableMem()
			for range generations {
				fs = crew.generation(fs)
			}
			s := open(t, fs)
			o.verify(s)
			s.close()
			if t.Failed() {
				t.Logf("again with: go test ./test/crash -crash.seeds 1 -crash.seed %d", seed)
			}
		})
	}
}

// crew is everyone who works on a server.
type crew struct {
	o       *oracle
	random  *rand.Rand
	owner   *owner
	writers []*writer
	readers []*reader
}

func newCrew(o *oracle, random *rand.Rand) *crew {
	c := &crew{o: o, random: random}
	own := func() *rand.Rand { return rand.New(rand.NewPCG(random.Uint64(), 0)) } //nolint:gosec // see above
	c.owner = &owner{o: o, random: own()}
	for i := range writers {
		c.writers = append(c.writers, &writer{o: o, random: own(), id: i, pending: map[string]*write{}, last: map[string]*write{}, producers: map[string]*producer{}})
	}
	for range readers {
		c.readers = append(c.readers, &reader{o: o, random: own()})
	}
	return c
}

// generation lets everyone work until the power fails, and returns the disk as
// it is then.
func (c *crew) generation(fs *vfs.MemFS) *vfs.MemFS {
	s := open(c.o.t, fs)
	c.o.verify(s)
	c.o.begin()
	c.owner.finish(s) // so that there are channels
	for _, w := range c.writers {
		w.repeat(s)
	}
	var busy sync.WaitGroup
	for _, w := range c.writers {
		busy.Go(func() { w.work(s) })
	}
	for _, r := range c.readers {
		busy.Go(func() { r.work(s) })
	}
	busy.Go(func() { c.owner.work(s) })

	ops, deed := 20+c.random.IntN(300), c.random.IntN(3) == 0
	var left *vfs.MemFS
	if c.random.IntN(6) == 0 { // no crash: everything is kept
		c.o.await(ops, deed, nil)
		s.stop()
		busy.Wait()
		s.close()
		c.o.stopped()
		return fs.CrashClone(vfs.CrashCloneCfg{})
	}
	c.o.await(ops, deed, func() { left = powerCut(c.o.t, fs, c.random) })
	s.stop()
	busy.Wait()
	s.close()
	return left
}
