package twohop

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestOffsetText(t *testing.T) {
	f := func(o Offset, want string) {
		t.Helper()
		if got := o.String(); got != want {
			t.Errorf("%+v is %q, want %q", o, got, want)
		}
		if got, err := ParseOffset(want); err != nil || got != o {
			t.Errorf("ParseOffset(%q) = %+v, %v; want %+v", want, got, err, o)
		}
	}
	f(Offset{}, "0000000000000000_0000000000000000")
	f(Offset{1, 2}, "0000000000000001_0000000000000002")
	f(Offset{1790000000000000, 7}, "1790000000000000_0000000000000007")
	f(Offset{MaxPosition, MaxPosition}, "9999999999999999_9999999999999999")
}

func TestParseOffsetRefuses(t *testing.T) {
	good := Offset{1, 2}.String()
	for _, s := range []string{
		"", "0", "-1", "now", good[1:], good + "0", good[:32], strings.Replace(good, "_", "-", 1), strings.Replace(good, "2", "x", 1),
		strings.Replace(good, "1", "+", 1), strings.Replace(good, "2", "/", 1), strings.Replace(good, "2", ":", 1),
		"000000000000001_00000000000000002", " " + good[1:], strings.Repeat("0", 10_000), "０000000000000_0000000000000000",
	} {
		o, err := ParseOffset(s)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != CodeInvalidOffset || o != (Offset{}) {
			t.Errorf("ParseOffset(%.50q) = %v, %v; want %s", s, o, err, CodeInvalidOffset)
			continue
		}
		if e.Hint == "" || len(e.Message) > 400 {
			t.Errorf("ParseOffset(%.50q) says %.500q, %q", s, e.Message, e.Hint)
		}
	}
}

func TestParseFrom(t *testing.T) {
	o := Offset{3, 4}
	for s, want := range map[string]From{"-1": {}, "now": {Kind: FromTail}, o.String(): {FromOffset, o}} {
		if got, err := ParseFrom(s); err != nil || got != want {
			t.Errorf("ParseFrom(%q) = %+v, %v; want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-2", "NOW", " now"} {
		if got, err := ParseFrom(s); err == nil {
			t.Errorf("ParseFrom(%q) = %+v; want an error", s, got)
		}
	}
}

// Texts sort as their offsets do, and round-trip in every form.
func TestOffsetOrder(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) Offset {
		n := rapid.OneOf(rapid.Uint64Range(0, 20), rapid.Uint64Range(0, MaxPosition))
		return Offset{n.Draw(t, "epoch"), n.Draw(t, "position")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		if got := strings.Compare(a.String(), b.String()); got != a.Compare(b) || a.Compare(b) != -b.Compare(a) {
			t.Fatalf("texts compare %d, offsets %d and %d", got, a.Compare(b), b.Compare(a))
		}
		text, err := a.MarshalText()
		if err != nil || len(text) != OffsetLen || !slices.Equal(a.AppendTo([]byte("x")), append([]byte("x"), text...)) {
			t.Fatalf("MarshalText = %q, %v", text, err)
		}
		var back Offset
		if err := back.UnmarshalText(text); err != nil || back != a {
			t.Fatalf("UnmarshalText(%q) = %v, %v", text, back, err)
		}
		if a.IsZero() != (a == Offset{}) {
			t.Fatalf("IsZero = %v", a.IsZero())
		}
	})
}

func FuzzParseOffset(f *testing.F) {
	for _, s := range []string{"", "-1", "now", "0000000000000000_0000000000000000", "9999999999999999_9999999999999999", "1790000000000000_000000000000007x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := ParseOffset(s)
		if err != nil {
			if o != (Offset{}) {
				t.Errorf("ParseOffset(%q) = %v and %v", s, o, err)
			}
			return
		}
		if o.String() != s {
			t.Errorf("ParseOffset(%q) is of the offset %q", s, o)
		}
		if o.Epoch > MaxPosition || o.Pos > MaxPosition {
			t.Errorf("ParseOffset(%q) = %+v", s, o)
		}
	})
}

func BenchmarkParseOffset(b *testing.B) {
	s := Offset{1790000000000000, 7}.String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseOffset(s); err != nil {
			b.Fatal(err)
		}
	}
}
