package client

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// TestSocketTellsWhyItWasClosed: in the words of the server.
func TestSocketTellsWhyItWasClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
			if err == nil {
				_ = conn.Write(r.Context(), websocket.MessageText, []byte(`{"type":"welcome"}`))
				_ = conn.Close(4001, "the token has run out")
			}
			return true
		}
		told := make(chan error, 100)
		c := cl.Connect(t.Context(), ConnOptions{Transport: WebSocket, OnRetry: func(_ string, err error, _ time.Duration) { told <- err }})
		follow(t, c, "a", ChannelOptions{})
		defer c.Close()
		var err error
		for range 20 { // now and then it is gone before the reason is read
			if err = <-told; strings.Contains(err.Error(), `4001 "the token has run out"`) {
				return
			}
		}
		t.Error(err)
	})
}
