package subscription

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
)

func TestPutValidation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _ := newStore().node(t, &hooks{})
		f := func(body any, says string) {
			t.Helper()
			out := want(t, m, 400, "PUT", "subscriptions/s", "", body)
			if message, _ := out["message"].(string); !strings.Contains(message, says) || code(out) == "" || out["hint"] == "" {
				t.Errorf("%v: %v, want %q", body, out, says)
			}
		}
		f(``, "not a JSON object")
		f(`[]`, "not a JSON object")
		f(`null`, "not a JSON object")
		f(`{"type":`, "not JSON")
		f(`{} {}`, "not JSON")
		f("{\"type\":\"\xff\"}", "UTF-8")
		f(obj{}, "type must be")
		f(obj{"type": "mail"}, "type must be")
		f(obj{"type": 5}, "type must not be a JSON number")
		f(webhookConfig(obj{"pattern": nil}), "pattern or streams")
		f(webhookConfig(obj{"pattern": 1}), "pattern must not be a JSON number")
		f(webhookConfig(obj{"pattern": "a//b"}), "pattern")
		f(webhookConfig(obj{"pattern": "$sys/**"}), "server's own")
		f(webhookConfig(obj{"streams": "a"}), "streams must not be a JSON string")
		f(webhookConfig(obj{"streams": []any{1}}), "streams must not be a JSON number")
		f(webhookConfig(obj{"streams": []any{""}}), "streams")
		f(webhookConfig(obj{"streams": []any{"a/../b"}}), "streams")
		f(webhookConfig(obj{"streams": []any{"__ds/jwks.json"}}), "server's own")
		f(webhookConfig(obj{"streams": []any{strings.Repeat("x", 256)}}), "256 bytes")
		f(webhookConfig(obj{"streams": make([]string, 10_001)}), "10001 entries")
		f(webhookConfig(obj{"lease_ttl_ms": 999}), "lease_ttl_ms must be between 1000 and 600000")
		f(webhookConfig(obj{"lease_ttl_ms": 600_001}), "lease_ttl_ms")
		f(webhookConfig(obj{"lease_ttl_ms": 1500.5}), "lease_ttl_ms must not be")
		f(webhookConfig(obj{"lease_ttl_ms": "1000"}), "lease_ttl_ms must not be a JSON string")
		f(webhookConfig(obj{"webhook": nil}), "webhook.url")
		f(webhookConfig(obj{"webhook": "x"}), "webhook must not be a JSON string")
		f(webhookConfig(obj{"webhook": obj{"url": 1}}), "webhook.url must not be a JSON number")
		f(webhookConfig(obj{"webhook": obj{"url": "http://10.0.0.1/"}}), "not accepted")
		f(webhookConfig(obj{"description": 1}), "description must not be")
		f(webhookConfig(obj{"description": strings.Repeat("x", 5000)}), "description has more")
		f(pullConfig(obj{"wake_stream": nil}), "wake_stream must be there")
		f(pullConfig(obj{"wake_stream": "$sys/x"}), "server's own")
		f(pullConfig(obj{"streams": []any{"wake/pool"}}), "must not hold the wake_stream")
		out := want(t, m, 400, "PUT", "subscriptions/s", "", webhookConfig(obj{"webhook": obj{"url": "https://10.0.0.1/hook"}}))
		if code(out) != "WEBHOOK_URL_REJECTED" || out["code"] != "webhook_url_rejected" {
			t.Errorf("%v", out)
		}
		out = want(t, m, 413, "PUT", "subscriptions/s", "", `{"description":"`+strings.Repeat("x", 1<<20)+`"}`)
		if out["code"] != "too_large" {
			t.Errorf("%v", out)
		}
		want(t, m, 404, "GET", "subscriptions/s", "", nil)
	})
}

func TestOtherBodies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, _ := f.node(t, nil)
		f.put(t, "wake/pool")
		want(t, m, 201, "PUT", "subscriptions/p", "", pullConfig(nil))
		f.put(t, "events/a", `1`)
		want(t, m, 400, "POST", "subscriptions/p/claim", "", obj{})
		want(t, m, 400, "POST", "subscriptions/p/claim", "", obj{"worker": 1})
		want(t, m, 400, "POST", "subscriptions/p/claim", "", obj{"worker": strings.Repeat("x", 300)})
		l := claim(t, m, "p", "w")
		for _, body := range []any{
			``, `{`, obj{}, obj{"wake_id": l.wake}, obj{"generation": 1},
			obj{"wake_id": 1, "generation": 1}, obj{"wake_id": l.wake, "generation": "1"}, obj{"wake_id": l.wake, "generation": -1},
			obj{"wake_id": l.wake, "generation": 1, "done": "yes"}, obj{"wake_id": l.wake, "generation": 1, "acks": obj{}},
			obj{"wake_id": l.wake, "generation": 1, "acks": []any{obj{"stream": "events/a", "offset": 1}}},
		} {
			refused(t, m, 400, "INVALID_REQUEST", "subscriptions/p/ack", l.token, body)
		}
		want(t, m, 200, "POST", "subscriptions/p/ack", l.token, l.body(true))
	})
}

// pipes is a listener of connections in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error {
	close(p)
	return nil
}

func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// A body has its time to arrive, whatever is asked for. Who sends it in time may
// ask for more on the same connection.
func TestTimeOfBodies(t *testing.T) {
	const most = 20 * time.Second
	bubble(t, func(t *testing.T) {
		m, _ := newStore().nodeWith(t, &hooks{}, Options{BodyTime: most})
		ln := make(pipes)
		srv := &http.Server{Handler: m}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = srv.Serve(ln) // ends with ErrServerClosed
		}()
		defer func() {
			_ = srv.Close() // of a listener in memory
			<-done
			time.Sleep(time.Second) // net/http lingers on connections that it closes
		}()
		body := `{"type":"webhook","pattern":"a","webhook":{"url":"http://localhost/"}}`
		begin := func(method, path string) (net.Conn, *bufio.Reader) {
			t.Helper()
			near, far := net.Pipe()
			ln <- far
			head := method + " " + root + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Length: 100\r\n\r\n"
			if _, err := io.WriteString(near, head+body[:20]); err != nil {
				t.Fatal(err)
			}
			return near, bufio.NewReader(near)
		}
		answered := func(in *bufio.Reader, status int) *http.Response {
			t.Helper()
			resp, err := http.ReadResponse(in, nil)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
			}
			if err != nil || resp.StatusCode != status {
				t.Fatalf("%v, %v instead of %d", resp, err, status)
			}
			return resp
		}
		for _, c := range []struct {
			method, path string
			status       int
		}{
			{"PUT", "subscriptions/s", 408},
			{"POST", "subscriptions/s/claim", 408},
			{"POST", "subscriptions/s/ack", 408},
			{"POST", "subscriptions/s/callback", 408},
			{"POST", "subscriptions/s/other", 404},
		} {
			at := time.Now()
			_, in := begin(c.method, c.path)
			resp := answered(in, c.status)
			if took := time.Since(at); took != most || !resp.Close {
				t.Errorf("%s: answered after %v, the connection ends: %v", c.path, took, resp.Close)
			}
		}
		conn, in := begin("PUT", "subscriptions/s")
		time.Sleep(most - 1)
		rest := body[20:] + strings.Repeat(" ", 100-len(body)) + "GET " + root + "subscriptions/s HTTP/1.1\r\nHost: x\r\n\r\n"
		if _, err := io.WriteString(conn, rest); err != nil {
			t.Fatal(err)
		}
		answered(in, 201)
		answered(in, 200)
	})
}

// After a body that was not read to its end, the connection cannot be used.
func TestLargeBodyEndsItsConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _ := newStore().nodeWith(t, &hooks{}, Options{BodyBytes: 10})
		rec := send(t, m, "PUT", "subscriptions/s", "", "{         }")
		if rec.Code != 413 || rec.Header().Get("Connection") != "close" || !strings.Contains(rec.Body.String(), "more than 10 bytes") {
			t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
		}
		want(t, m, 400, "PUT", "subscriptions/s", "", "{        }")
	})
}

func TestRoutes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _ := newStore().node(t, &hooks{})
		f := func(method, path string, status int, allow string) {
			t.Helper()
			rec := send(t, m, method, path, "", nil)
			if rec.Code != status || rec.Header().Get("Allow") != allow {
				t.Errorf("%s %s: %d, Allow %q", method, path, rec.Code, rec.Header().Get("Allow"))
			}
		}
		f("POST", "jwks.json", 405, "GET, HEAD")
		f("HEAD", "jwks.json", 200, "")
		f("POST", "subscriptions/s", 405, "GET, HEAD, PUT, DELETE")
		f("PATCH", "subscriptions/s", 405, "GET, HEAD, PUT, DELETE")
		f("PUT", "subscriptions/s/streams", 405, "POST")
		f("GET", "subscriptions/s/streams/a", 405, "DELETE")
		f("GET", "subscriptions/s/claim", 405, "POST")
		f("GET", "subscriptions/s/ack", 405, "POST")
		f("GET", "subscriptions/s/release", 405, "POST")
		f("GET", "subscriptions/s/callback", 405, "POST")
		f("GET", "subscriptions/s/other", 404, "")
		f("GET", "subscriptions/s/", 404, "")
		f("GET", "subscriptions", 404, "")
		f("GET", "", 404, "")
		f("GET", "other", 404, "")
		f("GET", "subscriptions/", 400, "")
		f("GET", "subscriptions/a%2Fb", 400, "")
		f("GET", "subscriptions/%00", 400, "")
		f("GET", "subscriptions/%ff", 400, "")
		f("GET", "subscriptions/%2E%2E", 400, "")
		f("GET", "subscriptions/"+strings.Repeat("x", 129), 400, "")
		f("GET", "subscriptions/"+strings.Repeat("x", 128), 404, "")
		f("DELETE", "subscriptions/s/streams/a%2F%2Fb", 400, "")
		f("DELETE", "subscriptions/s/streams/%24sys%2Fkeys", 400, "")
		f("DELETE", "subscriptions/s/streams/a", 404, "")
	})
}

func TestIDsAreEscaped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		h.answers(200, `{}`)
		m, _ := f.node(t, h)
		out := want(t, m, 201, "PUT", "subscriptions/a%20%C3%A9%3F", "", webhookConfig(nil))
		if out["id"] != "a é?" {
			t.Errorf("%v", out)
		}
		f.put(t, "events/a", `1`)
		want(t, m, 200, "GET", "subscriptions/a%20%C3%A9%3F", "", nil)
		synctest.Wait()
		if got := h.all()[0].body.CallbackURL; got != "http://events.example/v1/stream/__ds/subscriptions/a%20%C3%A9%3F/callback" {
			t.Errorf("callback_url %s", got)
		}
	})
}

func TestBaseURL(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		jwks := func(m http.Handler, method, host, proto string) string {
			t.Helper()
			body := `{"type":"webhook","pattern":"a","webhook":{"url":"https://worker.example/"}}`
			r := httptest.NewRequestWithContext(t.Context(), method, root+"subscriptions/s", strings.NewReader(body))
			r.Host = host
			r.Header.Set("X-Forwarded-Proto", proto)
			rec := httptest.NewRecorder()
			m.ServeHTTP(rec, r)
			_, url, _ := strings.Cut(rec.Body.String(), `"jwks_url":"`)
			url, _, _ = strings.Cut(url, `/v1/stream/__ds/jwks.json"`)
			return url
		}
		m, stop := f.node(t, &hooks{})
		if got := jwks(m, "PUT", "one.example:1234", ""); got != "http://one.example:1234" {
			t.Errorf("made: %q", got)
		}
		if got := jwks(m, "GET", "other.example", ""); got != "http://one.example:1234" {
			t.Errorf("read: %q", got)
		}
		if got := jwks(m, "PUT", "two.example", "https"); got != "https://two.example" {
			t.Errorf("confirmed: %q", got)
		}
		stop()
		m, _ = f.node(t, &hooks{})
		if got := jwks(m, "GET", "other.example", ""); got != "https://two.example" {
			t.Errorf("after a restart: %q", got)
		}
		public := New(f, Options{PublicURL: "https://public.example/", Transport: &hooks{}})
		if err := public.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer public.Stop()
		if got := jwks(public, "GET", "other.example", ""); got != "https://public.example" {
			t.Errorf("public: %q", got)
		}
		if err := New(f, Options{PublicURL: "public.example"}).Start(t.Context()); err == nil {
			t.Error("a public URL without a scheme was taken")
		}
	})
}

func TestLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m := New(f, Options{MaxSubscriptions: 2, MaxStreams: 3, AllowLoopback: true, Transport: &hooks{}})
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer m.Stop()
		f.nodes = append(f.nodes, m)
		for _, n := range []string{"events/1", "events/2", "events/3"} {
			f.put(t, n)
		}
		want(t, m, 201, "PUT", "subscriptions/s1", "", webhookConfig(nil))
		out := want(t, m, 400, "PUT", "subscriptions/s2", "", webhookConfig(obj{"streams": []string{"a"}}))
		if !strings.Contains(out["message"].(string), "more than 3 channels") {
			t.Errorf("%v", out)
		}
		want(t, m, 400, "POST", "subscriptions/s1/streams", "", obj{"streams": []string{"a"}})
		f.put(t, "events/4", `1`)
		if acked(t, m, "s1", "events/4") != "" {
			t.Error("a fourth channel was linked")
		}
		want(t, m, 201, "PUT", "subscriptions/s2", "", webhookConfig(obj{"pattern": "x"}))
		want(t, m, 503, "PUT", "subscriptions/s3", "", webhookConfig(obj{"pattern": "x"}))
		want(t, m, 200, "PUT", "subscriptions/s1", "", webhookConfig(nil))
	})
}

func BenchmarkChanged(b *testing.B) {
	tail := twohop.Offset{Epoch: 1, Pos: 1}
	b.Run("none", func(b *testing.B) {
		m := New(newStore(), Options{})
		b.ReportAllocs()
		for b.Loop() {
			m.Changed("events/a", tail)
		}
	})
	b.Run("some", func(b *testing.B) {
		m := New(newStore(), Options{})
		m.watched.Store(1)
		b.ReportAllocs()
		for b.Loop() {
			m.Changed("events/a", tail)
		}
	})
}
