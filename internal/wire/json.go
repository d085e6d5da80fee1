package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"

	"twohop"
)

// maxDepth bounds the nesting of JSON values, so that readers with a stack can
// read what was published.
const maxDepth = 512

// Records is a body cut into records, as in twohop.Batch.
type Records struct {
	Data []byte
	Ends []uint32
}

// JSONRecords checks that body is one JSON value (RFC 8259, in UTF-8) and cuts
// it into records: the elements of an array, or the value itself. Line breaks
// between tokens become spaces, which keeps each record on one line.
func JSONRecords(body []byte) (Records, error) {
	s := scanner{in: body}
	var r Records
	s.space()
	array := s.pos < len(body) && body[s.pos] == '['
	if array {
		s.pos++
	}
	r.Data = make([]byte, 0, len(body)+1)
	r.Ends = make([]uint32, 0, 1+len(body)/128)
	oneLine := bytes.IndexByte(body, '\n') < 0 && bytes.IndexByte(body, '\r') < 0
	for {
		s.space()
		if array && len(r.Ends) == 0 && s.peek() == ']' {
			break
		}
		from := s.pos
		if err := s.value(0); err != nil {
			return Records{}, err
		}
		if oneLine {
			r.Data = append(r.Data, body[from:s.pos]...)
		} else {
			r.Data = appendOneLine(r.Data, body[from:s.pos])
		}
		r.Data = append(r.Data, ',')
		r.Ends = append(r.Ends, uint32(len(r.Data))) //nolint:gosec // bodies are far smaller than 4 GiB
		s.space()
		if !array || s.peek() != ',' {
			break
		}
		s.pos++
	}
	if array {
		if s.peek() != ']' {
			return Records{}, s.fail("',' or ']'")
		}
		s.pos++
	}
	s.space()
	if s.pos < len(body) {
		return Records{}, s.fail("nothing after the value")
	}
	return r, nil
}

// appendOneLine appends a checked JSON value with spaces for line breaks, which
// can only stand between tokens.
func appendOneLine(dst, v []byte) []byte {
	n := len(dst)
	dst = append(dst, v...)
	for i, c := range dst[n:] {
		if c == '\n' || c == '\r' {
			dst[n+i] = ' '
		}
	}
	return dst
}

// JSONArray appends the records of a JSON batch as an array.
func JSONArray(dst, data []byte) []byte {
	dst = append(dst, '[')
	if len(data) > 0 {
		dst = append(dst, data[:len(data)-1]...)
	}
	return append(dst, ']')
}

// scanner checks JSON text; pos is the byte it stands at.
type scanner struct {
	in  []byte
	pos int
}

func (s *scanner) fail(want string) error {
	got := "end of the body"
	if s.pos < len(s.in) {
		got = fmt.Sprintf("%q", s.in[s.pos])
	}
	return &twohop.Error{Code: twohop.CodeInvalidJSON,
		Message: fmt.Sprintf("byte %d: found %s, expected %s", s.pos, got, want),
		Hint:    "send one JSON value, or an array of values of which each becomes a record"}
}

func (s *scanner) peek() byte {
	if s.pos < len(s.in) {
		return s.in[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.in) && s.in[s.pos] <= ' ' {
		switch s.in[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) value(depth int) error {
	switch c := s.peek(); {
	case c == '"':
		return s.str()
	case c == '{' || c == '[':
		if depth == maxDepth {
			return s.fail(fmt.Sprintf("at most %d levels of nesting", maxDepth))
		}
		return s.group(c == '{', depth+1)
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return s.fail("a JSON value")
}

// group reads an object or an array.
func (s *scanner) group(object bool, depth int) error {
	end, want := byte(']'), "',' or ']'"
	if object {
		end, want = '}', "',' or '}'"
	}
	s.pos++
	s.space()
	if s.peek() == end {
		s.pos++
		return nil
	}
	for {
		s.space()
		if object {
			if s.peek() != '"' {
				return s.fail("a member's name in quotes")
			}
			if err := s.str(); err != nil {
				return err
			}
			s.space()
			if s.peek() != ':' {
				return s.fail("':'")
			}
			s.pos++
			s.space()
		}
		if err := s.value(depth); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case end:
			s.pos++
			return nil
		default:
			return s.fail(want)
		}
	}
}

func (s *scanner) word(w string) error {
	for i := range len(w) {
		if s.peek() != w[i] {
			return s.fail(w)
		}
		s.pos++
	}
	return nil
}

func (s *scanner) digits() bool {
	from := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > from
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return s.fail("a digit")
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return s.fail("a digit")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return s.fail("a digit")
		}
	}
	return nil
}

// plain returns how many of the eight bytes at the start of b stand for
// themselves in a string: ASCII without controls, quote and backslash.
func plain(b []byte) int {
	const (
		ones = 0x0101010101010101
		high = 0x8080808080808080
	)
	x := binary.LittleEndian.Uint64(b)
	quote, slash := x^('"'*ones), x^('\\'*ones)
	// The high bit of a byte is set if the byte is not plain. A borrow can set it
	// wrongly too, but only above one that is set rightly.
	m := x | (x-' '*ones)&^x | (quote-ones)&^quote | (slash-ones)&^slash
	return bits.TrailingZeros64(m&high) / 8
}

func (s *scanner) str() error {
	s.pos++
	for s.pos < len(s.in) {
		for s.pos+8 <= len(s.in) {
			n := plain(s.in[s.pos:])
			s.pos += n
			if n < 8 {
				break
			}
		}
		if s.pos == len(s.in) {
			break
		}
		c := s.in[s.pos]
		switch {
		case c == '"':
			s.pos++
			return nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		case c < ' ':
			return s.fail("an escape for the control character")
		case c < utf8.RuneSelf:
			s.pos++
		default:
			r, n := utf8.DecodeRune(s.in[s.pos:])
			if r == utf8.RuneError && n == 1 {
				return s.fail("UTF-8")
			}
			s.pos += n
		}
	}
	return s.fail("'\"'")
}

func (s *scanner) escape() error {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
		s.pos++
		for range 4 {
			c := s.peek()
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return s.fail("a hexadecimal digit")
			}
			s.pos++
		}
		return nil
	}
	return s.fail("one of \"\\/bfnrtu after '\\'")
}
