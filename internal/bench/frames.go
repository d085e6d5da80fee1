package bench

import (
	"encoding/binary"
	"errors"

	"github.com/gobwas/ws"
)

// frames reads what the server sends on a WebSocket (RFC 6455), without
// extensions, from bytes that come in any pieces. The zero value waits for the
// first frame.
type frames struct {
	head    [10]byte
	headLen int

	op      ws.OpCode
	final   bool  // the frame ends its message
	within  bool  // the frame's header is complete, its payload is not
	left    int64 // of its payload
	message bool  // a message of several frames has begun
	control []byte
}

// messages get what is in frames. Bytes are valid during the call only.
type messages interface {
	gotText(piece []byte, last bool) // of a text message
	gotControl(op ws.OpCode, payload []byte)
}

var (
	errFrameLength = errors.New("a frame of the server has an impossible length")
	errFrameBinary = errors.New("the server sent a binary message")
)

// feed takes bytes.
func (f *frames) feed(p []byte, m messages) error {
	for len(p) > 0 {
		if !f.within {
			n, err := f.header(p)
			if p = p[n:]; err != nil {
				return err
			}
			if !f.within {
				return nil
			}
		}
		n := min(int64(len(p)), f.left)
		piece := p[:n]
		p, f.left = p[n:], f.left-n
		f.within = f.left > 0
		if !f.op.IsControl() {
			m.gotText(piece, f.final && !f.within)
			continue
		}
		if f.control = append(f.control, piece...); !f.within {
			m.gotControl(f.op, f.control)
			f.control = nil
		}
	}
	return nil
}

// header takes bytes of a frame's header, and says how many.
func (f *frames) header(p []byte) (n int, err error) {
	for f.headLen < f.headSize() {
		if n == len(p) {
			return n, nil
		}
		k := copy(f.head[f.headLen:f.headSize()], p[n:])
		n, f.headLen = n+k, f.headLen+k
	}
	b := &f.head
	h := ws.Header{Fin: b[0]&0x80 != 0, Rsv: b[0] >> 4 & 7, OpCode: ws.OpCode(b[0] & 15), Masked: b[1]&0x80 != 0}
	switch f.headLen {
	case 2:
		h.Length = int64(b[1] & 0x7f)
	case 4:
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
	default:
		h.Length = int64(binary.BigEndian.Uint64(b[2:])) //nolint:gosec // the next lines look for what doesn't fit
	}
	f.headLen = 0
	state := ws.StateClientSide
	if f.message {
		state = state.Set(ws.StateFragmented)
	}
	switch err := ws.CheckHeader(h, state); {
	case err != nil:
		return n, err
	case h.Length < 0:
		return n, errFrameLength
	case h.OpCode == ws.OpBinary:
		return n, errFrameBinary
	}
	if !h.OpCode.IsControl() {
		f.message = !h.Fin
	}
	f.op, f.final, f.left, f.within = h.OpCode, h.Fin, h.Length, true
	return n, nil
}

// headSize is how long the header is, as far as it is known.
func (f *frames) headSize() int {
	if f.headLen >= 2 {
		switch f.head[1] & 0x7f {
		case 126:
			return 4
		case 127:
			return 10
		}
	}
	return 2
}

// appendFrame appends a frame of the client, which masks it. Its payload has
// less than 64 KiB.
func appendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	dst = append(dst, 0x80|byte(op))
	if n := len(payload); n < 126 {
		dst = append(dst, 0x80|byte(n))
	} else {
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n)) //nolint:gosec // see above
	}
	mask := ws.NewMask()
	at := len(dst) + len(mask)
	dst = append(append(dst, mask[:]...), payload...)
	ws.Cipher(dst[at:], mask, 0)
	return dst
}
