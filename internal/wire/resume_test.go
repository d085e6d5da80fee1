package wire

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"twohop"
)

// list makes n channels that were created within a minute, one of a hundred of
// them long ago, and one that is not there yet.
func list(n int) (names []string, at []twohop.Offset) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same every time
	for i := range n {
		names = append(names, fmt.Sprintf("match/%d/comments", i*7919))
		o := twohop.Offset{Epoch: 1790000000000000 + random.Uint64N(60_000_000), Pos: random.Uint64N(5000)}
		switch i % 100 {
		case 50:
			o.Epoch -= 31_000_000_000_000
		case 51:
			o = twohop.Offset{}
		}
		at = append(at, o)
	}
	return names, at
}

func TestResume(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 100, 1000, 10_000} {
		names, at := list(n)
		r := NewResume(names, at)
		token := r.Append([]byte("before "), at)[len("before "):]
		got, err := ParseResume(nil, token, names)
		if err != nil || !slices.Equal(got, at) {
			t.Fatalf("%d channels: %v", n, err)
		}
		if n >= 100 && len(token) > 10*n {
			t.Errorf("%d channels take %d bytes", n, len(token))
		}
		// The same connection later, when everything is elsewhere.
		for i := range at {
			at[i] = twohop.Offset{Epoch: twohop.MaxPosition - uint64(i), Pos: twohop.MaxPosition} //nolint:gosec // not negative
		}
		token = r.Append(nil, at)
		if got, err = ParseResume(nil, token, names); err != nil || !slices.Equal(got, at) {
			t.Fatalf("%d channels, far away: %v", n, err)
		}
	}
}

func TestResumeRefuses(t *testing.T) {
	names, at := list(60)
	r := NewResume(names, at)
	token := r.Append(nil, at)
	f := func(what string, token []byte, names []string, want string) {
		t.Helper()
		_, err := ParseResume(nil, token, names)
		if code(err) != twohop.CodeInvalidOffset || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	other := slices.Clone(names)
	other[1], other[2] = other[2], other[1]
	f("another order", token, other, "another list")
	f("one channel less", token, names[:59], "another list")
	f("one channel more", token, append(slices.Clone(names), "x"), "another list")
	f("names that are cut elsewhere", tokenOf([]string{"ab", "c"}), []string{"a", "bc"}, "another list")
	f("nothing", nil, names, "none of this server's")
	f("an offset", []byte(at[0].String()), names, "none of this server's")
	f("another version", append([]byte("r2-"), token[3:]...), names, "none of this server's")
	f("the prefix", []byte(tokenPrefix), names, "another list")
	for i := len(tokenPrefix); i < len(token); i++ {
		f(fmt.Sprintf("cut to %d", i), token[:i], names, "resume token")
	}
	f("more after its end", append(slices.Clone(token), "AAAA"...), names, "end where it should")
	f("a line break", append(slices.Clone(token), '\n'), names, "malformed")
	f("padding", append(slices.Clone(token), '='), names, "malformed")
	f("the alphabet with slashes", append(slices.Clone(token), "/+/+"...), names, "malformed")

	short := tokenOf(names[:1])
	f("bits after its end", append(short[:len(short)-1:len(short)-1], short[len(short)-1]+1), names[:1], "malformed")
	f("far too long", append(slices.Clone(token), strings.Repeat("A", 1<<20)...), names, "too long")

	raw := func(numbers ...byte) []byte {
		list := listOf(names[:1])
		return base64.RawURLEncoding.AppendEncode([]byte(tokenPrefix), append(list[:], numbers...))
	}
	if got, err := ParseResume(nil, raw(5, 1, 7), names[:1]); err != nil || got[0] != (twohop.Offset{Epoch: 5, Pos: 7}) {
		t.Fatal(got, err)
	}
	f("a number longer than it has to be", raw(5, 1, 0x87, 0), names[:1], "cut or malformed")
	f("a base longer than it has to be", raw(0x85, 0, 1, 7), names[:1], "cut or malformed")
	f("the beginning of any log in a long form", raw(0, 1, 0), names[:1], "cut or malformed")
	f("an epoch below zero", raw(0, 2, 7), names[:1], "cut or malformed")
	f("a number beyond 64 bits", raw(5, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2), names[:1], "cut or malformed")
	f("a position of 17 digits", raw(append([]byte{5, 1}, binary.AppendUvarint(nil, twohop.MaxPosition+1)...)...), names[:1], "cut or malformed")
	f("an epoch of 17 digits", raw(append(binary.AppendUvarint(nil, twohop.MaxPosition), 3, 1)...), names[:1], "cut or malformed")
}

// tokenOf is a token at the beginning of all channels.
func tokenOf(names []string) []byte {
	at := make([]twohop.Offset, len(names))
	r := NewResume(names, at)
	return r.Append(nil, at)
}

func TestVectorsOfResumeTokens(t *testing.T) {
	for _, v := range load[struct {
		Name, Token, Error string
		Channels           []string
		Offsets            []twohop.Offset
	}](t, "resume_tokens.json") {
		got, err := ParseResume(nil, []byte(v.Token), v.Channels)
		if string(code(err)) != v.Error || err == nil && !slices.Equal(got, v.Offsets) {
			t.Errorf("%s: got %v, %v", v.Name, got, err)
			continue
		}
		if r := NewResume(v.Channels, v.Offsets); err == nil && string(r.Append(nil, v.Offsets)) != v.Token {
			t.Errorf("%s: became %s", v.Name, r.Append(nil, v.Offsets))
		}
	}
}

// Whatever is taken is one way to write offsets, and the only one with its base.
func FuzzParseResume(f *testing.F) {
	for _, n := range []int{0, 1, 3} {
		names, at := list(n)
		r := NewResume(names, at)
		f.Add(string(r.Append(nil, at)), n)
	}
	f.Add("r1-AAAA", 1)
	f.Fuzz(func(t *testing.T, token string, n int) {
		names, _ := list(max(0, min(n, 100)))
		// The fuzzer cannot guess a hash: it is put in.
		head := listOf(names)
		if raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, tokenPrefix)); err == nil && len(raw) >= len(head) {
			copy(raw, head[:])
			token = tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
		}
		at, err := ParseResume(nil, []byte(token), names)
		if err != nil {
			if code(err) != twohop.CodeInvalidOffset {
				t.Fatal(err)
			}
			return
		}
		raw, err := base64.RawURLEncoding.DecodeString(token[len(tokenPrefix):])
		if err != nil {
			t.Fatal(err)
		}
		base, _ := binary.Uvarint(raw[len(head):])
		r := Resume{list: head, base: base}
		if again := r.Append(nil, at); len(at) != len(names) || string(again) != token {
			t.Fatalf("%q became %q", token, again)
		}
	})
}

func BenchmarkResume(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		names, at := list(n)
		r := NewResume(names, at)
		var token []byte
		b.Run(fmt.Sprintf("append/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				token = r.AppendFrom(token[:0], n, func(i int) twohop.Offset { return at[i] })
			}
			b.ReportMetric(float64(len(token))/float64(n), "bytes/channel")
		})
		b.Run(fmt.Sprintf("parse/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			to := make([]twohop.Offset, 0, n)
			for b.Loop() {
				if _, err := ParseResume(to, token, names); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("new/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r = NewResume(names, at)
			}
		})
	}
}
