package crash

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/engine/disklog"
	"twohop/internal/hub"
	"twohop/internal/transport/httpstream"
)

// shortRecords is what channels with retention keep.
const shortRecords = 6

var rules = twohop.Rules{
	{Match: "auto/**", Create: true, ContentType: "application/json"},
	{Match: "short/**", Retention: twohop.Retention{Records: shortRecords}},
	{Match: "lazy/interval/**", Sync: twohop.SyncInterval},
	{Match: "lazy/**", Sync: twohop.SyncNever},
}

// site is a server without its sockets.
type site struct {
	t       *testing.T
	engine  *pager
	hub     *hub.Hub
	handler *httpstream.Handler
	ctx     context.Context
	cancel  context.CancelFunc
}

// pager is an engine that can be told to return single records, so that each
// shows its offset.
type pager struct {
	engine.Engine
	single atomic.Bool
}

func (p *pager) Read(ctx context.Context, name string, from twohop.Offset, maxBytes int) (twohop.Batch, error) {
	if p.single.Load() {
		maxBytes = 1
	}
	return p.Engine.Read(ctx, name, from, maxBytes)
}

const dataDir = "data"

func open(t *testing.T, fs *vfs.MemFS) *site {
	t.Helper()
	e, err := disklog.Open(dataDir, disklog.Options{FS: fs, SyncInterval: time.Millisecond, CacheChannels: 8})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, engine: &pager{Engine: e}}
	s.hub = hub.New(s.engine, hub.Options{IdleKept: 4, TailBytes: 2 << 10, PageBytes: 256})
	s.handler = httpstream.New(s.hub, httpstream.Options{
		Rules: rules, LongPoll: 2 * time.Millisecond, Heartbeat: time.Millisecond, MaxAge: 10 * time.Millisecond,
	})
	s.ctx, s.cancel = context.WithCancel(t.Context())
	return s
}

// stop has all clients come to their end.
func (s *site) stop() { s.cancel() }

func (s *site) close() {
	s.cancel()
	s.handler.Drain()
	if err := s.engine.Close(); err != nil {
		s.t.Error(err)
	}
	s.hub.Close()
}

// answer is what a request got; its status is 0 if it got none.
type answer struct {
	status int
	header http.Header
	body   string
}

// offset is where the answer says that something ends.
func (a *answer) offset(t *testing.T) twohop.Offset {
	t.Helper()
	o, err := twohop.ParseOffset(a.header.Get("Stream-Next-Offset"))
	if err != nil {
		t.Errorf("status %d: %v", a.status, err)
	}
	return o
}

func (a *answer) String() string {
	return fmt.Sprintf("%d %.200s", a.status, a.body)
}

// do carries out a request. header has names and values in turn.
func (s *site) do(ctx context.Context, method, url, body string, header ...string) *answer {
	w := &recorder{header: http.Header{}}
	s.handler.ServeHTTP(w, request(ctx, method, url, body, header...))
	if w.status == 0 && ctx.Err() == nil {
		s.t.Errorf("%s %s is not answered", method, url)
	}
	return &answer{w.status, w.header, string(w.body)}
}

// recorder keeps an answer; the status is 0 if there was none, as there is to
// clients that leave.
type recorder struct {
	status int
	header http.Header
	body   []byte
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) Write(p []byte) (int, error) {
	r.body = append(r.body, p...)
	return len(p), nil
}

func request(ctx context.Context, method, url, body string, header ...string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// hasty is a context that may end at any moment of a request.
func (s *site) hasty(random *rand.Rand) (context.Context, context.CancelFunc) {
	if random.IntN(4) > 0 {
		return s.ctx, func() {}
	}
	return context.WithTimeout(s.ctx, time.Duration(random.IntN(300))*time.Microsecond)
}

// powerCut is the disk as a power cut may leave it: with any part of what was
// not synced.
func powerCut(t *testing.T, fs *vfs.MemFS, random *rand.Rand) *vfs.MemFS {
	t.Helper()
	switch kind := random.IntN(6); kind {
	case 0, 1:
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: 10 + random.IntN(90), RNG: rand.New(rand.NewPCG(random.Uint64(), 0))} //nolint:gosec // chance is wanted
		return fs.CrashClone(cfg)
	case 2:
		return fs.CrashClone(vfs.CrashCloneCfg{})
	default:
		synced := fs.CrashClone(vfs.CrashCloneCfg{})
		all := rand.New(rand.NewPCG(0, 0)) //nolint:gosec // not looked at
		written := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: all})
		tear(t, synced, written, random, kind == 3)
		return synced
	}
}

// tear gives the newest log file on a disk that was just synced some of the
// bytes that were written to it afterwards, up to any byte; what follows is cut
// off, or zeros where the file was longer already.
func tear(t *testing.T, synced, written *vfs.MemFS, random *rand.Rand, zeros bool) {
	t.Helper()
	name := newestLog(t, synced)
	old, new := contents(synced, name), contents(written, name)
	first := 0
	for first < min(len(old), len(new)) && old[first] == new[first] {
		first++
	}
	if name == "" || first == len(new) {
		return
	}
	cut := first + random.IntN(len(new)-first+1)
	torn := slices.Clone(new[:cut])
	switch {
	case cut < len(old):
		torn = append(torn, old[cut:]...)
	case zeros:
		torn = append(torn, make([]byte, len(new)-cut)...)
	}
	f, err := synced.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(torn); err != nil {
		t.Fatal(err)
	}
	dir, err := synced.OpenDir(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []vfs.File{f, dir} {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func newestLog(t *testing.T, fs *vfs.MemFS) string {
	t.Helper()
	names, err := fs.List(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	newest := ""
	for _, n := range names {
		if strings.HasPrefix(n, "journal-") && n > newest { // numbers of a fixed width
			newest = n
		}
	}
	if newest == "" {
		return ""
	}
	return path.Join(dataDir, newest)
}

// contents is what a file holds, nothing if it is not there.
func contents(fs *vfs.MemFS, name string) []byte {
	f, err := fs.Open(name)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // it was only read
	var b bytes.Buffer
	if _, err := io.Copy(&b, f); err != nil {
		return nil
	}
	return b.Bytes()
}
