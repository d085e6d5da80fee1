package wire

import "bytes"

// Request is the head of a plain HTTP/1.1 request. Its slices point into the
// bytes that were parsed.
type Request struct {
	Method, Path, Query []byte
	Fields              [maxFields]Field
	N                   int // of Fields
	ContentLength       int // 0 when there is none
	Close               bool
}

// Field is one header field, its name as it came.
type Field struct{ Name, Value []byte }

const maxFields = 40

// Verdict is what a parser makes of its input.
type Verdict uint8

// The verdicts.
const (
	Plain   Verdict = iota // understood wholly
	Partial                // so far so good, but the end is missing
	Unusual                // anything else, good or bad: for a full HTTP server to judge
	Upgrade                // as Plain, but it asks for another protocol, and has no body
)

// ParseRequest reads the head of a request from the start of b and returns its
// length. It accepts a strict part of RFC 9112: one line break form, no
// folding, fields made of visible characters, a target that needs no
// normalising, no transfer coding, no expectation. Everything else is Unusual,
// never guessed at: whoever parses it next sees the same bytes. A request with
// the fields Upgrade and Connection: Upgrade is told apart from plain ones.
func ParseRequest(b []byte, r *Request) (int, Verdict) {
	r.N, r.ContentLength, r.Close = 0, 0, false
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return 0, partialLine(b)
	}
	if v := r.line(b[:end]); v != Plain {
		return 0, v
	}
	host, lengths, upgrades, options := 0, 0, 0, 0
	for pos := end + 1; ; {
		end := bytes.IndexByte(b[pos:], '\n')
		if end < 0 {
			return 0, partialLine(b[pos:])
		}
		if end == 0 || b[pos+end-1] != '\r' {
			return 0, Unusual
		}
		line := b[pos : pos+end-1]
		pos += end + 1
		if len(line) == 0 {
			if host != 1 || lengths > 1 {
				return 0, Unusual
			}
			switch {
			case upgrades == 0 && options == 0:
				return pos, Plain
			case upgrades == 1 && options == 1 && r.ContentLength == 0 && !r.Close:
				return pos, Upgrade
			}
			return 0, Unusual
		}
		if r.N == maxFields {
			return 0, Unusual
		}
		f := &r.Fields[r.N]
		if !f.parse(line) {
			return 0, Unusual
		}
		r.N++
		switch f.kind() {
		case fieldHost:
			host++
		case fieldLength:
			lengths++
			if !r.length(f.Value) {
				return 0, Unusual
			}
		case fieldConnection:
			if equalFold(f.Value, "close") {
				r.Close = true
			} else if equalFold(f.Value, "upgrade") || equalFold(f.Value, "keep-alive, upgrade") {
				options++
			} else if !equalFold(f.Value, "keep-alive") {
				return 0, Unusual
			}
		case fieldUpgrade:
			upgrades++
		case fieldHard:
			return 0, Unusual
		case fieldOther:
		}
	}
}

const maxLine = 8 << 10

func partialLine(b []byte) Verdict {
	if len(b) > maxLine {
		return Unusual
	}
	return Partial
}

// line reads "METHOD /path?query HTTP/1.1\r".
func (r *Request) line(b []byte) Verdict {
	const tail = " HTTP/1.1\r"
	if len(b) < len(tail) || string(b[len(b)-len(tail):]) != tail {
		return Unusual
	}
	b = b[:len(b)-len(tail)]
	sp := bytes.IndexByte(b, ' ')
	if sp <= 0 || sp+1 == len(b) || b[sp+1] != '/' {
		return Unusual
	}
	r.Method = b[:sp]
	for _, c := range r.Method {
		if c < 'A' || c > 'Z' {
			return Unusual
		}
	}
	target := b[sp+1:]
	r.Path, r.Query = target, nil
	for i, c := range target {
		if c == '?' && r.Query == nil {
			r.Path, r.Query = target[:i], target[i+1:]
			continue
		}
		if !targetByte[c] {
			return Unusual
		}
	}
	return Plain
}

// targetByte are the bytes that stand for themselves in paths and queries, and
// that no server gives another meaning to: no percent escapes, no plus.
var targetByte = func() (t [256]bool) {
	for _, c := range []byte("/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~=&:,@!$") {
		t[c] = true
	}
	return t
}()

// tokenByte are the bytes of field names (RFC 9110 5.6.2).
var tokenByte = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()

func (f *Field) parse(line []byte) bool {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return false
	}
	for _, c := range line[:colon] {
		if !tokenByte[c] {
			return false
		}
	}
	v := line[colon+1:]
	for len(v) > 0 && v[0] == ' ' {
		v = v[1:]
	}
	for len(v) > 0 && v[len(v)-1] == ' ' {
		v = v[:len(v)-1]
	}
	for _, c := range v {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	f.Name, f.Value = line[:colon], v
	return true
}

type fieldKind uint8

const (
	fieldOther fieldKind = iota
	fieldHost
	fieldLength
	fieldConnection
	fieldUpgrade
	fieldHard // changes how the message is read or answered
)

func (f *Field) kind() fieldKind {
	switch len(f.Name) {
	case 2:
		if equalFold(f.Name, "te") {
			return fieldHard
		}
	case 4:
		if equalFold(f.Name, "host") {
			return fieldHost
		}
	case 6:
		if equalFold(f.Name, "expect") {
			return fieldHard
		}
	case 7:
		if equalFold(f.Name, "upgrade") {
			return fieldUpgrade
		}
		if equalFold(f.Name, "trailer") {
			return fieldHard
		}
	case 10:
		if equalFold(f.Name, "connection") {
			return fieldConnection
		}
	case 14:
		if equalFold(f.Name, "content-length") {
			return fieldLength
		}
	case 16:
		if equalFold(f.Name, "content-encoding") {
			return fieldHard
		}
	case 17:
		if equalFold(f.Name, "transfer-encoding") {
			return fieldHard
		}
	}
	return fieldOther
}

func (r *Request) length(v []byte) bool {
	if len(v) == 0 || len(v) > 9 {
		return false
	}
	n := 0
	for _, c := range v {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	r.ContentLength = n
	return true
}

// equalFold compares with a lower-case ASCII word.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Is reports whether the field has a name, given in lower case.
func (f *Field) Is(lower string) bool { return equalFold(f.Name, lower) }
