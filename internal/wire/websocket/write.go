package websocket

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// AppendTextHeader appends the header of a text message of size bytes, which
// follow it; deflated if they come from Deflate.
func AppendTextHeader(dst []byte, size int, deflated bool) []byte {
	first := byte(0x80 | ws.OpText)
	if deflated {
		first |= rsvDeflate << 4
	}
	switch {
	case size < 126:
		return append(dst, first, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(size))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(size)) //nolint:gosec // a size is not negative
}

// AppendText appends a text message.
func AppendText(dst, text []byte) []byte {
	return append(AppendTextHeader(dst, len(text), false), text...)
}

// AppendTextFrom appends as a text message what fill appends.
func AppendTextFrom(dst []byte, fill func(dst []byte) []byte) []byte {
	const room = 4 // fits most messages: the others are moved
	at := len(dst)
	dst = fill(append(dst, 0, 0, 0, 0))
	var h [10]byte
	header := AppendTextHeader(h[:0], len(dst)-at-room, false)
	switch d := len(header) - room; {
	case d > 0:
		dst = append(dst, h[:d]...)
		copy(dst[at+len(header):], dst[at+room:len(dst)-d])
	case d < 0:
		copy(dst[at+len(header):], dst[at+room:])
		dst = dst[:len(dst)+d]
	}
	copy(dst[at:], header)
	return dst
}

// AppendPong appends the answer to a ping with the same payload.
func AppendPong(dst, payload []byte) []byte { return appendControl(dst, ws.OpPong, payload) }

// AppendClose appends a close frame; a reason that is too long is cut. With
// CodeNone it is empty.
func AppendClose(dst []byte, code uint16, reason string) []byte {
	if code == CodeNone {
		return appendControl(dst, ws.OpClose, nil)
	}
	if len(reason) > maxControl-2 {
		reason = reason[:maxControl-2]
		for r, n := utf8.DecodeLastRuneInString(reason); r == utf8.RuneError && n == 1; r, n = utf8.DecodeLastRuneInString(reason) {
			reason = reason[:len(reason)-1]
		}
	}
	dst = append(dst, 0x80|byte(ws.OpClose), byte(2+len(reason)))
	return append(binary.BigEndian.AppendUint16(dst, code), reason...)
}

const maxControl = ws.MaxControlFramePayloadSize

// appendControl appends a control frame, whose payload a peer sent and is
// therefore short enough.
func appendControl(dst []byte, op ws.OpCode, payload []byte) []byte {
	payload = payload[:min(len(payload), maxControl)]
	return append(append(dst, 0x80|byte(op), byte(len(payload))), payload...)
}
