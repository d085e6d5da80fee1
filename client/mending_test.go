package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"twohop"
)

// Who begins now with a channel that is not there yet gets all of it: it comes
// after the answer that there is none.
func TestNowInAnAbsentChannelIsItsStart(t *testing.T) {
	overAll(t, func(t *testing.T, f *many, c *Conn) {
		g := follow(t, c, "a", ChannelOptions{From: Now(), Wait: true})
		time.AfterFunc(5*time.Second+time.Millisecond, func() {
			f.add("a", "1", "2")
			f.end("a")
		})
		if got, err := rest(t.Context(), g); got != "1;2;" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "")
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			if !f.mu.exists {
				w.WriteHeader(http.StatusNotFound)
				_, _ = io.WriteString(w, `{"code":"not_found","message":"m","hint":"h"}`)
			}
			return !f.mu.exists
		}
		time.AfterFunc(5*time.Second, func() {
			f.mu.Lock()
			f.mu.contentType = "application/json"
			f.mu.Unlock()
			f.add("1", "2")
			f.end()
		})
		var got strings.Builder
		for e, err := range c.Follow(t.Context(), "c", FollowOptions{From: Now(), Wait: true}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range e.Records {
				got.WriteString(string(r) + ";")
			}
		}
		if got.String() != "1;2;" {
			t.Errorf("got %q", got.String())
		}
	})
}

// A channel that is not there makes requests for all the others, so they become
// few; and it is found all the same.
func TestAbsentChannelsAreLookedForLessAndLess(t *testing.T) {
	for _, transport := range []Transport{SSE, LongPoll, Poll} {
		t.Run(transport.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, cl := newMany(t)
				c := cl.Connect(t.Context(), ConnOptions{Transport: transport, PollInterval: time.Minute})
				defer c.Close()
				f.add("here", "1")
				follow(t, c, "here", ChannelOptions{})
				none := follow(t, c, "none", ChannelOptions{Wait: true})
				<-time.After(2 * time.Minute)
				if n := len(f.asked()); n > 50 {
					t.Errorf("%d requests in two minutes", n)
				}
				f.add("none", "1")
				f.end("none")
				if got, err := rest(t.Context(), none); got != "1;" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			})
		})
	}
}

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

// What cannot be sent is told at once: no other try mends it.
func TestHeadersThatCannotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := newFake(t, "application/json")
		c.opts.Header = func() http.Header { return http.Header{"Authorization": {"Bearer token\n"}} }
		wrong := func(what string, err error) {
			t.Helper()
			if !IsCode(err, twohop.CodeInvalidHeader) {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, err := c.Publish(t.Context(), "c", []byte("1"), PublishOptions{ContentType: "application/json", IdempotencyKey: "k"})
		wrong("publish", err)
		for _, err := range c.Follow(t.Context(), "c", FollowOptions{}) {
			wrong("follow", err)
		}
		for _, transport := range connTransports {
			conn := c.Connect(t.Context(), ConnOptions{Transport: transport})
			_, err := rest(t.Context(), follow(t, conn, "c", ChannelOptions{}))
			wrong(transport.String(), err)
			conn.Close()
		}
	})
}

// An error that says that nobody knows is no proof that nothing happened.
func TestKeyedPublishOfUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "application/json")
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"code":"unknown_outcome","message":"m","hint":"h"}`)
			return true
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := c.Publish(ctx, "c", []byte("1"), PublishOptions{ContentType: "application/json", IdempotencyKey: "k"})
		if !IsCode(err, twohop.CodeUnknownOutcome) {
			t.Errorf("got %v", err)
		}
	})
}

// What nobody wants any more is not on the wire, and a connection with nothing
// to carry ends without a failure.
func TestConnLeavesWhatNobodyWants(t *testing.T) {
	for _, transport := range []Transport{WebSocket, SSE, LongPoll, Poll} {
		t.Run(transport.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, cl := newMany(t)
				failures := 0
				c := cl.Connect(t.Context(), ConnOptions{Transport: transport, OnRetry: func(string, error, time.Duration) { failures++ }})
				defer c.Close()
				f.add("a", "1")
				f.add("b", "1")
				a, b := follow(t, c, "a", ChannelOptions{}), follow(t, c, "b", ChannelOptions{})
				first(t, a)
				first(t, b)
				a.Close()
				<-time.After(time.Second)
				f.add("a", "2")
				f.add("b", "2")
				first(t, b)
				<-time.After(time.Minute)
				before := c.Status().BytesIn
				f.add("a", strings.Repeat("7", 10_000))
				<-time.After(time.Minute)
				if n := c.Status().BytesIn - before; n > 5000 {
					t.Errorf("%d bytes came of a channel that was closed", n)
				}
				b.Close()
				<-time.After(4 * time.Minute)
				if s := c.Status(); s.State != Idle || failures > 0 {
					t.Errorf("it is %v after %d failures", s.State, failures)
				}
			})
		})
	}
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

// A channel that was looked for at the pace of polls is looked for at once by
// another transport.
func TestAbsentChannelAfterAChangeOfTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		c := cl.Connect(t.Context(), ConnOptions{Transport: Poll, PollInterval: time.Hour})
		defer c.Close()
		f.add("here", "1")
		follow(t, c, "here", ChannelOptions{})
		none := follow(t, c, "none", ChannelOptions{Wait: true})
		<-time.After(time.Minute)
		f.add("none", "1")
		f.end("none")
		c.SetTransport(WebSocket)
		begun := time.Now()
		if got, err := rest(t.Context(), none); got != "1;" || err != nil || time.Since(begun) > 10*time.Second {
			t.Errorf("got %q, %v after %v", got, err, time.Since(begun))
		}
	})
}
