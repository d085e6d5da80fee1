package twohop

import (
	"path"
	"strings"
	"time"
)

// Rule sets how the channels that match a pattern are kept. The first rule that
// matches holds; a channel that no rule matches is a plain Durable Streams one.
type Rule struct {
	Match       string        // glob over channel names, see Match
	Create      bool          // a publish creates the channel
	ContentType string        // of channels created by a publish; "" is the publish's own
	TTL         time.Duration // of channels created without one
	Sync        Sync
	Retention   Retention
}

// Rules are tried in order.
type Rules []Rule

// For returns the rule of a channel.
func (r Rules) For(channel string) Rule {
	for i := range r {
		if Match(r[i].Match, channel) {
			return r[i]
		}
	}
	return Rule{}
}

// Spec is what a publish creates a channel with, in its content type where the
// rule has none; nil if it does not.
func (r Rules) Spec(channel, contentType string) *Spec {
	rule := r.For(channel)
	if !rule.Create {
		return nil
	}
	s := &Spec{ContentType: contentType}
	rule.Apply(s)
	return s
}

// Apply fills in what the rule says.
func (r *Rule) Apply(s *Spec) {
	if r.ContentType != "" {
		s.ContentType = r.ContentType
	}
	if s.ContentType == "" {
		s.ContentType = "application/octet-stream"
	}
	if s.TTL == 0 && s.ExpiresAt.IsZero() && s.Fork == nil {
		s.TTL = r.TTL
	}
	s.Sync, s.Retention = r.Sync, r.Retention
}

// Match reports whether a channel's name matches a glob: "*" and "?" match
// within one segment, "[a-z]" one character, "**" any number of segments, also
// none.
func Match(glob, name string) bool {
	return matchSegments(strings.Split(glob, "/"), strings.Split(name, "/"))
}

// matchSegments lets each "**" take as few segments as it can, and when what
// follows does not match gives the last one more: a name that an earlier one
// could match the last one can, too, so that none needs to be tried again.
func matchSegments(glob, name []string) bool {
	wild, tried := -1, 0 // the last "**", and what it takes ends here
	g, n := 0, 0
	for n < len(name) || g < len(glob) {
		if g < len(glob) && glob[g] == "**" {
			wild, tried = g, n
			g++
			continue
		}
		if g < len(glob) && n < len(name) {
			if ok, err := path.Match(glob[g], name[n]); err == nil && ok {
				g, n = g+1, n+1
				continue
			}
		}
		if wild < 0 || tried == len(name) {
			return false
		}
		tried++
		g, n = wild+1, tried
	}
	return true
}

// CheckGlob says whether a pattern is well formed.
func CheckGlob(glob string) error {
	for seg := range strings.SplitSeq(glob, "/") {
		if _, err := path.Match(seg, ""); err != nil {
			return err
		}
	}
	return nil
}
