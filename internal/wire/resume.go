package wire

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"

	"twohop"
)

// A resume token (PROTOCOL.md section 9) is
//
//	"r1-" base64url( list[8] base offset... )
//
// list is the beginning of the SHA-256 of the channels' names in their order,
// each after its length as a varint; base is an epoch, as a varint. An offset is
// a zero byte for the beginning of any log, else two varints: its epoch's
// distance from the base, in zigzag and plus one, and its position. Each offset
// stands for itself, so that one old channel costs the others nothing.
const tokenPrefix = "r1-"

// Resume makes the tokens of one list of channels. It is the same for all
// tokens of a connection.
type Resume struct {
	list [8]byte
	base uint64
}

// NewResume makes tokens for channels, of which at are offsets near those that
// will go into the tokens.
func NewResume(channels []string, at []twohop.Offset) Resume {
	return Resume{list: listOf(channels), base: middle(at)}
}

func listOf(channels []string) (list [8]byte) {
	h := sha256.New()
	var b []byte
	for _, c := range channels {
		b = append(binary.AppendUvarint(b[:0], uint64(len(c))), c...)
		_, _ = h.Write(b)
	}
	h.Sum(b[:0])
	return [8]byte(h.Sum(b[:0]))
}

// middle is the median of the epochs that there are.
func middle(at []twohop.Offset) uint64 {
	epochs := make([]uint64, 0, len(at))
	for _, o := range at {
		if o.Epoch > 0 {
			epochs = append(epochs, o.Epoch)
		}
	}
	if len(epochs) == 0 {
		return 0
	}
	slices.Sort(epochs)
	return epochs[len(epochs)/2]
}

// Append appends the token of a client that stands at these offsets, in the
// order of the channels.
func (r *Resume) Append(dst []byte, at []twohop.Offset) []byte {
	return r.AppendFrom(dst, len(at), func(i int) twohop.Offset { return at[i] })
}

// AppendFrom is Append of n offsets.
func (r *Resume) AppendFrom(dst []byte, n int, at func(i int) twohop.Offset) []byte {
	dst = append(dst, tokenPrefix...)
	// The bytes are encoded as they come, in whole groups of three.
	var buf [3*64 + 2*binary.MaxVarintLen64]byte
	b := binary.AppendUvarint(append(buf[:0], r.list[:]...), r.base)
	for i := range n {
		b = r.appendOffset(b, at(i))
		if len(b) >= 3*64 {
			whole := len(b) - len(b)%3
			dst = base64.RawURLEncoding.AppendEncode(dst, b[:whole])
			b = buf[:copy(buf[:], b[whole:])]
		}
	}
	return base64.RawURLEncoding.AppendEncode(dst, b)
}

func (r *Resume) appendOffset(b []byte, o twohop.Offset) []byte {
	if o.IsZero() {
		return append(b, 0)
	}
	d := int64(o.Epoch) - int64(r.base)                                               //nolint:gosec // epochs have 16 digits
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(d<<1^d>>63)+1), o.Pos) //nolint:gosec // zigzag
}

// ParseResume reads a token of these channels and appends their offsets to dst.
func ParseResume(dst []twohop.Offset, token []byte, channels []string) ([]twohop.Offset, error) {
	if len(token) < len(tokenPrefix) || string(token[:len(tokenPrefix)]) != tokenPrefix {
		return dst, badToken("the resume token is none of this server's")
	}
	text := token[len(tokenPrefix):]
	// Decoders of base64 skip line breaks.
	if slices.Contains(text, '\n') || slices.Contains(text, '\r') {
		return dst, badToken("the resume token is malformed")
	}
	if most := (len(channels)+2)*2*binary.MaxVarintLen64*4/3 + 8; len(text) > most {
		return dst, badToken("the resume token is too long for this list of channels")
	}
	b, err := base64.RawURLEncoding.Strict().AppendDecode(make([]byte, 0, len(text)*3/4+1), text)
	if err != nil {
		return dst, badToken("the resume token is malformed")
	}
	if list := listOf(channels); len(b) < len(list) || [8]byte(b) != list {
		return dst, badToken("the resume token is of another list of channels")
	}
	v := varints{b: b[8:]}
	base := v.next()
	for range channels {
		d := v.next()
		if d == 0 {
			dst = append(dst, twohop.Offset{})
			continue
		}
		d--
		epoch := base + uint64(int64(d>>1)^-int64(d&1)) //nolint:gosec // zigzag
		pos := v.next()
		if epoch > twohop.MaxPosition || pos > twohop.MaxPosition || epoch == 0 && pos == 0 {
			v.bad = true
		}
		dst = append(dst, twohop.Offset{Epoch: epoch, Pos: pos})
	}
	switch {
	case v.bad || base > twohop.MaxPosition:
		return dst, badToken("the resume token is cut or malformed")
	case len(v.b) > 0:
		return dst, badToken("the resume token does not end where it should")
	}
	return dst, nil
}

// varints are read one by one; a bad one makes all that follow zero.
type varints struct {
	b   []byte
	bad bool
}

func (v *varints) next() uint64 {
	x, n := binary.Uvarint(v.b)
	if n <= 0 || n > 1 && v.b[n-1] == 0 { // cut, too large, or longer than it has to be
		v.bad, v.b = true, nil
		return 0
	}
	v.b = v.b[n:]
	return x
}

func badToken(message string) error {
	return &twohop.Error{Code: twohop.CodeInvalidOffset, Message: message,
		Hint: "give a token back with the same channels in the same order, or give each channel's own offset instead"}
}
