package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// scenarios in the order in which they run by default.
func scenarios() []*scenario {
	return []*scenario{idleScenario(), fanoutScenario(), channelsScenario(), publishScenario(),
		resumeScenario(), pollScenario(), slowScenario(), mixedScenario(),
	}
}

// scenario is one question to the server.
type scenario struct {
	name    string
	does    func(o *Options) string
	figures func(o *Options) int
	run     runFunc
}

// Scenarios are the names of all scenarios.
func Scenarios() (names []string) {
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

func find(name string) *scenario {
	all := scenarios()
	if i := slices.IndexFunc(all, func(s *scenario) bool { return s.name == name }); i >= 0 {
		return all[i]
	}
	return nil
}

// plan is a scenario with its bounds.
type plan struct {
	scenario *scenario
	figures  int
	about    time.Duration // it takes so long if all goes well
	most     time.Duration // then it is ended
}

type plans []plan

func plansOf(o *Options) plans {
	var all plans
	for _, name := range o.Scenarios {
		s := find(name)
		n := s.figures(o)
		all = append(all, plan{
			scenario: s, figures: n,
			about: time.Duration(n) * (o.Duration + time.Second/2),
			most:  time.Duration(n)*(o.Duration+patience) + time.Minute,
		})
	}
	return all
}

func (ps plans) String() string {
	var about, most time.Duration
	figures := 0
	var names []string
	for _, p := range ps {
		names = append(names, p.scenario.name)
		figures += p.figures
		about += p.about
		most += p.most
	}
	return fmt.Sprintf("%s: %s, about %s, at most %s",
		strings.Join(names, ", "), count(figures, "figure"), about.Round(time.Second), most.Round(time.Second))
}
