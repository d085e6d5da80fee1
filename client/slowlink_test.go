package client

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// What takes long to arrive is taken, though the list of channels changes
// meanwhile.
func TestSlowEventIsReadToItsEnd(t *testing.T) {
	for _, transport := range []Transport{SSE, LongPoll, Poll} {
		t.Run(transport.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, cl := newMany(t)
				slow := 0
				f.before = func(w http.ResponseWriter, r *http.Request) bool {
					if slow++; slow > 1 {
						return false
					}
					at := cursors{}
					f.mu.Lock()
					frames := []string{f.subscribe(at, manyRequest{Channel: "a", Offset: "-1"}, 0), f.subscribe(at, manyRequest{Channel: "none"}, 0)}
					frames = append(frames, f.due(at)...)
					f.mu.Unlock()
					b := "[" + strings.Join(frames, ",") + "]"
					if transport == SSE {
						w.Header().Set("Content-Type", "text/event-stream")
						b = "data:" + b + "\n\n"
					} else {
						w.Header().Set("Content-Length", fmt.Sprint(len(b)))
					}
					for len(b) > 0 {
						n := min(20, len(b))
						if _, err := io.WriteString(w, b[:n]); err != nil || http.NewResponseController(w).Flush() != nil || r.Context().Err() != nil {
							t.Error("the request was cut")
							return true
						}
						b = b[n:]
						if len(b) > 0 {
							<-time.After(5 * time.Second)
						}
					}
					return true
				}
				c := cl.Connect(t.Context(), ConnOptions{Transport: transport})
				defer c.Close()
				f.add("a", "1", "2", "3")
				g := follow(t, c, "a", ChannelOptions{})
				follow(t, c, "none", ChannelOptions{Wait: true})
				time.AfterFunc(20*time.Second, func() { follow(t, c, "late", ChannelOptions{Wait: true}) })
				for e, err := range g.Events(t.Context()) {
					if err != nil || len(e.Records) == 3 {
						break
					}
				}
				if g.Offset() != offsetOf(3) {
					t.Errorf("it stands at %s", g.Offset())
				}
			})
		})
	}
}

// A message that takes longer than a connection may be silent arrives.
func TestSlowMessageOverASocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		record := `"` + strings.Repeat("x", 64<<10) + `"`
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"twohop.v1"}})
			if err != nil {
				return true
			}
			defer func() { _ = conn.CloseNow() }()
			say := func(s string) { _ = conn.Write(t.Context(), websocket.MessageText, []byte(s)) }
			say(`{"type":"welcome","heartbeat":15000,"maxChannels":100,"maxMessage":65536}`)
			_, _, _ = conn.Read(t.Context())
			say(fmt.Sprintf(`{"type":"subscribed","id":1,"channel":"a","offset":%q,"budget":0,"contentType":"application/json","start":%[1]q}`, offsetOf(0)))
			m, err := conn.Writer(t.Context(), websocket.MessageText)
			if err != nil {
				return true
			}
			b := fmt.Sprintf(`{"type":"data","channel":"a","offset":%q,"upToDate":true,"closed":true,"records":[%s]}`, offsetOf(1), record)
			for ; len(b) > 0; b = b[min(8<<10, len(b)):] {
				if _, err := io.WriteString(m, b[:min(8<<10, len(b))]); err != nil {
					t.Errorf("the message was cut: %v", err)
					return true
				}
				<-time.After(20 * time.Second)
			}
			_ = m.Close()
			_, _, _ = conn.Read(t.Context())
			return true
		}
		c := cl.Connect(t.Context(), ConnOptions{Transport: WebSocket})
		defer c.Close()
		if got, err := rest(t.Context(), follow(t, c, "a", ChannelOptions{})); got != record+";" || err != nil {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	})
}

// A publish that is large has longer to be answered, and so have those behind it.
func TestLargePublishOverASlowSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		f.late = 30*time.Second + 500*time.Millisecond
		f.add("a", "1")
		c := cl.Connect(t.Context(), ConnOptions{Transport: WebSocket})
		defer c.Close()
		first(t, follow(t, c, "a", ChannelOptions{}))
		record := `"` + strings.Repeat("x", 31_900) + `"` // with all around it at most 32 KiB, which have a second more
		if ack, err := c.Publish(t.Context(), "a", []byte(record), PublishOptions{ContentType: "application/json", IdempotencyKey: strings.Repeat("k", 100)}); err != nil || ack.Offset != offsetOf(2) {
			t.Errorf("%+v, %v", ack, err)
		}
	})
}
