package client

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"twohop"
)

// TestConnPublishIsGivenUp: what was not sent when the context ended is not sent,
// and what is under way stays what it was, though the caller uses the data's
// memory again.
func TestConnPublishIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		readsOn := make(chan struct{})
		got := make(chan string, 10)
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
			if err != nil {
				t.Error(err)
				return true
			}
			defer func() { _ = conn.CloseNow() }()
			_ = conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"welcome","heartbeat":30000,"maxMessage":65536}`))
			for {
				_, b, err := conn.Read(t.Context())
				if err != nil {
					return true
				}
				got <- string(b)
				<-readsOn
			}
		}
		c := cl.Connect(t.Context(), ConnOptions{Transport: WebSocket})
		defer c.Close()
		follow(t, c, "a", ChannelOptions{})
		<-got // the subscribe frame; nothing more is read for now

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var publishing sync.WaitGroup
		publish := func(data []byte, o PublishOptions) *error {
			err := new(error)
			publishing.Go(func() {
				_, *err = c.Publish(ctx, "a", data, o)
				copy(data, `["SECOND"]`)
			})
			synctest.Wait()
			return err
		}
		o := PublishOptions{ContentType: "application/json"}
		first := publish([]byte(`["FIRST 1"]`), o)
		second := publish([]byte(`["FIRST 2"]`), o)
		third := publish([]byte(`["FIRST 3"]`), PublishOptions{ContentType: "application/json", IdempotencyKey: "k"})
		publishing.Wait()
		if !IsCode(*first, twohop.CodeUnknownOutcome) {
			t.Errorf("under way: %v", *first)
		}
		for _, err := range []error{*second, *third} {
			if !errors.Is(err, context.DeadlineExceeded) || IsCode(err, twohop.CodeUnknownOutcome) {
				t.Errorf("not sent: %v", err)
			}
		}

		close(readsOn)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		publish([]byte(`["after"]`), o)
		for _, want := range []string{
			`{"type":"publish","id":2,"channel":"a","records":["FIRST 1"],"contentType":"application/json"}`,
			`{"type":"publish","id":5,"channel":"a","records":["after"],"contentType":"application/json"}`,
		} {
			if b := <-got; b != want {
				t.Errorf("the server got %s, want %s", b, want)
			}
		}
		publishing.Wait()
	})
}

// TestConnConnectsToPublishByAWebSocketOnly: nothing else would carry it.
func TestConnConnectsToPublishByAWebSocketOnly(t *testing.T) {
	for _, transport := range []Transport{Auto, WebSocket, SSE, LongPoll, Poll} {
		synctest.Test(t, func(t *testing.T) {
			_, cl := newMany(t)
			c := cl.Connect(t.Context(), ConnOptions{Transport: transport})
			defer c.Close()
			wanted := false
			c.locked(func() {
				c.publishes, c.published = true, time.Now()
				wanted = c.wanted()
			})
			if want := transport == Auto || transport == WebSocket; wanted != want {
				t.Fatalf("%v: a connection is wanted: %v", transport, wanted) // and so without a pause
			}
			_, _ = c.Publish(t.Context(), "a", []byte("1"), PublishOptions{ContentType: "application/json"})
			synctest.Wait()
			if s := c.Status(); (s.State == Idle) == wanted {
				t.Errorf("%v", s)
			}
		})
	}
}

// TestPublishItemIsACopy: frames are made of it when the publish may be over.
func TestPublishItemIsACopy(t *testing.T) {
	for _, contentType := range []string{"application/json", "text/plain", ""} {
		data := []byte(`["FIRST "]`)
		item, err := itemOf("a", data, &PublishOptions{ContentType: contentType})
		if err != nil {
			t.Fatal(err)
		}
		copy(data, `["SECOND"]`)
		got := string(item.Records) + string(item.Base64)
		if item.Text != nil {
			got += *item.Text
		}
		if got != `["FIRST "]` {
			t.Errorf("%s: %s", contentType, got)
		}
	}
}
