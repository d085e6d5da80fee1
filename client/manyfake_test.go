package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// many is a server of PROTOCOL.md, 7 to 9, with channels of JSON in memory. What
// a test wants to go wrong, it does in before.
type many struct {
	before   func(w http.ResponseWriter, r *http.Request) bool // true: the request is answered
	late     time.Duration                                     // that the answer to a publish over a WebSocket takes
	listener *pipeListener
	page     int           // records of a data frame
	longPoll time.Duration // that a long poll waits
	expires  time.Duration // that a token lasts, below 0 to refuse it

	mu struct {
		sync.Mutex
		channels map[string]*manyChannel
		changed  chan struct{} // closed when anything does
		asked    []string      // what was asked for, in order: ws, sse, long-poll, poll
		frames   []string      // types of the clients' frames
		tokens   []string      // that came in frames
		extra    []string      // frames to send once, to whoever is connected
	}
}

type manyChannel struct {
	records []string
	closed  bool
}

func newMany(t *testing.T) (*many, *Client) {
	t.Helper()
	f := &many{page: 3, longPoll: 20 * time.Second}
	f.mu.channels, f.mu.changed = map[string]*manyChannel{}, make(chan struct{})
	var c *Client
	f.listener, c = serve(t, f)
	return f, c
}

func (f *many) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.mu.changed)
	f.mu.changed = make(chan struct{})
}

func (f *many) add(channel string, records ...string) {
	f.locked(func() {
		if f.mu.channels[channel] == nil {
			f.mu.channels[channel] = &manyChannel{}
		}
		f.mu.channels[channel].records = append(f.mu.channels[channel].records, records...)
	})
}

func (f *many) end(channel string) { f.locked(func() { f.mu.channels[channel].closed = true }) }

func (f *many) remove(channel string) { f.locked(func() { delete(f.mu.channels, channel) }) }

func (f *many) send(frames ...string) {
	f.locked(func() { f.mu.extra = append(f.mu.extra, frames...) })
}

func (f *many) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.mu.asked)
}

func (f *many) framesGot(kind string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.mu.frames {
		if k == kind {
			n++
		}
	}
	return n
}

func (f *many) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	kind := "ws"
	var list struct {
		Live     string
		Channels []manyRequest
		Resume   string
	}
	if r.URL.Path == "/v1/subscribe" {
		if err := json.Unmarshal(body, &list); err != nil {
			panic(err)
		}
		if kind = list.Live; kind == "" {
			kind = "poll"
		}
	}
	f.mu.Lock()
	f.mu.asked = append(f.mu.asked, kind)
	f.mu.Unlock()
	if f.before != nil && f.before(w, r) {
		return
	}
	at := cursors{}
	switch r.URL.Path {
	case "/v1/ws":
		f.socket(w, r)
		return
	case "/v1/subscribe":
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	write := func(frames []string) {
		if kind == "sse" {
			_, _ = fmt.Fprintf(w, "id: x\ndata:[%s]\n\n", strings.Join(frames, ","))
		} else {
			b := "[" + strings.Join(frames, ",") + "]"
			w.Header().Set("Stream-Resume", at.token())
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			_, _ = io.WriteString(w, b)
		}
		_ = http.NewResponseController(w).Flush()
	}
	if kind == "sse" {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, ": twohop\nretry: 1\n\n")
	}
	var frames []string
	if list.Resume != "" {
		if err := json.Unmarshal([]byte(list.Resume), &at); err != nil {
			panic(err)
		}
	} else {
		f.mu.Lock()
		for _, c := range list.Channels {
			frame := f.subscribe(at, c, 0)
			if _, there := at[c.Channel]; there && kind != "sse" && strings.Contains(c.Offset, "_") {
				continue // who named the place knows it
			}
			frames = append(frames, frame)
		}
		f.mu.Unlock()
	}
	ctx := r.Context()
	deadline := time.After(f.longPoll)
	for {
		f.mu.Lock()
		frames = append(frames, f.due(at)...)
		changed := f.mu.changed
		f.mu.Unlock()
		if len(frames) > 0 {
			if write(frames); kind != "sse" {
				return
			}
			frames = nil
			continue
		}
		heartbeat := time.After(15 * time.Second)
		switch kind {
		case "poll":
			deadline = time.After(0)
		case "sse":
			deadline = nil
		}
		select {
		case <-changed:
		case <-deadline:
			w.Header().Set("Stream-Resume", at.token())
			w.WriteHeader(http.StatusNoContent)
			return
		case <-heartbeat:
			if kind == "sse" {
				_, _ = io.WriteString(w, ":\n\n")
				_ = http.NewResponseController(w).Flush()
			}
		case <-ctx.Done():
			return
		}
	}
}

type manyRequest struct {
	Channel, Offset string
	Budget          string
}

// cursors are the places of a connection's channels.
type cursors map[string]int

func (c cursors) token() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// subscribe makes the answer to a subscribe; the lock is held.
func (f *many) subscribe(at cursors, r manyRequest, id uint64) string {
	c := f.mu.channels[r.Channel]
	if c == nil {
		return fmt.Sprintf(`{"type":"error","id":%d,"channel":%q,"code":"not_found","message":"m","hint":"h"}`, id, r.Channel)
	}
	n := 0
	switch r.Offset {
	case "-1":
	case "", "now":
		n = len(c.records)
	default:
		if _, err := fmt.Sscanf(r.Offset, "0000000000000001_%d", &n); err != nil {
			panic(r.Offset)
		}
	}
	at[r.Channel] = n
	return fmt.Sprintf(`{"type":"subscribed","id":%d,"channel":%q,"offset":%q,"budget":0,"contentType":"application/json","start":%q,"upToDate":%v}`,
		id, r.Channel, offsetOf(n), offsetOf(0), n == len(c.records))
}

// due are the frames that the cursors lack; the lock is held.
func (f *many) due(at cursors) (frames []string) {
	frames, f.mu.extra = f.mu.extra, nil
	for name, n := range at {
		c := f.mu.channels[name]
		if c == nil {
			frames = append(frames, fmt.Sprintf(`{"type":"reset","channel":%q,"offset":%q,"reason":"deleted","start":%[2]q,"tail":%[2]q}`, name, offsetOf(0)))
			delete(at, name)
			continue
		}
		if n == len(c.records) && !c.closed {
			continue
		}
		next := min(n+f.page, len(c.records))
		closed := c.closed && next == len(c.records)
		frames = append(frames, fmt.Sprintf(`{"type":"data","channel":%q,"offset":%q,"upToDate":%v,"closed":%v,"records":[%s]}`,
			name, offsetOf(next), next == len(c.records), closed, strings.Join(c.records[n:next], ",")))
		if at[name] = next; closed {
			delete(at, name)
		}
	}
	return frames
}

// socket serves a WebSocket.
func (f *many) socket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"twohop.v1"}, CompressionMode: websocket.CompressionNoContextTakeover})
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	say := func(frame string) bool { return conn.Write(ctx, websocket.MessageText, []byte(frame)) == nil }
	say(`{"type":"welcome","heartbeat":30000,"maxChannels":100,"maxMessage":65536}`)
	at := cursors{}
	var answers []string // guarded by f.mu
	go func() {
		defer cancel()
		for {
			_, b, err := conn.Read(ctx)
			if err != nil {
				return
			}
			f.locked(func() { // in one: data may follow an answer, not come before it
				now := f.take(at, b)
				if f.late > 0 && len(now) == 1 && strings.Contains(now[0], `"published"`) {
					time.AfterFunc(f.late, func() { f.locked(func() { answers = append(answers, now...) }) })
					return
				}
				answers = append(answers, now...)
			})
		}
	}()
	for {
		f.mu.Lock()
		frames, changed := append(answers, f.due(at)...), f.mu.changed
		answers = nil
		f.mu.Unlock()
		for _, frame := range frames {
			if !say(frame) || strings.Contains(frame, `"drain"`) {
				return
			}
		}
		if len(frames) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			say(`{"type":"ping"}`)
		case <-ctx.Done():
			return
		}
	}
}

// take carries out a frame of the client's; the lock is held.
func (f *many) take(at cursors, b []byte) (answers []string) {
	var in struct {
		Type     string
		ID       uint64
		Channels json.RawMessage
		Channel  string
		Records  []json.RawMessage
		Token    string
	}
	if err := json.Unmarshal(b, &in); err != nil {
		panic(err)
	}
	if len(b) > 65536 {
		panic("a message longer than maxMessage")
	}
	f.mu.frames = append(f.mu.frames, in.Type)
	switch in.Type {
	case "subscribe":
		var list []manyRequest
		_ = json.Unmarshal(in.Channels, &list)
		for _, r := range list {
			if _, twice := at[r.Channel]; twice {
				panic("subscribed twice: " + r.Channel)
			}
			answers = append(answers, f.subscribe(at, r, in.ID))
		}
	case "unsubscribe":
		var list []string
		_ = json.Unmarshal(in.Channels, &list)
		for _, name := range list {
			if n, ok := at[name]; ok {
				answers = append(answers, fmt.Sprintf(`{"type":"unsubscribed","channel":%q,"offset":%q}`, name, offsetOf(n)))
			} else {
				answers = append(answers, fmt.Sprintf(`{"type":"error","channel":%q,"code":"not_subscribed","message":"m","hint":"h"}`, name))
			}
			delete(at, name)
		}
	case "token":
		f.mu.tokens = append(f.mu.tokens, in.Token)
		if f.expires < 0 {
			return []string{fmt.Sprintf(`{"type":"error","id":%d,"code":"token_invalid","message":"m","hint":"h"}`, in.ID)}
		}
		answers = append(answers, fmt.Sprintf(`{"type":"token","id":%d,"expires":%d}`, in.ID, f.expires.Milliseconds()))
	case "publish":
		c := f.mu.channels[in.Channel]
		if c == nil {
			return []string{fmt.Sprintf(`{"type":"error","id":%d,"channel":%q,"code":"not_found","message":"m","hint":"h"}`, in.ID, in.Channel)}
		}
		for _, r := range in.Records {
			c.records = append(c.records, string(r))
		}
		answers = append(answers, fmt.Sprintf(`{"type":"published","id":%d,"channel":%q,"offset":%q,"durability":"memory","readers":1}`,
			in.ID, in.Channel, offsetOf(len(c.records))))
	}
	return answers
}
