package livecomments

import (
	"math"
	"math/rand/v2"
	"strings"
)

// audience makes up who writes, what, and how often. It belongs to one
// goroutine; the same seed makes the same audience.
type audience struct{ rand *rand.Rand }

func newAudience(seed uint64) *audience {
	return &audience{rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // small talk, not a secret
}

func (a *audience) pick(list []string) string { return list[a.rand.IntN(len(list))] }

// name is a viewer's: first names of many places, some with an initial, some as
// people call themselves online.
func (a *audience) name() string {
	first := a.pick(firstNames)
	switch n := a.rand.IntN(20); {
	case n < 9:
		return first
	case n < 16:
		return first + " " + string(rune('A'+a.rand.IntN(26))) + "."
	case n < 18:
		return strings.ToLower(first) + "_" + a.pick(places[:12])
	default:
		return a.pick(handles) + " " + first
	}
}

// text is a comment in one of the moods of a scene.
func (a *audience) text(s *scene) string {
	return a.fill(a.pick(sayings[a.pick(s.Words)]))
}

// fill replaces each {slot} of a saying by one of its words.
func (a *audience) fill(saying string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(saying, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		slot, after, _ := strings.Cut(rest, "}")
		b.WriteString(a.pick(slots[slot]))
		saying = after
	}
}

// reactions are n reactions as a scene makes them.
func (a *audience) reactions(s *scene, n int) counts {
	weights, ok := tastes[s.Name]
	if !ok {
		weights = tastes[""]
	}
	c := counts{}
	for range n {
		at := a.rand.IntN(100)
		for i, w := range weights {
			if at -= w; at < 0 {
				c[kinds[i]]++
				break
			}
		}
	}
	return c
}

// tastes are the shares of kinds in a scene, in percent.
var tastes = map[string][]int{
	"":         {58, 8, 16, 12, 6},
	"chorus":   {55, 4, 12, 25, 4},
	"solo":     {25, 4, 16, 45, 10},
	"hush":     {80, 2, 10, 2, 6},
	"lanterns": {52, 3, 10, 10, 25},
	"applause": {26, 4, 60, 7, 3},
}

// some is how many of many independent people do something just now, where mean
// is how many do on average: a Poisson variable.
func (a *audience) some(mean float64) int {
	if mean > 30 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*a.rand.NormFloat64())))
	}
	n, limit := 0, math.Exp(-mean)
	for p := a.rand.Float64(); p > limit; p *= a.rand.Float64() {
		n++
	}
	return n
}
