package twohop

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckName(t *testing.T) {
	for _, s := range []string{
		"a", "a/b", "logs/app", "...", "a..b", "a/.b", "ä/ö", "a b", "$presence/x", "-", "_", "%41", "a\u2028b", strings.Repeat("x", 255),
	} {
		if err := CheckName(s, 255); err != nil {
			t.Errorf("CheckName(%q) = %v", s, err)
		}
	}
	for _, s := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/.", "a/..", "../a", "a/../b", "./a", "a\x00b", "a\nb", "a\x7fb", "a\tb", "\xff", "a/\xc3", strings.Repeat("x", 256),
	} {
		e, ok := errors.AsType[*Error](CheckName(s, 255))
		if !ok || e.Code != CodeInvalidName || e.Message == "" || e.Hint == "" {
			t.Errorf("CheckName(%q) = %+v; want %s", s, e, CodeInvalidName)
		}
	}
}

func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"", "a", "a/b", "..", "a//b", "\xff", "a\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		good := s != "" && len(s) <= 20 && utf8.ValidString(s)
		for seg := range strings.SplitSeq(s, "/") {
			good = good && seg != "" && seg != "." && seg != ".."
		}
		for i := range len(s) {
			good = good && s[i] >= ' ' && s[i] != 0x7f
		}
		if err := CheckName(s, 20); (err == nil) != good {
			t.Errorf("CheckName(%q) = %v", s, err)
		}
	})
}

func TestContentTypes(t *testing.T) {
	json := map[string]bool{"application/json": true, "Application/JSON": true, "application/json; charset=utf-8": true, " application/json ;x=y": true,
		"application/jsonl": false, "text/json": false, "": false, "application/ld+json": false}
	for s, want := range json {
		if got := IsJSON(s); got != want {
			t.Errorf("IsJSON(%q) = %v", s, got)
		}
		if info := (Info{ContentType: s}); info.JSON() != want {
			t.Errorf("JSON of %q = %v", s, info.JSON())
		}
	}
	for s, want := range map[string]bool{"text/plain": true, "TEXT/html; charset=utf-8": true, "application/json": true, "image/png": false, "text": false, "": false} {
		if got := IsText(s); got != want {
			t.Errorf("IsText(%q) = %v", s, got)
		}
	}
	for _, s := range []string{"text/plain", "application/json; charset=utf-8", "text/plain;\tcharset=utf-8", "x/y"} {
		if err := CheckContentType(s); err != nil {
			t.Errorf("CheckContentType(%q) = %v", s, err)
		}
	}
	for _, s := range []string{"", "text", "a/b/c", "/", "text/plain; charset", "text/plain\n", "\r\ntext/plain", "text/plain;\r\n a=\"b\"", "text/plain; a=\"\x7f\""} {
		if e, ok := errors.AsType[*Error](CheckContentType(s)); !ok || e.Code != CodeInvalidContentType {
			t.Errorf("CheckContentType(%q) = %v", s, e)
		}
	}
	same := func(a, b string, want bool) {
		t.Helper()
		if SameContentType(a, b) != want || SameContentType(b, a) != want {
			t.Errorf("SameContentType(%q, %q) is not %v", a, b, want)
		}
	}
	same("text/plain", "Text/Plain ; charset=utf-8", true)
	same("text/plain", "text/html", false)
	same("", "text/plain", false)
}

func TestReserved(t *testing.T) {
	for s, want := range map[string]bool{"$sys": true, "$presence/a": true, "__ds": true, "__ds/x": true, "__dsx": false, "a/$b": false, "a": false} {
		if got := Reserved(s); got != want {
			t.Errorf("Reserved(%q) = %v", s, got)
		}
	}
}

func TestSyncText(t *testing.T) {
	for _, want := range []Sync{SyncAlways, SyncInterval, SyncNever} {
		text, err := want.MarshalText()
		var got Sync
		if err != nil || got.UnmarshalText(text) != nil || got != want {
			t.Errorf("%s comes back as %s, %v", want, got, err)
		}
	}
	var s Sync
	if err := s.UnmarshalText([]byte("sometimes")); err == nil || !strings.Contains(err.Error(), "always, interval or never") {
		t.Errorf("UnmarshalText of nonsense = %v", err)
	}
}
