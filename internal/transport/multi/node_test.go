package multi

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/wire"
	"twohop/internal/wire/websocket"
)

// byHand is a runner and a port whose turns a test takes one by one.
type byHand struct {
	tasks                   []task
	sent                    []byte
	blocked, paused, closed bool
}

func (p *byHand) Post(t task)          { p.tasks = append(p.tasks, t) }
func (p *byHand) PostFanOut(g *group)  { p.Post(g) }
func (p *byHand) Queue(b []byte)       { p.sent = append(p.sent, b...) }
func (p *byHand) QueueCopy(b []byte)   { p.Queue(b) }
func (p *byHand) Flush()               {}
func (p *byHand) Blocked() bool        { return p.blocked }
func (p *byHand) Unsent() int          { return 0 }
func (p *byHand) Pause(on bool)        { p.paused = on }
func (p *byHand) Favor()               {}
func (p *byHand) SetDue(time.Duration) {}
func (p *byHand) CloseWrite()          {}
func (p *byHand) Close()               { p.closed = true }

// turn gives each task that was posted a turn.
func (p *byHand) turn() {
	tasks := p.tasks
	p.tasks = nil
	for _, t := range tasks {
		if t.Turn() {
			p.tasks = append(p.tasks, t)
		}
	}
}

// clientFrame is a text message of a client, masked with zeros.
func clientFrame(text []byte, deflated bool) []byte {
	b := []byte{0x81}
	if deflated {
		b[0] |= 0x40
	}
	if n := len(text); n < 126 {
		b = append(b, 0x80|byte(n))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	}
	return append(append(b, 0, 0, 0, 0), text...)
}

// Messages that inflate to much are served in turns, between which others have
// theirs, and all of them in the end.
func TestInflatedMessagesTakeTurns(t *testing.T) {
	const messages, size = 12, feedBytes * 3 / 4
	p := &byHand{}
	s := newNode(New(nil, Options{}), p).newSocket(p, &websocket.Agreement{Deflate: true}, time.Minute)
	var in []byte
	for i := range messages {
		b, ok := websocket.Deflate(nil, fmt.Appendf(nil, `{"type":"ping","id":%d,"x":"%s"}`, i, strings.Repeat("x", size)))
		if !ok {
			t.Fatal("it is not compressed")
		}
		in = append(in, clientFrame(b, true)...)
	}
	if len(in) > 64<<10 {
		t.Fatalf("%d bytes are no single read", len(in))
	}
	s.came(in)
	clear(in) // the buffer is used again
	answered := 0
	for {
		n := bytes.Count(p.sent, []byte(`"pong"`))
		if n > answered+2 {
			t.Fatalf("%d messages in a turn", n-answered)
		}
		if answered = n; len(p.tasks) == 0 {
			break
		}
		if !s.stopped() {
			t.Error("more is read while there is enough to do")
		}
		s.stop()
		p.turn()
	}
	if answered != messages || s.stopped() || p.paused || s.in != nil {
		t.Errorf("%d of %d answered, stopped: %v, paused: %v", answered, messages, s.stopped(), p.paused)
	}
	for i := range messages {
		id := fmt.Sprintf(`"id":%d`, i)
		at := bytes.Index(p.sent, []byte(id))
		if at < 0 {
			t.Fatalf("no answer to %d, or not in order", i)
		}
		p.sent = p.sent[at+len(id):]
	}
}

// The time in which a client is not read from, as it takes nothing, is none in
// which its message does not arrive.
func TestMessageThatIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = time.Minute
		p := &byHand{}
		s := newNode(New(nil, Options{MessageTime: limit}), p).newSocket(p, &websocket.Agreement{}, time.Hour)
		message := clientFrame([]byte(`{"type":"ping","id":7}`), false)
		s.came(bytes.Clone(message[:5]))
		p.blocked = true
		s.stop() // more is there
		time.Sleep(2 * limit)
		s.due()
		p.blocked = false
		s.room()
		s.due()
		if p.paused || s.closed {
			t.Fatalf("paused: %v, closed: %v", p.paused, s.closed)
		}
		time.Sleep(limit - time.Second)
		s.due()
		if s.closed {
			t.Fatal("closed before the time was up")
		}
		time.Sleep(time.Second)
		if s.due(); !s.closed {
			t.Error("not closed when the time was up")
		}
	})
}

// While a client is not read from, as what it asked for is under way, it is not
// cut off for an answer that may be there, and afterwards it has its time again.
func TestAnswerThatWaitsUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const beat = 10 * time.Second
		p := &byHand{}
		s := newNode(New(nil, Options{}), p).newSocket(p, &websocket.Agreement{}, beat)
		time.Sleep(beat)
		s.due() // asks
		s.publishing = maxPublishing
		s.stop() // something is there
		time.Sleep(3 * beat)
		s.due()
		s.publishing = 0
		s.resume()
		s.due()
		if p.paused || s.closed {
			t.Fatalf("paused: %v, closed: %v", p.paused, s.closed)
		}
		time.Sleep(2 * beat)
		if s.due(); !s.closed {
			t.Error("not closed without an answer")
		}
	})
}

// answers is a carrier that keeps what is said.
type answers struct{ said []byte }

func (a *answers) begin(time.Duration)                               {}
func (a *answers) finish()                                           {}
func (a *answers) event(_ int, pieces [][]byte)                      { a.said = append(a.said, bytes.Join(pieces, nil)...) }
func (a *answers) answer(_ int, _ []byte, size int, pieces [][]byte) { a.event(size, pieces) }

// A poll is answered with all that was published before it, although another
// connection of its loop read at the same place just before.
func TestPollReadsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memlog.Open(memlog.Options{})
		h := hub.New(e, hub.Options{})
		defer func() {
			h.Close()
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}()
		if _, _, err := h.Create(context.Background(), "c", &twohop.Spec{ContentType: "application/json"}); err != nil {
			t.Fatal(err)
		}
		ch, err := h.Open(context.Background(), "c") // so that nothing has to be opened elsewhere
		if err != nil {
			t.Fatal(err)
		}
		defer ch.Close()
		publish := func(record string) twohop.Offset {
			ack, err := h.Append(context.Background(), &twohop.Append{Channel: "c", Data: []byte(record + ","), Ends: []uint32{uint32(len(record) + 1)}})
			if err != nil {
				t.Fatal(err)
			}
			return ack.Offset
		}
		p := &byHand{}
		n := newNode(New(h, Options{}), p)
		s := n.newSocket(p, &websocket.Agreement{}, time.Hour)
		defer s.leave()
		s.came(clientFrame([]byte(`{"type":"subscribe","channel":"c","offset":"-1","budget":"1m"}`), false))
		at := publish(`"first"`)
		wake := func() {
			time.Sleep(time.Minute)
			synctest.Wait()
			p.turn() // of the beat
			p.turn() // of the group
		}
		wake()
		publish(`"second"`)
		p.blocked = true
		wake()
		p.blocked = false
		s.room() // reads the second one
		publish(`"third"`)
		q, err := wire.ParseSubscribeQuery("budget=1m&channel=c&offset="+at.String(), 1)
		if err != nil {
			t.Fatal(err)
		}
		a := &answers{}
		n.newStream(p, a, q, false).start(q)
		if got := string(a.said); !strings.Contains(got, "second") || !strings.Contains(got, "third") || strings.Contains(got, "first") {
			t.Errorf("the poll was told %s", got)
		}
	})
}
