package twohop

import (
	"cmp"
	"fmt"
)

// OffsetLen is the length of an offset's text.
const OffsetLen = 33

// MaxPosition is the largest epoch or position that an offset's text can hold.
const MaxPosition = 9_999_999_999_999_999

// Offset names a position between two records of one channel: it stands after
// Pos records of the channel's lineage. Epoch is the log epoch of the record
// before it, so an offset of a deleted or replaced log is never taken for one
// of its successor.
//
// The text is the epoch and the position, sixteen decimal digits each, joined
// by an underscore; texts of one channel sort as their offsets do. To clients
// the text is opaque.
//
// The zero Offset stands before the first record of any log.
type Offset struct {
	Epoch, Pos uint64
}

// IsZero reports whether o is the beginning of any log.
func (o Offset) IsZero() bool { return o == Offset{} }

// Compare orders offsets of one channel: -1, 0 or +1.
func (o Offset) Compare(p Offset) int {
	if c := cmp.Compare(o.Epoch, p.Epoch); c != 0 {
		return c
	}
	return cmp.Compare(o.Pos, p.Pos)
}

// AppendTo appends the text of o to b.
func (o Offset) AppendTo(b []byte) []byte {
	var t [OffsetLen]byte
	putDigits(t[:16], o.Epoch)
	t[16] = '_'
	putDigits(t[17:], o.Pos)
	return append(b, t[:]...)
}

// String is the text of o.
func (o Offset) String() string { return string(o.AppendTo(make([]byte, 0, OffsetLen))) }

// MarshalText implements encoding.TextMarshaler.
func (o Offset) MarshalText() ([]byte, error) { return o.AppendTo(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Offset) UnmarshalText(b []byte) (err error) {
	*o, err = ParseOffset(string(b))
	return err
}

// ParseOffset reads the text of an offset. The sentinels "-1" and "now" are not
// offsets; see ParseFrom.
func ParseOffset(s string) (Offset, error) {
	if len(s) == OffsetLen && s[16] == '_' {
		e, ok1 := digits(s[:16])
		p, ok2 := digits(s[17:])
		if ok1 && ok2 {
			return Offset{e, p}, nil
		}
	}
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	return Offset{}, &Error{
		Code:    CodeInvalidOffset,
		Message: fmt.Sprintf("%q is not an offset", s),
		Hint:    "use an offset that the server gave (Stream-Next-Offset), -1 for the start, or now for the tail",
	}
}

func putDigits(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
}

func digits(s string) (v uint64, ok bool) {
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		v = v*10 + uint64(c)
	}
	return v, true
}

// From says where a read begins.
type From struct {
	Kind   FromKind
	Offset Offset // for FromOffset
}

// FromKind tells the ways to say where a read begins.
type FromKind uint8

// The ways to say where a read begins.
const (
	FromStart  FromKind = iota // the oldest record that is there; "-1", or nothing
	FromTail                   // only what comes from now on; "now"
	FromOffset                 // after an offset
)

// ParseFrom reads an offset or one of the sentinels "-1" and "now".
func ParseFrom(s string) (From, error) {
	switch s {
	case "-1":
		return From{}, nil
	case "now":
		return From{Kind: FromTail}, nil
	}
	o, err := ParseOffset(s)
	return From{FromOffset, o}, err
}
