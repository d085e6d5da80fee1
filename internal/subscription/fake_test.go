package subscription

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
)

// fakeStore is a log in memory with a feed to any number of managers. One
// record is kept of the server's own channels, all of the others.
type fakeStore struct {
	mu    sync.Mutex
	logs  map[string]*fakeLog
	epoch uint64
	nodes []*Manager
	mute  bool // the feed tells nothing
	pages int  // that were listed

	// before is called for each append, outside the lock. An error it returns is
	// the append's answer; carried says that the append takes effect all the same.
	before func(a *twohop.Append) (carried bool, err error)
	ill    error             // is the answer to each Info of a channel that is not the server's own
	asked  func(name string) // is called after each Info, before its caller has the answer
}

type fakeLog struct {
	epoch       uint64
	contentType string
	records     [][]byte
	first       int // records before it are dropped
	keys        map[string]twohop.Offset
}

func newStore() *fakeStore { return &fakeStore{logs: map[string]*fakeLog{}, epoch: 1000} }

func (f *fakeStore) tell(name string, tail twohop.Offset) {
	f.mu.Lock()
	nodes, mute := slices.Clone(f.nodes), f.mute
	f.mu.Unlock()
	for _, m := range nodes {
		if !mute {
			m.Changed(name, tail)
		}
	}
}

func (l *fakeLog) tail() twohop.Offset {
	return twohop.Offset{Epoch: l.epoch, Pos: uint64(len(l.records))}
}

func (l *fakeLog) add(name string, data []byte, ends []uint32) {
	from := uint32(0)
	for _, e := range ends {
		l.records = append(l.records, data[from:e])
		from = e
	}
	if name[0] == '$' && len(l.records) > 0 {
		l.first = len(l.records) - 1
	}
}

func notThere(name string) error {
	return &twohop.Error{Code: twohop.CodeNotFound, Channel: name, Message: "there is no such channel"}
}

func (f *fakeStore) Create(ctx context.Context, name string, spec *twohop.Spec) (twohop.Info, bool, error) {
	if err := ctx.Err(); err != nil {
		return twohop.Info{}, false, err
	}
	f.mu.Lock()
	if l := f.logs[name]; l != nil {
		defer f.mu.Unlock()
		return l.info(name), false, nil
	}
	f.epoch++
	l := &fakeLog{epoch: f.epoch, contentType: spec.ContentType, keys: map[string]twohop.Offset{}}
	l.add(name, spec.Data, spec.Ends)
	f.logs[name] = l
	info := l.info(name)
	f.mu.Unlock()
	if len(spec.Ends) > 0 {
		f.tell(name, info.Tail)
	}
	return info, true, nil
}

func (l *fakeLog) info(name string) twohop.Info {
	return twohop.Info{Name: name, ContentType: l.contentType, Tail: l.tail(), Start: twohop.Offset{Epoch: l.epoch, Pos: uint64(l.first)}}
}

func (f *fakeStore) Append(ctx context.Context, a *twohop.Append) (twohop.Ack, error) {
	if err := ctx.Err(); err != nil {
		return twohop.Ack{}, err
	}
	var fail error
	f.mu.Lock()
	before := f.before
	f.mu.Unlock()
	if before != nil {
		carried, err := before(a)
		if err != nil && !carried {
			return twohop.Ack{}, err
		}
		fail = err
	}
	ack, err := f.append(a)
	if err == nil && !ack.Duplicate {
		f.tell(a.Channel, ack.Offset)
	}
	if fail != nil {
		return twohop.Ack{}, fail
	}
	return ack, err
}

func (f *fakeStore) append(a *twohop.Append) (twohop.Ack, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.logs[a.Channel]
	if l == nil {
		return twohop.Ack{}, notThere(a.Channel)
	}
	if at, ok := l.keys[a.Key]; ok && a.Key != "" {
		return twohop.Ack{Offset: at, Duplicate: true}, nil
	}
	if a.ContentType != "" && a.ContentType != l.contentType {
		return twohop.Ack{}, &twohop.Error{Code: twohop.CodeContentType}
	}
	if a.If != nil && *a.If != l.tail() {
		return twohop.Ack{}, &twohop.Error{Code: twohop.CodeTailMoved}
	}
	l.add(a.Channel, a.Data, a.Ends)
	if a.Key != "" {
		l.keys[a.Key] = l.tail()
	}
	return twohop.Ack{Offset: l.tail()}, nil
}

func (f *fakeStore) Info(ctx context.Context, name string) (twohop.Info, error) {
	info, asked, err := f.look(name)
	if asked != nil {
		asked(name)
	}
	return info, cmp.Or(err, ctx.Err())
}

func (f *fakeStore) look(name string) (twohop.Info, func(string), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.logs[name]
	if f.ill != nil && !twohop.Reserved(name) {
		return twohop.Info{}, f.asked, f.ill
	}
	if l == nil {
		return twohop.Info{}, f.asked, notThere(name)
	}
	return l.info(name), f.asked, nil
}

// fault sets before.
func (f *fakeStore) fault(before func(*twohop.Append) (carried bool, err error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

// fails sets ill.
func (f *fakeStore) fails(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ill = err
}

// afterInfo has a record appended to a channel right after somebody asked for
// its tail, once.
func (f *fakeStore) afterInfo(t *testing.T, channel string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	nodes := slices.Clone(f.nodes)
	once := sync.OnceFunc(func() {
		f.post(t, channel, `"meanwhile"`)
		for _, m := range nodes {
			m.dispatch()
		}
	})
	f.asked = func(name string) {
		if name == channel {
			once()
		}
	}
}

func (f *fakeStore) Read(ctx context.Context, name string, from twohop.Offset, _ int) (twohop.Batch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.logs[name]
	if l == nil {
		return twohop.Batch{}, notThere(name)
	}
	if from.Pos < uint64(l.first) {
		return twohop.Batch{}, &twohop.Error{Code: twohop.CodeReset}
	}
	b := twohop.Batch{From: from, Next: l.tail()}
	for _, r := range l.records[from.Pos:] {
		b.Data = append(b.Data, r...)
		b.Ends = append(b.Ends, uint32(len(b.Data)))
	}
	return b, ctx.Err()
}

func (f *fakeStore) Last(ctx context.Context, name string, n uint64) (twohop.Offset, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.logs[name]
	if l == nil {
		return twohop.Offset{}, notThere(name)
	}
	return twohop.Offset{Epoch: l.epoch, Pos: uint64(max(l.first, len(l.records)-int(n)))}, ctx.Err()
}

func (f *fakeStore) List(ctx context.Context, glob, after string, n int) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pages++
	names := slices.Sorted(maps.Keys(f.logs))
	names = slices.DeleteFunc(names, func(s string) bool { return s <= after || !twohop.Match(glob, s) })
	return names[:min(n, len(names))], ctx.Err()
}

func (f *fakeStore) Delete(ctx context.Context, name string) error {
	f.mu.Lock()
	if f.logs[name] == nil {
		f.mu.Unlock()
		return notThere(name)
	}
	delete(f.logs, name)
	nodes, mute := slices.Clone(f.nodes), f.mute
	f.mu.Unlock()
	for _, m := range nodes {
		if !mute {
			m.Deleted(name)
		}
	}
	return ctx.Err()
}

// remove deletes a channel.
func (f *fakeStore) remove(t *testing.T, name string) {
	t.Helper()
	if err := f.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

// kept is the state that is stored of a subscription.
func (f *fakeStore) kept(t *testing.T, id string) *state {
	t.Helper()
	var st state
	if _, err := last(t.Context(), f, stateChannels+id, &st); err != nil {
		t.Fatal(err)
	}
	return &st
}

// put creates a JSON channel with records.
func (f *fakeStore) put(t *testing.T, name string, records ...string) {
	t.Helper()
	spec := &twohop.Spec{ContentType: jsonType}
	for _, r := range records {
		spec.Data = append(spec.Data, r+","...)
		spec.Ends = append(spec.Ends, uint32(len(spec.Data)))
	}
	if _, made, err := f.Create(t.Context(), name, spec); err != nil || !made {
		t.Fatalf("creating %s: made %v, %v", name, made, err)
	}
}

// post appends one record and returns the new tail.
func (f *fakeStore) post(t *testing.T, name, rec string) string {
	t.Helper()
	ack, err := f.Append(t.Context(), &twohop.Append{Channel: name, Data: []byte(rec + ","), Ends: []uint32{uint32(len(rec) + 1)}})
	if err != nil {
		t.Fatalf("appending to %s: %v", name, err)
	}
	return ack.Offset.String()
}

// events decodes the records of a wake channel.
func (f *fakeStore) events(t *testing.T, name string) []wakeEvent {
	t.Helper()
	b, err := f.Read(t.Context(), name, twohop.Offset{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var list []wakeEvent
	if err := json.Unmarshal([]byte("["+string(bytes.TrimSuffix(b.Data, []byte(",")))+"]"), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// hooks is a webhook's receiver.
type hooks struct {
	mu     sync.Mutex
	got    []hook
	answer func(n int, r *http.Request) (*http.Response, error) // n counts from 1; nil answers {}
}

type hook struct {
	at     time.Time
	header http.Header
	raw    []byte
	body   notification
}

func (h *hooks) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, _ := io.ReadAll(r.Body)
	got := hook{at: time.Now(), header: r.Header, raw: raw}
	if err := json.Unmarshal(raw, &got.body); err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.got = append(h.got, got)
	n, answer := len(h.got), h.answer
	h.mu.Unlock()
	if answer == nil {
		return reply(200, `{}`), nil
	}
	return answer(n, r)
}

func reply(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: http.Header{}, Body: io.NopCloser(bytes.NewBufferString(body))}
}

func (h *hooks) all() []hook {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

func (h *hooks) answers(status int, body string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = func(int, *http.Request) (*http.Response, error) { return reply(status, body), nil }
}

// node starts a manager on the store; it stops with the test, or before.
func (f *fakeStore) node(t *testing.T, h *hooks) (*Manager, func()) {
	t.Helper()
	return f.nodeWith(t, h, Options{})
}

func (f *fakeStore) nodeWith(t *testing.T, h *hooks, o Options) (*Manager, func()) {
	t.Helper()
	o.AllowLoopback, o.Log = true, slog.New(slog.NewTextHandler(t.Output(), nil))
	if h != nil {
		o.Transport = h
	}
	m := New(f, o)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.nodes = append(f.nodes, m)
	f.mu.Unlock()
	stop := sync.OnceFunc(func() {
		f.mu.Lock()
		f.nodes = slices.DeleteFunc(f.nodes, func(n *Manager) bool { return n == m })
		f.mu.Unlock()
		m.Stop()
	})
	t.Cleanup(stop)
	return m, stop
}

// do sends a request and decodes its answer. A body that is a string is sent as
// it is, any other as JSON.
func do(t *testing.T, m http.Handler, method, path, token string, body any) (int, map[string]any) {
	t.Helper()
	rec := send(t, m, method, path, token, body)
	var out map[string]any
	if rec.Body.Len() > 0 {
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s %s: answer %q: %v", method, path, rec.Body, err)
		}
	}
	return rec.Code, out
}

func send(t *testing.T, m http.Handler, method, path, token string, body any) *httptest.ResponseRecorder {
	t.Helper()
	raw, isText := body.(string)
	if !isText && body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		raw = string(b)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, "http://events.example"+root+path, bytes.NewBufferString(raw))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	rec := httptest.NewRecorder()
	m.ServeHTTP(rec, r)
	if rec.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s %s: no nosniff", method, path)
	}
	return rec
}

// want is do with an expected status.
func want(t *testing.T, m http.Handler, status int, method, path, token string, body any) map[string]any {
	t.Helper()
	got, out := do(t, m, method, path, token, body)
	if got != status {
		t.Fatalf("%s %s: status %d, want %d: %v", method, path, got, status, out)
	}
	return out
}

// code is the Durable Streams code of an error's answer.
func code(out map[string]any) string {
	e, _ := out["error"].(map[string]any)
	c, _ := e["code"].(string)
	return c
}

type obj = map[string]any

func webhookConfig(more obj) obj {
	c := obj{"type": "webhook", "pattern": "events/*", "webhook": obj{"url": "http://localhost:9/hook"}, "lease_ttl_ms": 1000}
	maps.Copy(c, more)
	return c
}

func pullConfig(more obj) obj {
	c := obj{"type": "pull-wake", "pattern": "events/*", "wake_stream": "wake/pool", "lease_ttl_ms": 1000}
	maps.Copy(c, more)
	return c
}

// acked is the acknowledged offset of a linked channel, "" if it is not linked.
func acked(t *testing.T, m http.Handler, id, path string) string {
	t.Helper()
	return links(t, m, id)[path]
}

// links is the acknowledged offsets of all linked channels.
func links(t *testing.T, m http.Handler, id string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, s := range want(t, m, 200, "GET", "subscriptions/"+id, "", nil)["streams"].([]any) {
		s := s.(map[string]any)
		all[s["path"].(string)] = s["acked_offset"].(string)
	}
	return all
}

// bubble runs a test with a clock of its own.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
