package subscription

import (
	"strings"
)

// glob is a pattern over channel names: a "*" stands for any characters within
// one segment, the segment "**" for any number of segments, also none.
// Everything else stands for itself, so names with "?" or "[" can be meant.
type glob []string

func parseGlob(pattern string) glob {
	if pattern == "" {
		return nil
	}
	return strings.Split(pattern, "/")
}

// matches takes time in proportion to the product of the lengths: only the last
// "**" is ever tried again.
func (g glob) matches(name string) bool {
	if g == nil {
		return false
	}
	segs := strings.Split(name, "/")
	i, j, star, mark := 0, 0, -1, 0
	for j < len(segs) {
		switch {
		case i < len(g) && g[i] == "**":
			star, mark = i, j
			i++
		case i < len(g) && matchSegment(g[i], segs[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(g) && g[i] == "**" {
		i++
	}
	return i == len(g)
}

func matchSegment(pattern, s string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == s
	}
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	for {
		part, more, again := strings.Cut(rest, "*")
		if !again {
			return strings.HasSuffix(s, part)
		}
		at := strings.Index(s, part)
		if at < 0 {
			return false
		}
		s, rest = s[at+len(part):], more
	}
}

// scope is a glob of the store's own kind that holds at least the names that g
// matches: its leading literal segments and all that follows. The store's globs
// know more than ours, so the names are filtered once more.
func (g glob) scope() string {
	var lead []string
	for _, seg := range g {
		if strings.ContainsAny(seg, `*?[\`) {
			return strings.Join(append(lead, "**"), "/")
		}
		lead = append(lead, seg)
	}
	return strings.Join(lead, "/")
}
