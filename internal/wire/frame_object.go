package wire

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// member is a member that some frame has.
type member uint8

const (
	mNone member = iota
	mType
	mID
	mChannel
	mChannels
	mOffset
	mTailRecords
	mSince
	mBudget
	mEncoding
	mRecords
	mText
	mBase64
	mContentType
	mIdempotencyKey
	mIfMatch
	mProducer
	mClose
	mToken
	mEpoch
	mSeq
	mLive
	mResume
	members
)

var memberNames = [members]string{"", "type", "id", "channel", "channels", "offset", "tailRecords", "since", "budget", "encoding",
	"records", "text", "base64", "contentType", "idempotencyKey", "ifMatch", "producer", "close", "token", "epoch", "seq", "live", "resume"}

func (m member) String() string { return memberNames[m] }

// memberOf finds a name. Few names share a length.
func memberOf(name []byte) member {
	if len(name) >= len(membersBySize) {
		return mNone
	}
	for _, m := range membersBySize[len(name)] {
		if string(name) == memberNames[m] {
			return m
		}
	}
	return mNone
}

var membersBySize = func() (t [16][]member) {
	for m := mNone + 1; m < members; m++ {
		n := len(memberNames[m])
		t[n] = append(t[n], m)
	}
	return t
}()

// object holds the values of a JSON object's known members, as JSON. Those that
// are missing or null are nil.
type object struct{ v [members][]byte }

// read takes an object, with nothing but space around it.
func (o *object) read(b []byte) error {
	s := scanner{in: b}
	i := s.space(0)
	if s.at(i) != '{' {
		return noFrame("the message is no JSON object")
	}
	i = s.next(i + 1)
	var seen uint32
	for n := 0; n > 0 || s.at(i) != '}'; n++ {
		if s.at(i) != '"' {
			s.fail(i, "a member's name in quotes")
			return s.err
		}
		from := i
		if i = s.str(i + 1); i < 0 {
			return s.err
		}
		name := b[from+1 : i-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			name = []byte(unquote(b[from:i]))
		}
		if i = s.next(i); s.at(i) != ':' {
			s.fail(i, "':'")
			return s.err
		}
		from = s.next(i + 1)
		if i = s.value(from, 1); i < 0 {
			return s.err
		}
		if m := memberOf(name); m != mNone {
			if seen&(1<<m) != 0 {
				return noFrame(m.String() + " is given twice")
			}
			seen |= 1 << m
			if b[from] != 'n' {
				o.v[m] = b[from:i:i]
			}
		}
		i = s.next(i)
		if s.at(i) == '}' {
			break
		}
		if s.at(i) != ',' {
			s.fail(i, "',' or '}'")
			return s.err
		}
		i = s.next(i + 1)
	}
	if i = s.space(i + 1); i < len(b) {
		s.fail(i, "nothing after the value")
		return s.err
	}
	return nil
}

// elements calls f with each element of an array that was scanned already.
func elements(m member, v []byte, f func(v []byte) error) error {
	if v[0] != '[' {
		return noFrame(m.String() + " has to be an array")
	}
	s := scanner{in: v}
	for i := s.next(1); s.at(i) != ']'; {
		from := i
		if i = s.value(i, 1); i < 0 {
			return s.err
		}
		if err := f(v[from:i:i]); err != nil {
			return err
		}
		if i = s.next(i); s.at(i) == ',' {
			i = s.next(i + 1)
		}
	}
	return nil
}

func wrongType(m member, want string) error {
	return noFrame(fmt.Sprintf("%s has to be %s", m, want))
}

// text is a member that has to be a string.
func (o *object) text(m member) (s string, has bool, err error) {
	v := o.v[m]
	switch {
	case v == nil:
		return "", false, nil
	case v[0] != '"':
		return "", false, wrongType(m, "a string")
	}
	return unquote(v), true, nil
}

// flag is a member that has to be a boolean.
func (o *object) flag(m member) (bool, error) {
	switch v := o.v[m]; {
	case v == nil || v[0] == 'f':
		return false, nil
	case v[0] == 't':
		return true, nil
	}
	return false, wrongType(m, "true or false")
}

// number is a member that has to be an integer.
func (o *object) number(m member) (n int64, has bool, err error) {
	v := o.v[m]
	if v == nil {
		return 0, false, nil
	}
	n, ok := integer(v)
	if !ok {
		return 0, false, wrongType(m, "an integer")
	}
	return n, true, nil
}

// maxSafe is the largest integer that every JSON reader keeps exactly.
const maxSafe = 1<<53 - 1

// integer reads a JSON number without fraction and exponent. One beyond
// maxSafe becomes maxSafe+1, of either sign.
func integer(v []byte) (n int64, ok bool) {
	digits, minus := v, v[0] == '-'
	if minus {
		digits = v[1:]
	}
	for _, c := range digits {
		if c -= '0'; c > 9 {
			return 0, false
		}
		n = min(n*10+int64(c), maxSafe+1)
	}
	if minus {
		n = -n
	}
	return n, len(digits) > 0
}

// unquote decodes a JSON string that was scanned already. Halves of a character
// that the other half is missing of become U+FFFD.
func unquote(v []byte) string {
	v = v[1 : len(v)-1]
	i := bytes.IndexByte(v, '\\')
	if i < 0 {
		return string(v)
	}
	return string(unescape(make([]byte, 0, len(v)), v, i))
}

// unescape appends the text of v, whose first escape is at i.
func unescape(dst, v []byte, i int) []byte {
	for i >= 0 {
		dst = append(dst, v[:i]...)
		c := v[i+1]
		v = v[i+2:]
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(v)
			v = v[4:]
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if len(v) >= 6 && v[0] == '\\' && v[1] == 'u' {
					pair = utf16.DecodeRune(r, hex4(v[2:]))
				}
				if r = pair; r != utf8.RuneError {
					v = v[6:]
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
		i = bytes.IndexByte(v, '\\')
	}
	return append(dst, v...)
}

func hex4(v []byte) (r rune) {
	for _, c := range v[:4] {
		switch {
		case c <= '9':
			c -= '0'
		case c <= 'F':
			c -= 'A' - 10
		default:
			c -= 'a' - 10
		}
		r = r<<4 | rune(c)
	}
	return r
}
