package client

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// greeter is a server in trouble: it greets everyone, serves for a time, and lets
// go.
type greeter struct {
	*many
	frames []string // what it says
	serves time.Duration
}

func newGreeter(t *testing.T) (*greeter, *Client) {
	f, c := newMany(t)
	g := &greeter{many: f, frames: []string{
		fmt.Sprintf(`{"type":"subscribed","channel":"a","offset":%q,"contentType":"application/json","upToDate":true}`, offsetOf(7)),
	}}
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case len(g.asked()) > 1000: // who asks without a wait would never let time pass
			<-r.Context().Done()
		case r.URL.Path == "/v1/ws":
			g.overSocket(t, w, r)
		case r.Header.Get("Accept") == "text/event-stream":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = fmt.Fprintf(w, ": hi\n\ndata:[%s]\n\n", strings.Join(g.frames, ","))
			_ = http.NewResponseController(w).Flush()
			_ = sleep(r.Context(), g.serves)
			panic(http.ErrAbortHandler)
		default:
			body := "[" + strings.Join(g.frames, ",") + "]"
			w.Header().Set("Stream-Resume", "x")
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			_, _ = io.WriteString(w, body)
		}
		return true
	}
	return g, c
}

func (g *greeter) overSocket(t *testing.T, w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
	if err != nil {
		t.Error(err)
		return
	}
	_ = conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"welcome","heartbeat":30000}`))
	_, _, _ = conn.Read(t.Context())
	for _, frame := range g.frames {
		_ = conn.Write(t.Context(), websocket.MessageText, []byte(frame))
	}
	_ = sleep(conn.CloseRead(t.Context()), g.serves)
	_ = conn.Close(websocket.StatusInternalError, "trouble")
}

// TestConnIsPatientWithAServerThatLetsGo: who greets and lets go is asked less
// and less often.
func TestConnIsPatientWithAServerThatLetsGo(t *testing.T) {
	says := map[string]func(g *greeter){
		"where it stands": func(*greeter) {},
		"the same data again": func(g *greeter) {
			g.frames = append(g.frames, fmt.Sprintf(`{"type":"data","channel":"a","offset":%q,"records":[1]}`, offsetOf(7)))
		},
		"that it stands behind": func(g *greeter) {
			g.frames = []string{fmt.Sprintf(`{"type":"subscribed","channel":"a","offset":%q,"contentType":"application/json"}`, offsetOf(7))}
		},
		"that it leaves": func(g *greeter) { g.frames = []string{`{"type":"drain","delay":0}`} },
	}
	for what, say := range says {
		for _, transport := range []Transport{WebSocket, SSE, LongPoll} {
			synctest.Test(t, func(t *testing.T) {
				g, cl := newGreeter(t)
				say(g)
				c := cl.Connect(t.Context(), ConnOptions{Transport: transport})
				defer c.Close()
				follow(t, c, "a", ChannelOptions{})
				time.Sleep(time.Minute)
				if n := len(g.asked()); n < 60 || n > 300 {
					t.Errorf("%v, %s: %d requests in a minute", transport, what, n)
				}
			})
		}
	}
}

// TestConnLeavesATransportThatIsLetGo: Auto takes the next one down the ladder.
func TestConnLeavesATransportThatIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, cl := newGreeter(t)
		c := cl.Connect(t.Context(), ConnOptions{})
		defer c.Close()
		follow(t, c, "a", ChannelOptions{})
		time.Sleep(time.Minute)
		asked := g.asked()
		if n := slices.Index(asked, "sse"); n != maxFails {
			t.Errorf("asked %q", asked)
		}
	})
}

// TestConnForgetsFailuresWhenItWasServed: also where nothing new came.
func TestConnForgetsFailuresWhenItWasServed(t *testing.T) {
	for _, transport := range []Transport{Auto, SSE} {
		synctest.Test(t, func(t *testing.T) {
			g, cl := newGreeter(t)
			g.serves = 20 * time.Second
			c := cl.Connect(t.Context(), ConnOptions{Transport: transport})
			defer c.Close()
			follow(t, c, "a", ChannelOptions{})
			time.Sleep(10 * time.Minute)
			if n, want := len(g.asked()), 30; n < want-1 || n > want+1 || transport == Auto && slices.Contains(g.asked(), "sse") {
				t.Errorf("%v: %d requests in ten minutes, want %d: %q", transport, n, want, g.asked())
			}
		})
	}
}
