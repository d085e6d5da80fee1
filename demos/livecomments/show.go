package livecomments

import "time"

// scene is a part of the show. Energy scales how much is written and how often
// people react; a scene that is a moment begins with a burst.
type scene struct {
	Name   string
	Length time.Duration
	Energy float64
	Moment bool
	Words  []string // moods whose comments are written, see audience.go
}

// The show goes round. Whoever comes sees something happen within seconds.
var scenes = []scene{
	{"verse", 9 * time.Second, .7, false, []string{"arrive", "listen", "listen", "ask"}},
	{"chorus", 14 * time.Second, 1.5, true, []string{"sing", "sing", "praise", "listen"}},
	{"verse", 12 * time.Second, .8, false, []string{"listen", "listen", "ask", "arrive"}},
	{"solo", 12 * time.Second, 1.2, true, []string{"solo", "solo", "praise"}},
	{"hush", 9 * time.Second, .35, false, []string{"hush", "hush", "listen"}},
	{"lanterns", 13 * time.Second, 1.9, true, []string{"lanterns", "lanterns", "praise", "sing"}},
	{"applause", 9 * time.Second, 1.3, false, []string{"applause", "applause", "praise", "arrive"}},
}

// burst is how long a moment makes everybody write at once, and how much more.
const (
	burst     = 2500 * time.Millisecond
	burstGain = 1.8
)

// at is the scene of a time since the show began, and how long it is on.
func at(since time.Duration) (s *scene, on time.Duration) {
	var round time.Duration
	for i := range scenes {
		round += scenes[i].Length
	}
	since %= round
	for i := range scenes {
		if since < scenes[i].Length {
			return &scenes[i], since
		}
		since -= scenes[i].Length
	}
	return &scenes[0], 0
}

// energy is how lively the audience is, around 1.
func energy(since time.Duration) float64 {
	s, on := at(since)
	if s.Moment && on < burst {
		return s.Energy * burstGain
	}
	return s.Energy
}
