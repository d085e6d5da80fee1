package subscription

import (
	"maps"
	"slices"
)

// index finds the subscriptions that follow a channel. It is not safe for
// concurrent use.
type index struct {
	entries  map[*sub]entry
	exact    map[string]map[*sub]struct{}
	patterns map[string]*patternSubs // each distinct pattern is tried once
	wakes    map[string]int          // channels that wake events go to, and for how many
}

type entry struct {
	pattern, wakeStream string
	streams             []string // explicit
}

type patternSubs struct {
	glob glob
	subs map[*sub]struct{}
}

func newIndex() *index {
	return &index{
		entries: map[*sub]entry{}, exact: map[string]map[*sub]struct{}{},
		patterns: map[string]*patternSubs{}, wakes: map[string]int{},
	}
}

// set says what s follows from now on.
func (x *index) set(s *sub, e entry) {
	x.remove(s)
	x.entries[s] = e
	for _, name := range e.streams {
		if x.exact[name] == nil {
			x.exact[name] = map[*sub]struct{}{}
		}
		x.exact[name][s] = struct{}{}
	}
	if e.pattern != "" {
		p := x.patterns[e.pattern]
		if p == nil {
			p = &patternSubs{glob: parseGlob(e.pattern), subs: map[*sub]struct{}{}}
			x.patterns[e.pattern] = p
		}
		p.subs[s] = struct{}{}
	}
	if e.wakeStream != "" {
		x.wakes[e.wakeStream]++
	}
}

func (x *index) remove(s *sub) {
	e, ok := x.entries[s]
	if !ok {
		return
	}
	delete(x.entries, s)
	for _, name := range e.streams {
		if delete(x.exact[name], s); len(x.exact[name]) == 0 {
			delete(x.exact, name)
		}
	}
	if p := x.patterns[e.pattern]; p != nil {
		if delete(p.subs, s); len(p.subs) == 0 {
			delete(x.patterns, e.pattern)
		}
	}
	if e.wakeStream != "" {
		if x.wakes[e.wakeStream]--; x.wakes[e.wakeStream] == 0 {
			delete(x.wakes, e.wakeStream)
		}
	}
}

// find calls f for each subscription that may follow a channel.
func (x *index) find(channel string, f func(*sub)) {
	exact := x.exact[channel]
	for s := range exact {
		f(s)
	}
	for _, p := range x.patterns {
		if !p.glob.matches(channel) {
			continue
		}
		for s := range p.subs {
			if _, told := exact[s]; !told {
				f(s)
			}
		}
	}
}

func (x *index) all() []*sub { return slices.Collect(maps.Keys(x.entries)) }
