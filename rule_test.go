package twohop

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMatch(t *testing.T) {
	f := func(glob, name string, want bool) {
		t.Helper()
		if got := Match(glob, name); got != want {
			t.Errorf("Match(%q, %q) = %v", glob, name, got)
		}
	}
	f("a", "a", true)
	f("a", "b", false)
	f("a", "a/b", false)
	f("*", "a", true)
	f("*", "a/b", false)
	f("a/*", "a/b", true)
	f("a/*", "a", false)
	f("a/*/c", "a/b/c", true)
	f("**", "a", true)
	f("**", "a/b/c", true)
	f("a/**", "a", true)
	f("a/**", "a/b/c", true)
	f("a/**", "ab", false)
	f("**/c", "c", true)
	f("**/c", "a/b/c", true)
	f("**/c", "a/c/b", false)
	f("a/**/c", "a/c", true)
	f("a/**/c", "a/b/b/c", true)
	f("a/**/c", "a/b", false)
	f("a/**/b/**/c", "a/x/b/b/y/c", true)
	f("**/**", "a", true)
	f("a?c", "abc", true)
	f("a?c", "a/c", false)
	f("?", "ä", true)
	f("[a-c]x", "bx", true)
	f("[^a-c]x", "bx", false)
	f("a*b", "a/b", false)
	f(`\*`, "*", true)
	f(`\*`, "a", false)
	f("$sys/**", "$sys/a", true)
	f("", "a", false)
	f("[", "[", false) // malformed patterns match nothing
}

// slowMatch says the same as Match by another way: a regular expression.
func slowMatch(glob, name string) bool {
	var re strings.Builder
	re.WriteString("^")
	for seg := range strings.SplitSeq(glob, "/") {
		if seg == "**" {
			re.WriteString("(?:[^/]*/)*")
			continue
		}
		seg = strings.ReplaceAll(seg, "*", "[^/]*")
		re.WriteString(strings.ReplaceAll(seg, "?", "[^/]") + "/")
	}
	re.WriteString("$")
	return regexp.MustCompile(re.String()).MatchString(name + "/")
}

func TestMatchAgainstModel(t *testing.T) {
	globs := rapid.SliceOfN(rapid.SampledFrom([]string{"**", "*", "a", "b", "?", "a*", "*b", "[ab]", "[a-c]c", "ab?"}), 1, 6)
	names := rapid.SliceOfN(rapid.StringMatching("[abc]{1,3}"), 1, 6)
	rapid.Check(t, func(t *rapid.T) {
		glob := strings.Join(globs.Draw(t, "glob"), "/")
		name := strings.Join(names.Draw(t, "name"), "/")
		if got, want := Match(glob, name), slowMatch(glob, name); got != want {
			t.Fatalf("Match(%q, %q) = %v, the model says %v", glob, name, got, want)
		}
	})
}

// A pattern can come from a client, so that none may take long.
func FuzzMatch(f *testing.F) {
	f.Add("a/**/c", "a/b/c")
	f.Add(strings.Repeat("**/", 80)+"x", strings.Repeat("a/", 120)+"b")
	f.Add("[", "a")
	f.Fuzz(func(t *testing.T, glob, name string) {
		ok := Match(glob, name)
		if err := CheckGlob(glob); ok && err != nil {
			t.Errorf("Match(%q, %q), but CheckGlob says %v", glob, name, err)
		}
		if !strings.ContainsAny(name, `*?[\`) && CheckGlob(name) == nil && !Match(name, name) {
			t.Errorf("%q does not match itself", name)
		}
		if !Match("**", name) {
			t.Errorf("** does not match %q", name)
		}
	})
}

func TestCheckGlob(t *testing.T) {
	for glob, ok := range map[string]bool{"a/**": true, "": true, "[a-z]/*": true, "[": false, "a/[": false, "[a-": false, `\`: false, "a[]b": false, "[a/b]": false} {
		if err := CheckGlob(glob); (err == nil) != ok {
			t.Errorf("CheckGlob(%q) = %v", glob, err)
		}
	}
}

func TestRulesFirstMatchHolds(t *testing.T) {
	rules := Rules{
		{Match: "seats/vip/*", TTL: time.Hour},
		{Match: "seats/**", Create: true, Sync: SyncNever},
		{Match: "seats/vip/**", TTL: time.Minute},
	}
	for name, want := range map[string]Rule{"seats/vip/1": rules[0], "seats/1": rules[1], "seats/vip/1/2": rules[1], "other": {}} {
		if got := rules.For(name); got != want {
			t.Errorf("For(%q) = %+v, want %+v", name, got, want)
		}
	}
	if got := Rules(nil).For("a"); got != (Rule{}) {
		t.Errorf("without rules: %+v", got)
	}
}
