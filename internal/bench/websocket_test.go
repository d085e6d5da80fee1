package bench

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
)

// data is a frame with records.
func data(offset string, seqs ...uint64) string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, `{"type":"data","channel":"c","offset":"%s","upToDate":true,"records":[`, offset)
	for i, n := range seqs {
		if i > 0 {
			b.WriteByte(',')
		}
		record := newRecord(minRecord)
		stamp(record, mark{7, n, 100})
		b.Write(record)
	}
	return b.String() + "]}"
}

const (
	welcome    = `{"type":"welcome","heartbeat":15000,"maxChannels":1000,"maxMessage":1048576}`
	subscribed = `{"type":"subscribed","channel":"c","offset":"e_0","budget":0,"contentType":"application/json","start":"e_0","upToDate":true}`
)

// switching is the answer to a reader's handshake.
func switching(t *testing.T, r *reader) string {
	t.Helper()
	request := string(r.request(nil))
	_, after, _ := strings.Cut(request, "\r\nSec-WebSocket-Key: ")
	key, _, ok := strings.Cut(after, "\r\n")
	if nonce, err := base64.StdEncoding.DecodeString(key); !ok || err != nil || len(nonce) != 16 {
		t.Fatalf("the handshake has the key %q: %s", key, request)
	}
	r.sent(0)
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455 wants it
	return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: twohop.v1\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
}

// said are the frames that a reader sends next, without their masks.
func said(t *testing.T, r *reader) (all []string) {
	t.Helper()
	out := bytes.NewReader(r.request(nil))
	r.sent(0)
	for out.Len() > 0 {
		h, err := ws.ReadHeader(out)
		if err != nil || !h.Masked || !h.Fin || h.Length > int64(out.Len()) {
			t.Fatalf("a frame of the reader is %+v: %v", h, err)
		}
		payload := make([]byte, h.Length)
		_, _ = out.Read(payload) // it is there
		ws.Cipher(payload, h.Mask, 0)
		all = append(all, fmt.Sprintf("%x %s", h.OpCode, payload))
	}
	return all
}

func TestReaderTalksWebSocket(t *testing.T) {
	r := newReader(WebSocket)
	r.group.budget = 250e6
	r.group.more = []*channel{{number: 8, name: "d", tail: "f_0"}}
	if got := r.feed(100, []byte(switching(t, r)+text(welcome))); got != askNext || r.askAt != 100 || r.ready {
		t.Fatalf("step %d at %d, want something to say", got, r.askAt)
	}
	if got := strings.Join(said(t, r), ", "); got != `1 {"type":"subscribe","channels":[{"channel":"c","offset":"e_0","budget":"250ms"},{"channel":"d","offset":"f_0","budget":"250ms"}]}` {
		t.Errorf("said %s", got)
	}
	for _, ready := range []bool{false, true} { // when all channels are followed
		if got := r.feed(200, []byte(text(subscribed))); got != readOn || r.ready != ready {
			t.Errorf("step %d, ready %v", got, r.ready)
		}
	}
	// What it has to say in between does not disturb what it reads.
	one := data("e_2", 1, 2)
	half := len(one) - 30
	first := frame(ws.OpText, false, one[:half]) + frame(ws.OpPing, true, "x") + frame(ws.OpPing, true, "y")
	if got := r.feed(300, []byte(first)); got != askNext || r.offset != "e_0" {
		t.Errorf("step %d, offset %s", got, r.offset)
	}
	if got := strings.Join(said(t, r), ", "); got != "a x, a y" {
		t.Errorf("said %s", got)
	}
	if got := r.feed(400, []byte(frame(ws.OpContinuation, true, one[half:])+text(`{"type":"ping"}`))); got != askNext {
		t.Errorf("step %d", got)
	}
	if got := strings.Join(said(t, r), ", "); got != `1 {"type":"pong"}` {
		t.Errorf("said %s", got)
	}
	r.settle(2)
	if r.group.delivered != 2 || r.group.faults.Any() || r.offset != "e_2" || r.group.responses != 0 {
		t.Errorf("offset %s: %+v", r.offset, r.group.tally)
	}
}

// TestWebSocketReaderGoesOn cuts what comes at each byte. What the reader gets
// again from its offset is no double.
func TestWebSocketReaderGoesOn(t *testing.T) {
	start := text(welcome) + text(subscribed)
	first, second := text(data("e_2", 1, 2)), text(data("e_4", 3, 4))
	for cut := range len(switching(t, newReader(WebSocket)) + start + first + second) {
		r := newReader(WebSocket)
		r.feed(200, []byte((switching(t, r) + start + first + second)[:cut]))
		if r.ended(300, errEnded) != reopen || r.ready {
			t.Fatalf("cut at %d: the reader gave up, or is ready", cut)
		}
		again := switching(t, r) + start
		switch r.offset {
		case "e_0":
			again += first + second
		case "e_2":
			again += second
		}
		r.feed(400, []byte(again))
		r.settle(4)
		if r.group.faults.Any() || r.group.delivered != 4 || r.offset != "e_4" || !r.ready {
			t.Fatalf("cut at %d: %d deliveries, offset %s, %+v", cut, r.group.delivered, r.offset, r.group.faults)
		}
	}
}

func TestWebSocketReaderGivesUp(t *testing.T) {
	f := func(stream, want string) {
		t.Helper()
		r := newReader(WebSocket)
		if got := r.feed(1, []byte(strings.Replace(stream, "OPEN", switching(t, r), 1))); got != giveUp || r.failed == nil || !strings.Contains(r.failed.Error(), want) {
			t.Errorf("%.40q: step %d, error %v; want %q", stream, got, r.failed, want)
		}
	}
	f("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "the server answered 403")
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "the server answered 200")
	f("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: no\r\n\r\n", "Sec-WebSocket-Accept")
	f("OPEN"+text(welcome)+text(`{"type":"reset","channel":"c","offset":"e_9","reason":"trimmed"}`), `"reason":"trimmed"`)
	f("OPEN"+text(`{"type":"error","channel":"c","code":"not_found","message":"no"}`), `"code":"not_found"`)
	f("OPEN\x81\x81abcd", "must be not masked")

	r := newReader(SSE)
	if got := r.feed(1, []byte("HTTP/1.1 101 Switching Protocols\r\n\r\n")); got != giveUp {
		t.Errorf("a stream that becomes something else: step %d", got)
	}

	r = newReader(WebSocket)
	for range 5 {
		if r.feed(1, []byte(switching(t, r)+frame(ws.OpClose, true, "\x0f\xa1gone"))) != reopen {
			t.Fatal("a closed connection is no reason to give up")
		}
	}
	if r.feed(1, []byte(switching(t, r)+frame(ws.OpClose, true, "\x0f\xa1gone"))) != giveUp || !strings.Contains(r.failed.Error(), "4001 gone") {
		t.Errorf("gave up with %v", r.failed)
	}
}

// closing is a server whose WebSockets end after one record, by turns in good
// order and by a broken connection. It has three records, and tells of each only
// to those that answer its pings.
func closing(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"twohop.v1"}})
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	say := func(frame string) { _ = c.Write(r.Context(), websocket.MessageText, []byte(frame)) } // what follows fails as well
	say(welcome)
	_, subscribe, err := c.Read(r.Context())
	var next uint64
	if _, after, ok := strings.Cut(string(subscribe), `"offset":"e_`); err != nil || !ok {
		return
	} else if _, err := fmt.Sscanf(after, "%d", &next); err != nil {
		return
	}
	say(subscribed)
	say(`{"type":"ping"}`)
	if _, pong, err := c.Read(r.Context()); err != nil || string(pong) != `{"type":"pong"}` {
		return
	}
	if next >= 3 {
		<-c.CloseRead(r.Context()).Done()
		return
	}
	say(data(fmt.Sprintf("e_%d", next+1), next+1))
	if next%2 == 1 {
		_ = c.Close(4008, "so soon") // the peer is gone at once
	}
}

func TestDriversGoOnWithWebSocket(t *testing.T) {
	eachDriver(t, closing, func(t *testing.T, d driver, _ clock) {
		g, readers := someReaders(WebSocket, 20)
		d.open(readers)
		have(t, d, readers, 3)
		d.drop(readers)
		for _, r := range readers {
			r.settle(3)
			if r.failed != nil || r.offset != "e_3" {
				t.Errorf("%s stands at %s: %v", r, r.offset, r.failed)
			}
		}
		if g.delivered != 60 || g.faults.Any() || g.reconnects < 40 || g.reconnects > 60 {
			t.Errorf("%d deliveries, %d reconnects, %+v", g.delivered, g.reconnects, g.faults)
		}
	})
}
