package wire

import (
	"math/bits"
	"unicode/utf8"
)

// appendQuoted appends a text as a JSON string on one line. What is not UTF-8
// becomes U+FFFD.
func appendQuoted(dst []byte, text string) []byte {
	dst = append(dst, '"')
	from := len(dst)
	dst = append(dst, text...)
	i := plainUntil(dst, from)
	if i == len(dst) {
		return append(dst, '"')
	}
	dst = dst[:i]
	for _, r := range text[i-from:] {
		dst = appendEscaped(dst, r)
	}
	return append(dst, '"')
}

// appendQuotedBytes is appendQuoted for much text, which is copied in runs.
func appendQuotedBytes(dst, text []byte) []byte {
	dst = append(dst, '"')
	for i := 0; ; {
		end := plainUntil(text, i)
		dst = append(dst, text[i:end]...)
		if i = end; i == len(text) {
			return append(dst, '"')
		}
		// Characters that are not plain seldom stand alone.
		for i < len(text) && (text[i] >= utf8.RuneSelf || i == end) {
			r, n := utf8.DecodeRune(text[i:])
			dst = appendEscaped(dst, r)
			i += n
		}
	}
}

// plainUntil returns where the first byte at or after i stands that does not
// stand for itself.
func plainUntil(b []byte, i int) int {
	for len(b)-i >= 8 {
		if m := odd(b[i:]) & high; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
		i += 8
	}
	for i < len(b) && b[i] >= ' ' && b[i] < utf8.RuneSelf && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// appendEscaped appends a character of a string.
func appendEscaped(dst []byte, c rune) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', byte(c))
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	if c < ' ' {
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
	return utf8.AppendRune(dst, c)
}
