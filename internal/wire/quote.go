package wire

import (
	"math/bits"
	"unicode/utf8"
)

// appendQuoted appends a text as a JSON string on one line. What is not UTF-8
// becomes U+FFFD.
func appendQuoted[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	from := len(dst)
	dst = append(dst, text...)
	i := plainUntil(dst, from)
	if i == len(dst) {
		return append(dst, '"')
	}
	dst = dst[:i]
	for i -= from; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			dst = appendEscaped(dst, c)
			i++
			continue
		}
		end := min(i+utf8.UTFMax, len(text))
		r, n := utf8.DecodeRuneInString(string(text[i:end]))
		dst = utf8.AppendRune(dst, r)
		i += n
	}
	return append(dst, '"')
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

func appendEscaped(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
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
	return append(dst, c)
}
