package multi_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"twohop/internal/wire/websocket"
)

// frame is any frame of the server.
type frame struct {
	Type, Channel, Offset, ContentType, Start, Tail, Reason, Code, Message, Hint, Durability, Transport string

	ID                                                                           json.RawMessage
	UpToDate, Closed, Waiting, Duplicate                                         bool
	Budget, Heartbeat, MaxChannels, MaxMessage, Delay, Missed, Readers, Interval int64
	Records                                                                      []json.RawMessage
	Text, Base64                                                                 *string

	raw string
}

func parseFrame(b []byte) (f frame, err error) {
	if err = json.Unmarshal(b, &f); err != nil {
		err = fmt.Errorf("%q: %w", b, err)
	}
	f.raw = string(b)
	return f, err
}

// content is the frame's records as one text.
func (f *frame) content() string {
	switch {
	case f.Text != nil:
		return *f.Text
	case f.Base64 != nil:
		b, err := base64.StdEncoding.DecodeString(*f.Base64)
		if err != nil {
			return err.Error()
		}
		return string(b)
	}
	var b strings.Builder
	for _, r := range f.Records {
		b.Write(r)
		b.WriteByte(',')
	}
	return b.String()
}

// socket is a client's end of a WebSocket, byte by byte.
type socket struct {
	t       testing.TB
	c       net.Conn
	r       *bufio.Reader
	deflate bool
	welcome frame
}

// The opcodes of RFC 6455.
const (
	opMore, opText, opBinary, opClose, opPing, opPong = 0, 1, 2, 8, 9, 10

	fin, compressed = 0x80, 0x40
)

// shake sends a handshake with some fields replaced, given as names and values
// in turn, and returns the answer.
func (s *site) shake(fields ...string) (*socket, *http.Response) {
	s.t.Helper()
	c, err := s.Dial()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	if !s.mode.Virtual {
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	head := []string{"Host", "twohop.test", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13",
		"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol", "twohop.v1"}
	line := "GET /v1/ws HTTP/1.1"
	for i := 0; i < len(fields); i += 2 {
		found := false
		for j := 0; j < len(head); j += 2 {
			if head[j] == fields[i] {
				head[j+1], found = fields[i+1], true
			}
		}
		switch {
		case fields[i] == "line":
			line = fields[i+1]
		case !found:
			head = append(head, fields[i], fields[i+1])
		}
	}
	var b strings.Builder
	b.WriteString(line + "\r\n")
	for i := 0; i < len(head); i += 2 {
		if head[i+1] != "" {
			b.WriteString(head[i] + ": " + head[i+1] + "\r\n")
		}
	}
	k := &socket{t: s.t, c: c, r: bufio.NewReader(c)}
	k.write([]byte(b.String() + "\r\n"))
	resp, err := http.ReadResponse(k.r, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	k.deflate = strings.Contains(resp.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate")
	return k, resp
}

// connect opens a WebSocket.
func (s *site) connect(fields ...string) *socket {
	s.t.Helper()
	k, resp := s.shake(fields...)
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" ||
		resp.Header.Get("Sec-Websocket-Protocol") != "twohop.v1" || !strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") {
		s.t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	k.welcome = k.say("welcome")
	return k
}

func (k *socket) write(b []byte) {
	if _, err := k.c.Write(b); err != nil {
		k.t.Helper()
		k.t.Fatal(err)
	}
}

// masked makes a client's frame; first is its first byte.
func masked(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := rand.Uint32()
	b = binary.BigEndian.AppendUint32(b, mask)
	for i, c := range payload {
		b = append(b, c^byte(mask>>(24-8*(i%4))))
	}
	return b
}

// send sends a message.
func (k *socket) send(text string, args ...any) {
	k.t.Helper()
	if len(args) > 0 {
		text = fmt.Sprintf(text, args...)
	}
	k.write(masked(fin|opText, []byte(text)))
}

var errFragment = errors.New("the server fragments, masks or uses bits that were not agreed on")

// read reads one frame of RFC 6455.
func (k *socket) read() (op byte, payload []byte, err error) {
	var h [2]byte
	if _, err = io.ReadFull(k.r, h[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(h[1])
	switch n {
	case 126:
		var l [2]byte
		_, err = io.ReadFull(k.r, l[:])
		n = uint64(binary.BigEndian.Uint16(l[:]))
	case 127:
		var l [8]byte
		_, err = io.ReadFull(k.r, l[:])
		n = binary.BigEndian.Uint64(l[:])
	}
	if err != nil {
		return 0, nil, err
	}
	if h[0]&fin == 0 || h[1]&0x80 != 0 || h[0]&0x30 != 0 || h[0]&compressed != 0 && !k.deflate {
		return 0, nil, errFragment
	}
	payload = make([]byte, n)
	if _, err = io.ReadFull(k.r, payload); err != nil {
		return 0, nil, err
	}
	if h[0]&compressed != 0 {
		payload, err = websocket.Inflate(payload, 64<<20)
	}
	return h[0] & 15, payload, err
}

// next reads the next message of the server, answering nothing.
func (k *socket) next() (frame, error) {
	op, b, err := k.read()
	if err != nil {
		return frame{}, err
	}
	if op != opText {
		return frame{}, fmt.Errorf("opcode %d with %q", op, b)
	}
	return parseFrame(b)
}

// say reads the next message, which has to be of a type.
func (k *socket) say(typ string) frame {
	k.t.Helper()
	f, err := k.next()
	if err != nil {
		k.t.Fatalf("instead of %s: %v", typ, err)
	}
	if f.Type != typ {
		k.t.Fatalf("instead of %s: %s", typ, f.raw)
	}
	return f
}

// refused reads an error of a code.
func (k *socket) refused(code string) frame {
	k.t.Helper()
	f := k.say("error")
	if f.Code != code || f.Message == "" || f.Hint == "" {
		k.t.Fatalf("%s, want %s with a message and a hint", f.raw, code)
	}
	return f
}

// closed reads up to the close frame, answers it, and returns its code; -1 if the
// connection ended without one.
func (k *socket) closed() (code int, reason string) {
	k.t.Helper()
	for {
		op, b, err := k.read()
		if err != nil {
			return -1, err.Error()
		}
		if op != opClose {
			continue
		}
		if len(b) >= 2 {
			code, reason = int(binary.BigEndian.Uint16(b)), string(b[2:])
		}
		_, _ = k.c.Write(masked(fin|opClose, b)) // the server may not wait for it
		if rest, err := io.ReadAll(k.r); len(rest) > 0 {
			k.t.Errorf("%d bytes after the close frame, %v", len(rest), err)
		}
		_ = k.c.Close() // as clients do then
		return code, reason
	}
}

// closes checks that the connection ends with a code.
func (k *socket) closes(want int) {
	k.t.Helper()
	if code, reason := k.closed(); code != want {
		k.t.Fatalf("closed with %d %q, want %d", code, reason, want)
	}
}

// bye closes the connection as a client does.
func (k *socket) bye() {
	k.t.Helper()
	k.write(masked(fin|opClose, []byte{3, 232}))
	k.closes(1000)
}

// events is a client's end of an SSE response.
type events struct {
	t    testing.TB
	resp *http.Response
	r    *bufio.Reader
	id   string // the last one
}

// event is an event of SSE.
type event struct {
	id     string
	frames []frame
}

// stream begins an SSE response of /v1/subscribe.
func (s *site) stream(query string, headers ...string) *events {
	s.t.Helper()
	return s.streamOf(s.ask("GET", "subscribe?live=sse&"+query, "", headers...))
}

func (s *site) streamPost(body string, headers ...string) *events {
	s.t.Helper()
	return s.streamOf(s.ask("POST", "subscribe", body, append(headers, "Content-Type", asJSON)...))
}

func (s *site) streamOf(resp *http.Response) *events {
	s.t.Helper()
	s.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" ||
		resp.Header.Get("Cache-Control") != "no-cache, no-transform" || resp.Header.Get("X-Accel-Buffering") != "no" {
		b, _ := io.ReadAll(resp.Body)
		s.t.Fatalf("%s %v %s", resp.Status, resp.Header, b)
	}
	f := &events{t: s.t, resp: resp, r: bufio.NewReader(resp.Body)}
	return f
}

// next reads the next event that has an id or frames.
func (f *events) next() (event, error) {
	var e event
	for {
		line, err := f.r.ReadString('\n')
		if err != nil {
			return e, err
		}
		line = strings.TrimSuffix(line, "\n")
		switch name, value, _ := strings.Cut(line, ":"); {
		case line == "":
			if e.id != "" {
				f.id = e.id
			}
			if e.id != "" || e.frames != nil {
				return e, nil
			}
		case name == "id":
			e.id = strings.TrimPrefix(value, " ")
		case name == "data":
			if e.frames, err = parseFrames(value); err != nil {
				return e, err
			}
		case name != "" && name != "retry":
			return e, fmt.Errorf("line %q", line)
		}
	}
}

func parseFrames(array string) ([]frame, error) {
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(array), &list); err != nil {
		return nil, fmt.Errorf("%q: %w", array, err)
	}
	if strings.ContainsAny(strings.TrimSpace(array), "\r\n") {
		return nil, fmt.Errorf("%q has a line break", array)
	}
	frames := make([]frame, 0, len(list))
	for _, raw := range list {
		f, err := parseFrame(raw)
		if err != nil {
			return nil, err
		}
		frames = append(frames, f)
	}
	return frames, nil
}

// say reads the next event and checks the types of its frames.
func (f *events) say(types string) []frame {
	f.t.Helper()
	e, err := f.next()
	if err != nil {
		f.t.Fatalf("instead of %s: %v", types, err)
	}
	if got := typesOf(e.frames); got != types {
		f.t.Fatalf("%s instead of %s: %+v", got, types, e.frames)
	}
	return e.frames
}

// all reads events until their frames are of these types.
func (f *events) all(types string) (frames []frame) {
	f.t.Helper()
	for typesOf(frames) != types {
		e, err := f.next()
		if frames = append(frames, e.frames...); err != nil || !strings.HasPrefix(types, typesOf(frames)) {
			f.t.Fatalf("%s instead of %s, %v: %+v", typesOf(frames), types, err, frames)
		}
	}
	return frames
}

// ends checks that the response ends cleanly.
func (f *events) ends() {
	f.t.Helper()
	if e, err := f.next(); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		f.t.Fatalf("%+v, %v instead of a clean end", e, err)
	}
}

func typesOf(frames []frame) string {
	var b strings.Builder
	for i, f := range frames {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(f.Type)
	}
	return b.String()
}

// polled is the answer to a poll or long poll.
func (s *site) polled(r reply) []frame {
	s.t.Helper()
	if r.status != http.StatusOK || r.header.Get("Content-Type") != asJSON || r.header.Get("Cache-Control") != "no-store" ||
		r.header.Get("Stream-Resume") == "" || !strings.Contains(r.header.Get("Stream-Extensions"), "subscribe") {
		s.t.Fatalf("%d %v %s", r.status, r.header, r.body)
	}
	frames, err := parseFrames(strings.TrimSuffix(r.body, "\n"))
	if err != nil {
		s.t.Fatal(err)
	}
	return frames
}

// expect checks a refusal.
func (s *site) expect(r reply, status int, code string) {
	s.t.Helper()
	var p struct{ Code, Message, Hint string }
	if err := json.NewDecoder(bytes.NewReader([]byte(r.body))).Decode(&p); err != nil {
		s.t.Fatalf("%d %q: %v", r.status, r.body, err)
	}
	if r.status != status || p.Code != code || p.Message == "" || p.Hint == "" || r.header.Get("X-Content-Type-Options") != "nosniff" {
		s.t.Errorf("%d %s %v, want %d %s", r.status, r.body, r.header, status, code)
	}
}
