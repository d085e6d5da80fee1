package transports

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	diff "github.com/google/go-cmp/cmp"

	"twohop/internal/config"
	"twohop/server"
)

// frame is a frame, or what else is a JSON object.
type frame = map[string]any

// conversation is one of test/vectors/conversations.json; the README there says
// what the steps are.
type conversation struct {
	Name     string
	Settings json.RawMessage
	Steps    []struct {
		W, C, S           frame
		Cut, Odd, Crosses bool
		Got               []any
		Stands, Published frame // what a client makes of it
	}
}

// TestVectorsOfConversations plays the client's part against a whole server.
func TestVectorsOfConversations(t *testing.T) {
	text, err := os.ReadFile("../vectors/conversations.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []conversation
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil || len(all) < 20 {
		t.Fatalf("%d conversations: %v", len(all), err)
	}
	for _, how := range []struct {
		name string
		host host
	}{{"own listener", hostItself}, {"net/http", hostHandler}} {
		for i := range all {
			t.Run(how.name+"/"+all[i].Name, func(t *testing.T) {
				t.Parallel()
				k := &talk{t: t, host: how.host, config: settled(t, all[i].Settings), offsets: map[string]map[string]string{}}
				defer k.leave()
				k.play(&all[i])
			})
		}
	}
}

// talk is the client of a conversation, and who else does something at the
// server.
type talk struct {
	t      *testing.T
	host   host
	config *config.Config

	url         string
	drain, stop func() // of the server
	draining    bool

	*line
	heard   []frame                      // not looked at yet
	ids     map[any]string               // of the frames that were sent and not answered: their type
	offsets map[string]map[string]string // by channel: what the vector's offsets are here
}

// line is a connection.
type line struct {
	conn   *websocket.Conn
	frames chan frame // as they come; closed at the end
	end    error      // what ended it, when frames is closed
}

func (k *talk) play(v *conversation) {
	k.enter()
	steps := slices.Clone(v.Steps)
	for i := range steps {
		if step := steps[i]; step.Crosses { // it is sent when the next one is here, so that this one is surely under way
			steps[i], steps[i+1] = steps[i+1], step
			steps[i+1].Crosses = false
		}
		step := steps[i]
		switch {
		case step.W != nil:
			k.world(step.W)
		case step.C != nil:
			k.say(step.C)
		case step.S != nil && !step.Odd:
			if step.S["type"] == "welcome" {
				k.connect()
			}
			k.hear(i, step.S)
		case step.Cut:
			k.cut()
		}
		if k.t.Failed() {
			k.t.Fatalf("after step %d", i)
		}
	}
	k.cut()
	k.inOrder()
}

// enter starts a server.
func (k *talk) enter() {
	s, err := server.New(server.Options{Config: k.config, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		k.t.Fatal(err)
	}
	k.url, k.drain, k.stop = k.host(k.t, s)
	k.draining = false
}

// leave ends what is left.
func (k *talk) leave() {
	if k.line != nil {
		_ = k.conn.CloseNow() // it may have ended
	}
	if k.stop != nil {
		k.stop()
	}
}

// world does what others do at the server.
func (k *talk) world(w frame) {
	channel, _ := w["channel"].(string)
	switch w["type"] {
	case "create":
		k.request(http.MethodPut, "/v1/stream/"+channel, w["contentType"].(string), "")
	case "delete":
		k.request(http.MethodDelete, "/v1/stream/"+channel, "", "")
	case "publish":
		item := maps.Clone(w)
		delete(item, "type")
		delete(item, "offset")
		body, err := json.Marshal([]any{item})
		if err != nil {
			k.t.Fatal(err)
		}
		var answers []struct{ Offset string }
		if err := json.Unmarshal(k.request(http.MethodPost, "/v1/publish", "application/json", string(body)), &answers); err != nil {
			k.t.Fatal(err)
		}
		k.bind(channel, w["offset"].(string), answers[0].Offset)
	case "drain":
		k.draining = true
		k.drain()
	default:
		k.t.Fatalf("nobody can do %v", w)
	}
}

func (k *talk) request(method, path, contentType, body string) []byte {
	r, err := http.NewRequestWithContext(k.t.Context(), method, k.url+path, strings.NewReader(body))
	if err != nil {
		k.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode > 204 {
		k.t.Fatalf("%s %s: %s, %v: %s", method, path, resp.Status, err, answer)
	}
	return answer
}

// connect begins a connection, at another server if the first one has left.
func (k *talk) connect() {
	if k.draining {
		k.stop()
		k.stop = nil
		k.enter()
	}
	ctx := k.t.Context()
	// A proxy shows, so that the heartbeats are those of the setting.
	header := http.Header{"Via": {"1.1 proxy"}}
	conn, _, err := websocket.Dial(ctx, k.url+"/v1/ws", &websocket.DialOptions{Subprotocols: []string{"twohop.v1"}, HTTPHeader: header})
	if err != nil {
		k.t.Fatal(err)
	}
	l := &line{conn: conn, frames: make(chan frame, 100)}
	k.line, k.heard, k.ids = l, nil, map[any]string{}
	go func() {
		defer close(l.frames)
		for {
			var text []byte
			if _, text, l.end = conn.Read(ctx); l.end != nil {
				return
			}
			var f frame
			if l.end = json.Unmarshal(text, &f); l.end != nil {
				return
			}
			l.frames <- f
		}
	}()
}

// cut ends the connection. What it still had to say is an answer that the
// vector does not wait for.
func (k *talk) cut() {
	if k.line == nil {
		return
	}
	if !k.draining {
		k.say(frame{"type": "ping", "id": "last"})
		k.hear(-1, frame{"type": "pong", "id": "last"})
	} else {
		for f := range k.frames {
			k.heard = append(k.heard, f)
		}
		if code := websocket.CloseStatus(k.end); code != websocket.StatusServiceRestart {
			k.t.Errorf("the connection to a node that leaves ended with %v", k.end)
		}
	}
	for _, f := range k.heard {
		if _, open := k.ids[f["id"]]; !open {
			k.t.Errorf("the server said more: %v", f)
		}
	}
	_ = k.conn.CloseNow() // a cut is what is wanted
	k.line = nil
}

// say sends a frame of the client's, with the server's own offsets.
func (k *talk) say(c frame) {
	c = copyOf(c)
	list, _ := c["channels"].([]any)
	for _, each := range list {
		if each, ok := each.(frame); ok {
			each["offset"] = k.real(each["channel"].(string), each["offset"].(string))
		}
	}
	if id := c["id"]; id != nil {
		k.ids[id] = c["type"].(string)
	}
	text, err := json.Marshal(c)
	if err == nil {
		err = k.conn.Write(k.t.Context(), websocket.MessageText, text)
	}
	if err != nil {
		k.t.Fatal(err)
	}
}

// hear waits for a frame of the server's.
func (k *talk) hear(i int, want frame) {
	late := time.NewTimer(10 * time.Second)
	defer late.Stop()
	at := slices.IndexFunc(k.heard, func(f frame) bool { return k.row(f) == k.row(want) })
	for at < 0 {
		select {
		case f, ok := <-k.frames:
			if !ok {
				k.t.Fatalf("step %d: the connection ended with %v after %v, want %v", i, k.end, k.heard, want)
			}
			k.heard = append(k.heard, f)
			if k.row(f) == k.row(want) {
				at = len(k.heard) - 1
			}
		case <-late.C:
			k.t.Fatalf("step %d: heard %v, want %v", i, k.heard, want)
		}
	}
	got := k.heard[at]
	k.heard = slices.Delete(k.heard, at, at+1)
	delete(k.ids, got["id"])
	if d := diff.Diff(k.meant(want), k.meaning(got, want)); d != "" {
		k.t.Errorf("step %d: %s", i, d)
	}
}

// row is what frames keep their order in: a channel, or the connection. Answers
// to publishes come when they come.
func (k *talk) row(f frame) string {
	if id := f["id"]; k.ids[id] == "publish" {
		return fmt.Sprint("publish ", id)
	}
	return fmt.Sprint(f["channel"])
}

// meant is what a vector says of a frame, without what servers choose.
func (k *talk) meant(want frame) frame {
	want = copyOf(want)
	delete(want, "future") // later servers may say more
	delete(want, "message")
	delete(want, "hint")
	if want["type"] == "drain" {
		want["delay"] = 0.0
	}
	return want
}

// meaning is a frame as the vector has it: in the vector's offsets.
func (k *talk) meaning(got, want frame) frame {
	m := maps.Clone(got)
	channel := fmt.Sprint(got["channel"])
	for _, name := range []string{"offset", "start", "tail"} {
		here, told := got[name].(string)
		theirs, wanted := want[name].(string)
		if told && wanted && k.bind(channel, theirs, here) {
			m[name] = theirs
		}
	}
	for _, name := range []string{"upToDate", "closed", "duplicate", "waiting"} {
		if _, wanted := want[name]; !wanted && m[name] == false {
			delete(m, name)
		}
	}
	for _, name := range []string{"message", "hint"} {
		if text, _ := m[name].(string); got["type"] == "error" && text == "" {
			k.t.Errorf("an error without its %s: %v", name, got)
		}
		delete(m, name)
	}
	if delay, ok := m["delay"].(float64); ok && delay >= 0 {
		m["delay"] = 0.0
	}
	return m
}

const beginning = "0000000000000000_0000000000000000"

// bind says what an offset of the vector is here; it reports whether it was the
// same before.
func (k *talk) bind(channel, theirs, here string) bool {
	if theirs == beginning {
		return here == beginning
	}
	if k.offsets[channel] == nil {
		k.offsets[channel] = map[string]string{}
	}
	known := k.offsets[channel]
	known[theirs] = cmp.Or(known[theirs], here)
	return known[theirs] == here
}

// real is an offset as it is here; one that nobody has heard of is an offset
// that this server never gave.
func (k *talk) real(channel, theirs string) string {
	if here, ok := k.offsets[channel][theirs]; ok || !strings.Contains(theirs, "_") || theirs == beginning {
		return cmp.Or(here, theirs)
	}
	for _, known := range k.offsets[channel] {
		epoch, _, _ := strings.Cut(known, "_")
		return epoch + "_0000000009999999"
	}
	k.t.Fatalf("nobody knows what the offset %s of %s is", theirs, channel)
	return ""
}

// inOrder checks that offsets sort here as in the vector: equal ones were seen
// to be equal.
func (k *talk) inOrder() {
	for channel, known := range k.offsets {
		last := beginning
		for _, theirs := range slices.Sorted(maps.Keys(known)) {
			if known[theirs] <= last {
				k.t.Errorf("%s: the offset %s is %s, which is not after %s", channel, theirs, known[theirs], last)
			}
			last = known[theirs]
		}
	}
}

func copyOf(f frame) (c frame) {
	text, err := json.Marshal(f)
	if err := errors.Join(err, json.Unmarshal(text, &c)); err != nil {
		panic(err) // it was JSON
	}
	return c
}
