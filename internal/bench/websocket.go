package bench

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/gobwas/ws"
)

// webSocket is a reader's WebSocket, without the I/O.
type webSocket struct {
	key    string // of the handshake
	open   bool
	follow int // channels that the server has confirmed
	frames frames
	out    []byte // frames to be sent
	closed error  // the server closed it
}

// offer are the header lines of a handshake that are the same for all.
const offer = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: twohop.v1\r\n"

// handshake appends the request that opens the WebSocket.
func (r *reader) handshake(dst []byte) []byte {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	r.socket.key = base64.StdEncoding.EncodeToString(nonce[:])
	dst = append(append(dst, r.group.get...), " HTTP/1.1\r\nSec-WebSocket-Key: "...)
	dst = append(append(dst, r.socket.key...), "\r\n"...)
	return append(dst, r.group.headers...)
}

// opened is at the end of a handshake that succeeded. What the reader says
// first is what it follows.
func (r *reader) opened() {
	frame := r.appendFollow([]byte(`{"type":"subscribe","channels":[`), r.channel.name, r.offset)
	for _, c := range r.group.more {
		frame = r.appendFollow(append(frame, ','), c.name, c.tail)
	}
	r.socket.open = true
	r.socket.out = appendFrame(nil, ws.OpText, append(frame, `]}`...))
}

func (r *reader) appendFollow(dst []byte, channel, offset string) []byte {
	dst = append(append(dst, `{"channel":"`...), channel...)
	dst = append(append(dst, `","offset":"`...), offset...)
	if r.group.budget > 0 {
		dst = append(append(dst, `","budget":"`...), r.group.budget.String()...)
	}
	return append(dst, `"}`...)
}

// checkAccept sees that it is a WebSocket server that answered.
func (r *reader) checkAccept(head []byte) error {
	sum := sha1.Sum([]byte(r.socket.key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455 wants it
	if string(header(head, "Sec-WebSocket-Accept")) != base64.StdEncoding.EncodeToString(sum[:]) {
		return errors.New("the server's Sec-WebSocket-Accept does not answer the handshake")
	}
	return nil
}

// feedFrames takes what came on an open WebSocket.
func (r *reader) feedFrames(p []byte) step {
	err := r.socket.frames.feed(p, r)
	switch {
	case r.failed != nil:
		return giveUp
	case err != nil:
		return r.fail(err)
	case r.socket.closed != nil:
		return r.ended(r.now, r.socket.closed)
	case len(r.socket.out) > 0:
		r.askAt = r.now
		return askNext
	}
	return readOn
}

func (r *reader) gotText(piece []byte, last bool) {
	if r.failed != nil {
		return
	}
	r.scanner.scan(piece, r.record)
	r.lineLen += copy(r.line[r.lineLen:], piece)
	if last {
		r.frame(r.line[:r.lineLen])
		r.lineLen = 0
	}
}

// frame takes a frame of the server, of which it gets the beginning.
func (r *reader) frame(head []byte) {
	after, _ := bytes.CutPrefix(head, []byte(`{"type":"`))
	kind, after, _ := bytes.Cut(after, []byte(`"`))
	switch string(kind) {
	case "data":
		_, after, ok := bytes.Cut(after, []byte(`"offset":"`))
		if offset, _, whole := bytes.Cut(after, []byte(`"`)); ok && whole {
			r.offset, r.safe = string(offset), r.due
		}
	case "subscribed":
		if r.socket.follow++; r.socket.follow > len(r.group.more) {
			r.ready, r.tries = true, 0
		}
	case "ping":
		r.socket.out = appendFrame(r.socket.out, ws.OpText, []byte(`{"type":"pong"}`))
	case "reset", "error":
		r.failed = fmt.Errorf("the server sent after %s: %s", r.offset, head)
	}
}

func (r *reader) gotControl(op ws.OpCode, payload []byte) {
	if op == ws.OpPing {
		r.socket.out = appendFrame(r.socket.out, ws.OpPong, payload)
	}
	if op == ws.OpClose {
		why := "without a code"
		if len(payload) >= 2 {
			why = strconv.Itoa(int(binary.BigEndian.Uint16(payload))) + " " + string(payload[2:])
		}
		r.socket.closed = errors.New("the server closed the WebSocket: " + why)
	}
}
