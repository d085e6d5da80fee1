package websocket

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Kind is what a message is.
type Kind uint8

// The kinds of messages. Binary messages are refused.
const (
	None  Kind = iota // all bytes were taken, and no message is complete
	Text              // a frame of twohop, in UTF-8
	Ping              // to be answered by a Pong with the same payload
	Pong              // answers a Ping; nothing to do
	Close             // the client ends the connection
)

// Message is a message of the client. Its payload may be a part of the bytes
// that were read, and holds only until they are overwritten or Next is called
// again.
type Message struct {
	Kind    Kind
	Code    uint16 // of Close, CodeNone if the client gave none
	Payload []byte // of Close: the reason
}

// Reader makes messages of the bytes of one connection. Its zero value is ready
// for a connection without compression. While no message is incomplete it holds
// nothing.
type Reader struct {
	Deflate bool // permessage-deflate was agreed on

	part *partial
}

// partial is what is there of a message.
type partial struct {
	head  [ws.MaxHeaderSize]byte
	heads int // bytes of a header that is not complete

	frame bool // a frame's payload is not complete
	h     ws.Header
	pos   int // bytes of its payload that are there

	message bool // a text message has begun
	deflate bool // and it is compressed
	text    []byte
	checked int    // bytes of text that are known to be UTF-8
	control []byte // payload of a control frame between or within them
}

// Idle reports whether no message is incomplete.
func (r *Reader) Idle() bool { return r.part == nil }

// Next takes bytes from the start of b, up to the end of a message, and returns
// that message and how many bytes it took; with None it took all. It unmasks
// within b. A text message of more than limit bytes, whether declared, summed up
// or decompressed, is refused.
//
// After an error, and after Close, nothing more can be read.
func (r *Reader) Next(b []byte, limit int) (m Message, n int, err error) {
	for {
		if r.part == nil || !r.part.frame {
			h, size, err := r.header(b[n:], limit)
			if err != nil {
				return Message{}, n, err
			}
			n += size
			if h.OpCode == incomplete {
				return Message{}, n, nil
			}
			if r.part == nil && h.Fin && h.Length <= int64(len(b)-n) {
				// The usual case: one whole frame, read where it stands.
				payload := b[n : n+int(h.Length)]
				ws.Cipher(payload, h.Mask, 0)
				m, err = r.whole(h, payload, limit)
				return m, n + len(payload), err
			}
			r.begin(h)
		}
		took, done, err := r.payload(b[n:], limit)
		n += took
		if err != nil || !done {
			return Message{}, n, err
		}
		if m, err = r.end(limit); err != nil || m.Kind != None {
			return m, n, err
		}
	}
}

// incomplete stands for an opcode that is not there yet.
const incomplete ws.OpCode = 0xff

// header takes a frame's header from the start of b and judges it.
func (r *Reader) header(b []byte, limit int) (h ws.Header, n int, err error) {
	p := r.part
	had := 0
	if p != nil && p.heads > 0 {
		had = p.heads
		b = append(p.head[:had], b[:min(len(b), len(p.head)-had)]...)
	}
	h, n, err = parseHeader(b)
	if err != nil {
		return h, 0, err
	}
	if n == 0 {
		if len(b) > had {
			if p == nil {
				p = &partial{}
				r.part = p
			}
			p.heads = copy(p.head[:], b)
		}
		h.OpCode = incomplete
		return h, len(b) - had, nil
	}
	if p != nil {
		p.heads = 0
	}
	if had > 0 && !p.message {
		r.part = nil
	}
	return h, n - had, r.judge(&h, limit)
}

// parseHeader reads a header; n is 0 if it is not complete.
func parseHeader(b []byte) (h ws.Header, n int, err error) {
	if len(b) < 2 {
		return h, 0, nil
	}
	h.Fin, h.Rsv, h.OpCode = b[0]&0x80 != 0, b[0]>>4&7, ws.OpCode(b[0]&15)
	h.Masked, h.Length = b[1]&0x80 != 0, int64(b[1]&0x7f)
	n = 2
	switch h.Length {
	case 126:
		if n = 4; len(b) < n {
			return h, 0, nil
		}
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
		if h.Length < 126 {
			return h, 0, errLength
		}
	case 127:
		if n = 10; len(b) < n {
			return h, 0, nil
		}
		h.Length = int64(binary.BigEndian.Uint64(b[2:])) //nolint:gosec // the next line looks for what doesn't fit
		if h.Length < 1<<16 {
			return h, 0, errLength // or the highest bit was set
		}
	}
	if !h.Masked {
		return h, n, nil
	}
	if len(b) < n+4 {
		return h, 0, nil
	}
	return h, n + copy(h.Mask[:], b[n:n+4]), nil
}

// judge refuses a header that may not stand here.
func (r *Reader) judge(h *ws.Header, limit int) error {
	state := ws.StateServerSide
	have := int64(0)
	if r.part != nil && r.part.message {
		state = state.Set(ws.StateFragmented)
		have = int64(len(r.part.text))
	}
	if r.Deflate && h.Rsv == rsvDeflate && (h.OpCode == ws.OpText || h.OpCode == ws.OpBinary) {
		state = state.Set(ws.StateExtended)
	}
	if err := ws.CheckHeader(*h, state); err != nil {
		return &Error{CodeProtocol, err.Error()}
	}
	switch {
	case h.OpCode == ws.OpBinary:
		return errBinary
	case !h.OpCode.IsControl() && h.Length > int64(limit)-have:
		return errTooLarge
	}
	return nil
}

const rsvDeflate = 4 // the first reserved bit

// whole makes a message of a frame that needs no other.
func (r *Reader) whole(h ws.Header, payload []byte, limit int) (Message, error) {
	if h.OpCode.IsControl() {
		return control(h.OpCode, payload)
	}
	if h.Rsv != 0 {
		return inflated(payload, limit)
	}
	if !utf8.Valid(payload) {
		return Message{}, errUTF8
	}
	return Message{Kind: Text, Payload: payload}, nil
}

// begin makes room for a frame of which not all is there.
func (r *Reader) begin(h ws.Header) {
	p := r.part
	if p == nil {
		p = &partial{}
		r.part = p
	}
	p.frame, p.h, p.pos = true, h, 0
	if h.OpCode == ws.OpText {
		p.message, p.deflate = true, h.Rsv != 0
	}
}

// payload takes what is there of the frame's payload. Of a message that goes on
// after this frame, room is made for what may still come: copying it for each of
// many small frames would take time by their square.
func (r *Reader) payload(b []byte, limit int) (n int, done bool, err error) {
	p := r.part
	left := int(p.h.Length) - p.pos
	b = b[:min(len(b), left)]
	ws.Cipher(b, p.h.Mask, p.pos)
	p.pos += len(b)
	if p.h.OpCode.IsControl() {
		p.control = append(p.control, b...)
		return len(b), len(b) == left, nil
	}
	most := left
	if !p.h.Fin {
		most = limit - len(p.text)
	}
	p.text = grow(p.text, len(b), most)
	p.text = append(p.text, b...)
	if !p.deflate {
		k, ok := prefixUTF8(p.text[p.checked:])
		if !ok {
			return len(b), false, errUTF8
		}
		p.checked += k
	}
	return len(b), len(b) == left, nil
}

// grow makes room for n bytes, of at most most that are to come.
func grow(b []byte, n, most int) []byte {
	if n <= cap(b)-len(b) {
		return b
	}
	return append(make([]byte, 0, min(max(2*cap(b), len(b)+n), len(b)+most)), b...)
}

// end makes a message of a frame that is complete, if it ends one.
func (r *Reader) end(limit int) (Message, error) {
	p := r.part
	p.frame = false
	if p.h.OpCode.IsControl() {
		m, err := control(p.h.OpCode, p.control)
		p.control = nil
		if !p.message {
			r.part = nil
		}
		return m, err
	}
	if !p.h.Fin {
		return Message{}, nil
	}
	r.part = nil
	if p.deflate {
		return inflated(p.text, limit)
	}
	if p.checked < len(p.text) {
		return Message{}, errUTF8
	}
	return Message{Kind: Text, Payload: p.text}, nil
}

// inflated makes a message of a compressed one.
func inflated(payload []byte, limit int) (Message, error) {
	text, err := Inflate(payload, limit)
	if err == nil && !utf8.Valid(text) {
		err = errUTF8
	}
	if err != nil {
		return Message{}, err
	}
	return Message{Kind: Text, Payload: text}, nil
}

func control(op ws.OpCode, payload []byte) (Message, error) {
	if op == ws.OpPing {
		return Message{Kind: Ping, Payload: payload}, nil
	}
	if op == ws.OpPong {
		return Message{Kind: Pong, Payload: payload}, nil
	}
	m := Message{Kind: Close, Code: CodeNone}
	switch {
	case len(payload) == 0:
		return m, nil
	case len(payload) == 1:
		return Message{}, errClose
	}
	m.Code, m.Payload = binary.BigEndian.Uint16(payload), payload[2:]
	switch {
	case !maySend(m.Code):
		return Message{}, errClose
	case !utf8.Valid(m.Payload):
		return Message{}, errReason
	}
	return m, nil
}

// maySend reports whether a close code may stand in a close frame (RFC 6455
// 7.4 and the registry that it set up).
func maySend(code uint16) bool {
	return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006) || code >= 3000 && code <= 4999
}

// prefixUTF8 reports whether b can begin a text in UTF-8, and how many bytes of
// it are whole characters.
func prefixUTF8(b []byte) (whole int, ok bool) {
	// Only the last three bytes can belong to a character that is not complete.
	whole = len(b)
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				whole = i
			}
			break
		}
	}
	return whole, utf8.Valid(b[:whole])
}
