package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

// vectors reads a file of vectors.
func vectors[T any](t *testing.T, file string) (all []T) {
	t.Helper()
	b, err := os.ReadFile("../test/vectors/" + file)
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil || len(all) == 0 {
		t.Fatalf("%s: %v", file, err)
	}
	return all
}

// TestVectorsOfServerFrames reads every frame that a server may send.
func TestVectorsOfServerFrames(t *testing.T) {
	known := []string{frameWelcome, frameSubscribed, frameData, frameReset, frameUnsubscribed, framePublished, "token", framePing, framePong, frameAdvice, frameDrain, frameError}
	for _, v := range vectors[struct {
		Name, Text string
		Frame      *struct {
			Type, Channel, Offset, ContentType, Start, Tail, Reason, Durability, Transport, Code string
			UpToDate, Closed, Waiting, Duplicate                                                 bool
			Records                                                                              []json.RawMessage
			Text                                                                                 *string
			Bytes                                                                                []int
			Budget, Missed, Interval, Delay, Heartbeat                                           int64
			MaxChannels, MaxMessage                                                              int
			Readers                                                                              *int
		}
	}](t, "server_frames.json") {
		f, err := parseFrame([]byte(v.Text))
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if v.Frame == nil {
			if slices.Contains(known, f.Type) {
				t.Errorf("%s: taken for %s", v.Name, f.Type)
			}
			continue
		}
		w := v.Frame
		got := fmt.Sprint(f.Type, f.Channel, f.Offset, f.ContentType, f.Start, f.Tail, f.Reason, f.Durability, f.Transport, f.Code,
			f.UpToDate, f.Closed, f.Waiting, f.Duplicate, f.Budget, int64(f.Missed), f.Interval, f.Delay, f.Heartbeat, f.MaxChannels, f.MaxMessage) //nolint:gosec // small
		want := fmt.Sprint(w.Type, w.Channel, w.Offset, w.ContentType, w.Start, w.Tail, w.Reason, w.Durability, w.Transport, w.Code,
			w.UpToDate, w.Closed, w.Waiting, w.Duplicate, w.Budget, w.Missed, w.Interval, w.Delay, w.Heartbeat, w.MaxChannels, w.MaxMessage)
		if d := cmp.Diff(want, got) + cmp.Diff(w.Readers, f.Readers); d != "" {
			t.Errorf("%s: %s", v.Name, d)
		}
		var data [][]byte
		for _, r := range w.Records {
			data = append(data, r)
		}
		if w.Text != nil && *w.Text != "" {
			data = [][]byte{[]byte(*w.Text)}
		}
		if w.Bytes != nil {
			data = [][]byte{asBytes(w.Bytes)}
		}
		if records, isJSON := f.records(); !sameRecords(records, data) || isJSON != (w.Records != nil) {
			t.Errorf("%s: records %q, want %q", v.Name, records, data)
		}
	}
}

func asBytes(n []int) (b []byte) {
	for _, n := range n {
		b = append(b, byte(n)) //nolint:gosec // bytes
	}
	return b
}

// sameRecords compares the values of JSON, and else bytes.
func sameRecords(a, b [][]byte) bool {
	return slices.EqualFunc(a, b, func(a, b []byte) bool {
		var x, y any
		if json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil {
			return cmp.Equal(x, y)
		}
		return bytes.Equal(a, b)
	})
}

// conversation is a vector of what a client and a server say to each other.
type conversation struct {
	Name  string
	Steps []struct {
		C, S      map[string]any
		Cut       bool
		Got       [][]any
		Stands    map[string]*string
		Published map[string]any
	}
}

// TestVectorsOfConversations plays the server's part, and does what the
// client's frames are the consequence of.
func TestVectorsOfConversations(t *testing.T) {
	for _, v := range vectors[conversation](t, "conversations.json") {
		t.Run(v.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { converse(t, &v) })
		})
	}
}

// talker is the server of a conversation, and the application.
type talker struct {
	t         *testing.T
	c         *Conn
	conns     chan *websocket.Conn
	conn      *websocket.Conn
	waits     bool             // the application wants channels that do not exist yet
	heard     []map[string]any // frames of the client's that no step asked for yet
	ids       map[string]any   // by their names in the vector
	following map[string]*Following
	got       [][]any
	published map[string]any
}

func converse(t *testing.T, v *conversation) {
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{}), cut: func(int) int { return -1 }}
	k := &talker{t: t, conns: make(chan *websocket.Conn, 10), ids: map[string]any{}, following: map[string]*Following{}, got: [][]any{}, published: map[string]any{}}
	s := &http.Server{ReadHeaderTimeout: time.Hour, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"twohop.v1"}})
		if err != nil {
			t.Error(err)
			return
		}
		k.conns <- conn
	})}
	go func() { _ = s.Serve(l) }()
	defer func() { l.breakAll(); _ = s.Close() }()
	cl, err := New("http://fake", Options{HTTPClient: &http.Client{Transport: &http.Transport{DialContext: l.dial}}, BackoffMin: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	k.c = cl.Connect(t.Context(), ConnOptions{Transport: WebSocket})
	defer k.c.Close()

	for _, step := range v.Steps {
		k.waits = k.waits || step.S["waiting"] == true
	}
	for i, step := range v.Steps {
		switch {
		case step.S != nil:
			if step.S["type"] == frameWelcome && !k.connected(v, i) {
				continue // nothing is followed, so nobody comes
			}
			k.say(step.S)
		case step.C != nil:
			k.hear(i, step.C)
		case step.Cut:
			_ = k.conn.CloseNow()
			k.heard = nil
		case step.Got != nil:
			k.take()
			if d := cmp.Diff(step.Got, roundTrip(t, k.got)); d != "" {
				t.Errorf("step %d: got %s", i, d)
			}
		case step.Stands != nil:
			k.take()
			for name, want := range step.Stands {
				f := k.following[name]
				k.c.mu.Lock()
				stands, ended := f.stands(), f.ended
				k.c.mu.Unlock()
				if want == nil && !ended || want != nil && (ended || stands != *want) {
					t.Errorf("step %d: %s stands at %s, ended: %v", i, name, stands, ended)
				}
			}
		case step.Published != nil:
			synctest.Wait()
			if d := cmp.Diff(step.Published, k.published); d != "" {
				t.Errorf("step %d: published %s", i, d)
			}
		}
	}
}

func roundTrip(t *testing.T, v [][]any) (out [][]any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// connected waits for the client to connect, which it does when it has
// something to do there: the application does first what the next frames of the
// client's tell of.
func (k *talker) connected(v *conversation, i int) bool {
	for _, next := range v.Steps[i:] {
		if next.C != nil && next.C["type"] != framePong {
			k.act(next.C)
			break
		}
		if next.Cut {
			break
		}
	}
	time.Sleep(5 * time.Second) // for the backoff
	select {
	case k.conn = <-k.conns:
		conn := k.conn
		go func() {
			for {
				_, b, err := conn.Read(context.Background())
				if err != nil {
					return
				}
				var f map[string]any
				if err := json.Unmarshal(b, &f); err != nil {
					k.t.Error(err)
				}
				k.c.locked(func() { k.heard = append(k.heard, f) })
			}
		}()
		return true
	default:
		return false
	}
}

// act does what makes the client send a frame.
func (k *talker) act(c map[string]any) {
	switch c["type"] {
	case frameSubscribe:
		for _, each := range c["channels"].([]any) {
			each := each.(map[string]any)
			name, offset := each["channel"].(string), each["offset"].(string)
			if k.following[name] != nil {
				continue
			}
			from := At(offset)
			if offset == "-1" {
				from = Start()
			}
			budget, _ := each["budget"].(float64)
			k.following[name] = follow(k.t, k.c, name, ChannelOptions{From: from, Wait: k.waits, Budget: time.Duration(budget) * time.Millisecond})
		}
	case frameUnsubscribe:
		for _, name := range c["channels"].([]any) {
			k.take()
			k.following[name.(string)].Close()
		}
	case framePublish:
		key := c["id"].(string)
		if k.published[key] != nil {
			return
		}
		k.published[key] = map[string]any{}
		data, _ := json.Marshal(c["records"])
		k.c.locked(func() { // without a connection it would be a request
			k.c.publishes, k.c.published = true, time.Now()
			notify(k.c.kick)
		})
		go func() {
			for connected := false; !connected; time.Sleep(time.Millisecond) {
				k.c.locked(func() { connected = k.c.session != nil })
			}
			ack, err := k.c.Publish(context.Background(), c["channel"].(string), data, PublishOptions{ContentType: "application/json"})
			answer := map[string]any{"offset": ack.Offset, "durability": ack.Level, "readers": float64(ack.Readers), "duplicate": ack.Duplicate}
			if err != nil {
				answer = map[string]any{"error": codeText(err)}
			}
			k.c.locked(func() { k.published[key] = answer })
		}()
	}
}

func codeText(err error) string {
	for _, code := range []string{"not_found", "closed"} {
		if strings.Contains(err.Error(), code) {
			return code
		}
	}
	return err.Error()
}

// say sends a frame of the server's.
func (k *talker) say(f map[string]any) {
	if name, ok := f["id"].(string); ok {
		f["id"] = k.ids[name]
	}
	b, err := json.Marshal(f)
	if err == nil {
		err = k.conn.Write(context.Background(), websocket.MessageText, b)
	}
	if err != nil {
		k.t.Error(err)
	}
	synctest.Wait()
}

// hear waits for a frame of the client's.
func (k *talker) hear(i int, want map[string]any) {
	k.act(want)
	time.Sleep(time.Second)
	synctest.Wait()
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	for at, f := range k.heard {
		if sameFrame(f, want) {
			if name, ok := want["id"].(string); ok {
				k.ids[name] = f["id"]
			}
			k.heard = slices.Delete(k.heard, at, at+1)
			return
		}
	}
	k.t.Errorf("step %d: heard %v, want %v", i, k.heard, want)
}

// sameFrame compares frames but for their ids, for the encoding, which this
// client always asks for, and for the form of a budget.
func sameFrame(f, want map[string]any) bool {
	strip := func(f map[string]any) string {
		b, _ := json.Marshal(f)
		var c map[string]any
		_ = json.Unmarshal(b, &c)
		delete(c, "id")
		if c["type"] == framePublish && c["contentType"] == "application/json" {
			delete(c, "contentType")
		}
		if list, ok := c["channels"].([]any); ok {
			for _, each := range list {
				if each, ok := each.(map[string]any); ok {
					delete(each, "encoding")
					if d, err := time.ParseDuration(fmt.Sprint(each["budget"])); err == nil {
						each["budget"] = d.Milliseconds()
					}
				}
			}
		}
		b, _ = json.Marshal(c)
		return string(b)
	}
	return strip(f) == strip(want)
}

// take takes what came for the application.
func (k *talker) take() {
	synctest.Wait()
	for {
		q, ok := k.c.next()
		if !ok {
			return
		}
		e, name := q.event, q.event.Channel
		switch {
		case q.err != nil:
			if last := len(k.got) - 1; last >= 0 && fmt.Sprint(k.got[last]) == fmt.Sprint([]any{name, map[string]any{"reset": "deleted", "missed": 0}}) {
				continue // the error that a deleted channel ends with
			}
			k.got = append(k.got, []any{name, map[string]any{"error": codeText(q.err)}})
			continue
		case e.Reset != nil:
			k.got = append(k.got, []any{name, map[string]any{"reset": e.Reset.Reason, "missed": int(e.Reset.Missed)}}) //nolint:gosec // small
		case len(e.Records) > 0 && e.JSON:
			got := []any{name}
			for _, r := range e.Records {
				got = append(got, json.RawMessage(r))
			}
			k.got = append(k.got, got)
		case len(e.Records) > 0 && name == "t":
			k.got = append(k.got, []any{name, map[string]any{"text": string(e.Records[0])}})
		case len(e.Records) > 0:
			var bytes []int
			for _, b := range e.Records[0] {
				bytes = append(bytes, int(b))
			}
			k.got = append(k.got, []any{name, map[string]any{"bytes": bytes}})
		}
		if e.Closed {
			k.got = append(k.got, []any{name, map[string]any{"closed": true}})
		}
	}
}
