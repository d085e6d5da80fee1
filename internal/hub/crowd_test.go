package hub

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

type sitter struct {
	ix    int32
	alone bool // leaves when looked at
	seen  int  // news as of when it was looked at
	looks int
}

func (s *sitter) Place() *int32 { return &s.ix }

// Whoever stays in the crowd is looked at after each news, whatever comes, goes
// and happens meanwhile. With a budget nobody is looked at twice in a round
// unless a departure made it begin again.
func TestCrowdLooksAtAll(t *testing.T) {
	for _, budget := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			for seed := range uint64(300) {
				r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's dice
				c := &Crowd[*sitter]{Budget: budget}
				happened, turn := 0, false
				news := func() {
					happened++
					if c.Note() {
						if turn {
							t.Fatal("two turns for one crowd")
						}
						turn = true
					}
				}
				var all []*sitter
				add := func() {
					s := &sitter{seen: happened, alone: r.IntN(10) == 0}
					all = append(all, s)
					c.Add(s)
				}
				drop := func() {
					if c.Len() > 0 {
						c.Remove(c.members[r.IntN(c.Len())])
					}
				}
				look := func(s *sitter) {
					s.seen = happened
					switch r.IntN(20) {
					case 0:
						news()
					case 1:
						add()
					case 2:
						drop()
					case 3:
						s.seen = -1 // it was given less than there is
						c.Again()
					}
					if s.alone && s.ix >= 0 {
						c.Remove(s)
					}
				}
				for range 400 {
					switch r.IntN(6) {
					case 0, 1:
						add()
					case 2:
						drop()
					case 3:
						news()
					default:
						if turn {
							c.Begin(time.Now())
							if turn = c.Look(3, look); !turn {
								_, turn = c.Rest()
							}
						}
					}
				}
				for turn {
					c.Begin(time.Now())
					if turn = c.Look(3, func(s *sitter) { s.seen = happened }); !turn {
						_, turn = c.Rest()
					}
				}
				for i := range c.Len() {
					if s := c.members[i]; s.seen != happened || int(s.ix) != i {
						t.Fatalf("seed %d: member %d of %d, at place %d, saw %d of %d", seed, i, c.Len(), s.ix, s.seen, happened)
					}
				}
			}
		})
	}
}

// News during a round makes it begin again without a budget; with one it waits
// until the budget is spent since the round began.
func TestCrowdWithABudgetGoesOnceRound(t *testing.T) {
	for _, budget := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c := &Crowd[*sitter]{Budget: budget}
			for range 10 {
				c.Add(&sitter{})
			}
			looks := func() (n int) {
				for _, s := range c.members {
					n += s.looks
				}
				return n
			}
			turn := func() (more bool) {
				c.Begin(time.Now())
				return c.Look(4, func(s *sitter) { s.looks++ })
			}
			if !c.Note() || c.Note() {
				t.Fatal("one turn for two notes, please")
			}
			if !turn() || looks() != 4 {
				t.Fatalf("%d were looked at in the first turn", looks())
			}
			if c.Note() || !c.Due() {
				t.Fatal("a turn is due already")
			}
			<-time.After(300 * time.Millisecond)
			for turn() {
			}
			after, more := c.Rest()
			if budget == 0 {
				if looks() != 14 || more {
					t.Fatalf("%d looks, more %v: want the round to begin again", looks(), more)
				}
				return
			}
			if looks() != 10 || !more || after != 700*time.Millisecond {
				t.Fatalf("%d looks, more %v after %v: want one round, and the next when the budget is spent", looks(), more, after)
			}
		})
	}
}

// A round that begins again goes on in shorter turns, until it is over.
func TestCrowdTurnsAreShortWhileNewsComes(t *testing.T) {
	c := &Crowd[*sitter]{}
	for range 100 {
		c.Add(&sitter{})
	}
	turn := func() (looked int) {
		c.Begin(time.Now())
		c.Look(40, func(*sitter) { looked++ })
		return looked
	}
	c.Note()
	first := turn()
	c.Note()
	again := turn()
	if first != 40 || again == 0 || again >= first {
		t.Errorf("a turn looked at %d, and at %d in a round that began again", first, again)
	}
	for c.left > 0 {
		turn()
	}
	c.Rest()
	c.Note()
	if n := turn(); n != first {
		t.Errorf("a turn of the next round looked at %d, not %d", n, first)
	}
}

// Whoever was given less than there is, is looked at again in the same round, be
// there others or not.
func TestCrowdLooksAgain(t *testing.T) {
	const looks = 5
	for n := range 6 {
		c := &Crowd[*sitter]{}
		for range n {
			c.Add(&sitter{})
		}
		c.Note()
		c.Begin(time.Now())
		for c.Look(2, func(s *sitter) {
			if s.looks++; s.looks < looks {
				c.Again()
			}
		}) {
		}
		for i, s := range c.members {
			if s.looks < looks {
				t.Errorf("member %d of %d was looked at %d times, want %d", i, n, s.looks, looks)
			}
		}
	}
}
