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

// Match reports whether a channel's name matches a glob: "*" and "?" match
// within one segment, "[a-z]" one character, "**" any number of segments, also
// none.
func Match(glob, name string) bool {
	return matchSegments(strings.Split(glob, "/"), strings.Split(name, "/"))
}

func matchSegments(glob, name []string) bool {
	for len(glob) > 0 {
		if glob[0] == "**" {
			for i := 0; i <= len(name); i++ {
				if matchSegments(glob[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, err := path.Match(glob[0], name[0]); err != nil || !ok {
			return false
		}
		glob, name = glob[1:], name[1:]
	}
	return len(name) == 0
}

// CheckGlob says whether a pattern is well formed.
func CheckGlob(glob string) error {
	_, err := path.Match(glob, "")
	return err
}
