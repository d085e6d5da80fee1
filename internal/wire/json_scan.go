package wire

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"

	"twohop"
)

// maxDepth bounds the nesting of JSON values, so that readers with a stack can
// read what was published.
const maxDepth = 512

// scanner checks JSON text. Its methods take the position where something
// begins and return the one after it, or -1 with err set.
type scanner struct {
	in     []byte
	broken bool // there was a line break between tokens
	err    error
}

func (s *scanner) fail(i int, want string) int {
	got := "end of the body"
	if i < len(s.in) {
		got = fmt.Sprintf("%q", s.in[i])
	}
	s.err = &twohop.Error{Code: twohop.CodeInvalidJSON,
		Message: fmt.Sprintf("byte %d: found %s, expected %s", i, got, want),
		Hint:    "send one JSON value, or an array of values of which each becomes a record"}
	return -1
}

// at is the byte at i, or 0 at the end.
func (s *scanner) at(i int) byte {
	if i < len(s.in) {
		return s.in[i]
	}
	return 0
}

func (s *scanner) space(i int) int {
	for ; i < len(s.in); i++ {
		switch s.in[i] {
		case ' ', '\t':
		case '\n', '\r':
			s.broken = true
		default:
			return i
		}
	}
	return i
}

// next is space for where there seldom is any.
func (s *scanner) next(i int) int {
	if i < len(s.in) && s.in[i] > ' ' {
		return i
	}
	return s.space(i)
}

func (s *scanner) value(i, depth int) int {
	switch c := s.at(i); c {
	case '"':
		return s.str(i + 1)
	case '{', '[':
		if depth == maxDepth {
			return s.fail(i, fmt.Sprintf("at most %d levels of nesting", maxDepth))
		}
		if c == '{' {
			return s.object(i+1, depth+1)
		}
		return s.array(i+1, depth+1)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.number(i)
	case 't':
		return s.word(i, "true")
	case 'f':
		return s.word(i, "false")
	case 'n':
		return s.word(i, "null")
	}
	return s.fail(i, "a JSON value")
}

func (s *scanner) object(i, depth int) int {
	if i = s.next(i); s.at(i) == '}' {
		return i + 1
	}
	for {
		if s.at(i) != '"' {
			return s.fail(i, "a member's name in quotes")
		}
		if i = s.str(i + 1); i < 0 {
			return i
		}
		if i = s.next(i); s.at(i) != ':' {
			return s.fail(i, "':'")
		}
		if i = s.next(i + 1); s.at(i) == '"' {
			i = s.str(i + 1)
		} else {
			i = s.value(i, depth)
		}
		if i < 0 {
			return i
		}
		i = s.next(i)
		switch s.at(i) {
		case ',':
			i = s.next(i + 1)
		case '}':
			return i + 1
		default:
			return s.fail(i, "',' or '}'")
		}
	}
}

func (s *scanner) array(i, depth int) int {
	if i = s.next(i); s.at(i) == ']' {
		return i + 1
	}
	for {
		if i = s.value(i, depth); i < 0 {
			return i
		}
		i = s.next(i)
		switch s.at(i) {
		case ',':
			i = s.next(i + 1)
		case ']':
			return i + 1
		default:
			return s.fail(i, "',' or ']'")
		}
	}
}

func (s *scanner) word(i int, w string) int {
	for k := range len(w) {
		if s.at(i) != w[k] {
			return s.fail(i, w)
		}
		i++
	}
	return i
}

// digits returns where the digits from i on end; there has to be one.
func (s *scanner) digits(i int) int {
	from := i
	for i < len(s.in) && s.in[i]-'0' < 10 {
		i++
	}
	if i == from {
		return s.fail(i, "a digit")
	}
	return i
}

func (s *scanner) number(i int) int {
	if s.in[i] == '-' {
		i++
	}
	if s.at(i) == '0' {
		i++
	} else if i = s.digits(i); i < 0 {
		return i
	}
	if s.at(i) == '.' {
		if i = s.digits(i + 1); i < 0 {
			return i
		}
	}
	if c := s.at(i); c == 'e' || c == 'E' {
		i++
		if c := s.at(i); c == '+' || c == '-' {
			i++
		}
		return s.digits(i)
	}
	return i
}

const (
	ones = 0x0101010101010101
	high = 0x80 * ones
)

// odd marks the bytes that do not stand for themselves in a string: quote,
// backslash, controls, and all that are not ASCII. It sets the high bit of such
// a byte. Above one it may mark others too, and it leaves other bits behind.
func odd(b []byte) uint64 {
	x := binary.LittleEndian.Uint64(b)
	// With its second bit flipped the quote is the one right after the controls.
	return x | (x ^ 2*ones - 0x21*ones) | (x ^ '\\'*ones - ones)
}

// str checks the string of which i is the first byte after the quote.
func (s *scanner) str(i int) int {
	in := s.in
	for {
		if i = ordinary(in, i); i == len(in) {
			return s.fail(i, "'\"'")
		}
		switch c := in[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = s.escape(i + 1); i < 0 {
				return i
			}
		case c < ' ':
			return s.fail(i, "an escape for the control character")
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(in[i:])
			if r == utf8.RuneError && n == 1 {
				return s.fail(i, "UTF-8")
			}
			i += n
		}
	}
}

// ordinary is the position of the first byte from i on that may not stand for
// itself in a string, or the length of in.
func ordinary(in []byte, i int) int {
	for len(in)-i >= 32 {
		p := (*[32]byte)(in[i:])
		a, b, c, d := odd(p[:8])&high, odd(p[8:16])&high, odd(p[16:24])&high, odd(p[24:])&high
		if a|b|c|d == 0 {
			i += 32
			continue
		}
		switch {
		case a != 0:
			return i + bits.TrailingZeros64(a)/8
		case b != 0:
			return i + 8 + bits.TrailingZeros64(b)/8
		case c != 0:
			return i + 16 + bits.TrailingZeros64(c)/8
		}
		return i + 24 + bits.TrailingZeros64(d)/8
	}
	for len(in)-i >= 8 {
		if m := odd(in[i:]) & high; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
		i += 8
	}
	for i < len(in) && in[i] != '"' && in[i] != '\\' && in[i] >= ' ' && in[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// escape checks what follows a backslash.
func (s *scanner) escape(i int) int {
	switch s.at(i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for range 4 {
			i++
			c := s.at(i)
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return s.fail(i, "a hexadecimal digit")
			}
		}
		return i + 1
	}
	return s.fail(i, "one of \"\\/bfnrtu after '\\'")
}
