package livecomments

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// The page cuts off what is longer.
const (
	maxName = 24
	maxText = 200
)

func TestAudience(t *testing.T) {
	a, same := newAudience(7), newAudience(7)
	names, texts := map[string]bool{}, map[string]bool{}
	const n = 3000
	for i := range n {
		s := &scenes[i%len(scenes)]
		name, text := a.name(), a.text(s)
		if name != same.name() || text != same.text(s) {
			t.Fatal("the same seed makes another audience")
		}
		if name == "" || utf8.RuneCountInString(name) > maxName {
			t.Errorf("name %q", name)
		}
		if text == "" || utf8.RuneCountInString(text) > maxText || strings.ContainsAny(text, "{}") {
			t.Errorf("text %q", text)
		}
		names[name], texts[text] = true, true
	}
	if len(names) < n/5 || len(texts) < n/5 {
		t.Errorf("%d comments have %d names and %d texts", n, len(names), len(texts))
	}
}

// Every saying can be filled, also those that the dice left out above.
func TestSayings(t *testing.T) {
	for mood, list := range sayings {
		for _, saying := range list {
			for rest := saying; ; {
				_, after, found := strings.Cut(rest, "{")
				if !found {
					break
				}
				slot, after, _ := strings.Cut(after, "}")
				if len(slots[slot]) == 0 {
					t.Errorf("%s: %q has a slot that is not there", mood, saying)
				}
				rest = after
			}
		}
	}
	for _, s := range scenes {
		for _, mood := range s.Words {
			if len(sayings[mood]) == 0 {
				t.Errorf("%s: there are no words for %s", s.Name, mood)
			}
		}
	}
	for name, weights := range tastes {
		sum := 0
		for _, w := range weights {
			sum += w
		}
		if sum != 100 || len(weights) != len(kinds) {
			t.Errorf("the tastes of %q are %v, want %d shares of 100", name, weights, len(kinds))
		}
	}
}

func TestSome(t *testing.T) {
	a := newAudience(3)
	for _, mean := range []float64{0, .2, 4.8, 29, 31, 400} {
		const n = 4000
		sum := 0
		for range n {
			sum += a.some(mean)
		}
		if got, off := float64(sum)/n, 5*math.Sqrt(mean/n)+.02; math.Abs(got-mean) > off {
			t.Errorf("some(%g) is %g on average", mean, got)
		}
	}
}

func TestScenes(t *testing.T) {
	var round time.Duration
	for _, s := range scenes {
		first, on := at(round)
		if first.Name != s.Name || on != 0 {
			t.Errorf("at %v there is %s for %v, want %s just begun", round, first.Name, on, s.Name)
		}
		if s.Moment && energy(round) <= energy(round+burst) {
			t.Errorf("%s begins without a burst", s.Name)
		}
		round += s.Length
	}
	if again, on := at(3*round + time.Second); again.Name != scenes[0].Name || on != time.Second {
		t.Errorf("after three rounds and a second there is %s for %v", again.Name, on)
	}
}
