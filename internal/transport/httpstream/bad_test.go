package httpstream_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"twohop/internal/transport/httpstream"
)

// badSite is a server with one channel, whose state must never change.
func badSite(t *testing.T, m mode) (s *site, unchanged func()) {
	s = serve(t, m, setup{Options: httpstream.Options{BodyBytes: 1000}})
	s.create("c", asJSON)
	s.post("c", asJSON, "[1,2]")
	before := s.do("HEAD", "stream/c", "")
	return s, func() {
		t.Helper()
		after := s.do("HEAD", "stream/c", "")
		if body := s.read("c", "").body; after.next() != before.next() || body != "[1,2]" || after.get("Stream-Closed") != "" {
			t.Errorf("the channel keeps %s up to %s", body, after.next())
		}
	}
}

func TestBadNames(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s, unchanged := badSite(t, m)
		for path, code := range map[string]string{
			"": "invalid_name", "/c": "invalid_name", "c/": "invalid_name", "a//c": "invalid_name", ".": "invalid_name", "..": "invalid_name",
			"../c": "invalid_name", "a/../c": "invalid_name", "a/./c": "invalid_name", "a%2F..%2Fc": "invalid_name", "%2E%2E/c": "invalid_name",
			"a%2F%2Fc": "invalid_name", "%2Fc": "invalid_name", "c%2F": "invalid_name",
			"c%00": "invalid_name", "c%0A": "invalid_name", "c%7F": "invalid_name", "c%FF": "invalid_name", "%C3": "invalid_name", "%ED%A0%80": "invalid_name",
			strings.Repeat("n", 256): "invalid_name", strings.Repeat("n", 300): "invalid_name", strings.Repeat("%6E", 256): "invalid_name",
			strings.Repeat("é", 128): "invalid_name",
		} {
			for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE"} {
				r := s.raw(fmt.Sprintf("%s /v1/stream/%s HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 3\nConnection: close\n\n", method, path), "[3]")
				if method == "HEAD" {
					code = ""
				}
				s.expect(r, 400, code)
			}
		}
		unchanged()
	}, plain...)
}

// Names that look odd and are fine, and all ways to write one.
func TestOddNames(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		for i, spellings := range [][]string{
			{"logs/app", "logs%2Fapp", "logs/%61pp", "%6cogs/app"},
			{"a.b..c/...", "a%2Eb..c/.%2E."},
			{"a%20b", "%61%20b"},
			{"100%25", "%3100%25"},
			{"caf%C3%A9", "%63af%c3%a9"},
			{"a+b", "a%2Bb"},
			{"a;b,c=d&e", "a%3Bb%2Cc%3Dd%26e"},
			{"x%3Fy%23z"},
			{strings.Repeat("n", 255), strings.Repeat("%6E", 255)},
		} {
			s.raw(fmt.Sprintf("PUT /v1/stream/%s HTTP/1.1\nHost: x\nContent-Type: text/plain\nContent-Length: 1\n\n", spellings[0]), fmt.Sprint(i))
			for _, name := range spellings {
				r := s.raw(fmt.Sprintf("GET /v1/stream/%s?offset=-1 HTTP/1.1\nHost: x\n\n", name), "")
				if r.status != 200 || r.body != fmt.Sprint(i) {
					t.Errorf("%s: %d %q, want %d", name, r.status, r.body, i)
				}
			}
		}
	}, plain...)
}

func TestReservedNames(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		for _, name := range []string{"$x", "$sys/x", "$presence/c", "__ds/x", "__ds", "__ds%2Fx", "%24x"} {
			for _, method := range []string{"PUT", "POST", "DELETE"} {
				s.expect(s.do(method, "stream/"+name, "x", "Content-Type", asText), 403, "reserved_channel")
			}
		}
		for _, name := range []string{"__dsx", "a/$x", "a/__ds"} {
			s.expect(s.do("PUT", "stream/"+name, ""), 201, "")
		}
	}, all...)
}

func TestBadParameters(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s, unchanged := badSite(t, m)
		at := s.do("HEAD", "stream/c", "").next()
		huge := "99999999999999999999999999"
		for query, code := range map[string]string{
			"offset=":                           "invalid_parameter",
			"offset=-1&offset=-1":               "invalid_parameter",
			"offset=-2":                         "invalid_offset",
			"offset=NOW":                        "invalid_offset",
			"offset=0":                          "invalid_offset",
			"offset=" + huge:                    "invalid_offset",
			"offset=" + at[:32]:                 "invalid_offset",
			"offset=" + at + "0":                "invalid_offset",
			"offset=" + at[:16] + "-" + at[17:]: "invalid_offset",
			"offset=%2B000000000000001_0000000000000001": "invalid_offset",
			"offset=" + strings.Repeat("9", 5000):        "invalid_offset",
			"offset=%FF":                                 "invalid_offset",
			"offset=-1&live=":                            "invalid_parameter",
			"offset=-1&live=websocket":                   "invalid_parameter",
			"offset=-1&live=SSE":                         "invalid_parameter",
			"offset=-1&live=sse&live=sse":                "invalid_parameter",
			"live=sse":                                   "invalid_parameter",
			"live=long-poll":                             "invalid_parameter",
			"offset=-1&cursor=":                          "invalid_parameter",
			"offset=-1&cursor=-1":                        "invalid_parameter",
			"offset=-1&cursor=1.5":                       "invalid_parameter",
			"offset=-1&cursor=" + huge:                   "invalid_parameter",
			"offset=-1&cursor=9007199254740993":          "invalid_parameter",
			"offset=-1&cursor=1&cursor=2":                "invalid_parameter",
			"tail_records=":                              "invalid_parameter",
			"tail_records=-1":                            "invalid_parameter",
			"tail_records=1e3":                           "invalid_parameter",
			"tail_records=%2B1":                          "invalid_parameter",
			"tail_records=1000001":                       "invalid_parameter",
			"tail_records=" + huge:                       "invalid_parameter",
			"tail_records=1&tail_records=1":              "invalid_parameter",
			"since=":                                     "invalid_parameter",
			"since=yesterday":                            "invalid_parameter",
			"since=" + huge:                              "invalid_parameter",
			"since=2026-13-01T00:00:00Z":                 "invalid_parameter",
			"since=1&since=1":                            "invalid_parameter",
			"offset=-1&since=1":                          "invalid_parameter",
			"offset=-1&tail_records=1":                   "invalid_parameter",
			"since=1&tail_records=1":                     "invalid_parameter",
			"offset=-1&encoding=":                        "invalid_parameter",
			"offset=-1&encoding=gzip":                    "invalid_parameter",
			"offset=-1&encoding=base64&encoding=base64":  "invalid_parameter",
			"offset=-1&budget=":                          "invalid_parameter",
			"offset=-1&budget=-1s":                       "invalid_parameter",
			"offset=-1&budget=5m1s":                      "invalid_parameter",
			"offset=-1&budget=5":                         "invalid_parameter",
			"offset=-1;x=1":                              "invalid_parameter",
			"offset=%zz":                                 "invalid_parameter",
			"%zz=1":                                      "invalid_parameter",
		} {
			r := s.raw("GET /v1/stream/c?"+query+" HTTP/1.1\nHost: x\n\n", "")
			if r.status != 400 || r.problem().Code != code {
				t.Errorf("?%.100s:", query)
			}
			s.expect(r, 400, code)
			if len(r.body) > 600 {
				t.Errorf("?%.100s: the answer has %d bytes", query, len(r.body))
			}
		}
		for _, query := range []string{"since=-1", "since=0", "since=-62135596800000", "cursor=0", "cursor=9007199254740992", "tail_records=0", "x", "x=&x=", "=", "budget=0s"} {
			s.expect(s.raw("GET /v1/stream/c?"+query+" HTTP/1.1\nHost: x\n\n", ""), 200, "")
		}
		unchanged()
	}, plain...)
}

func TestBadHeaders(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s, unchanged := badSite(t, m)
		huge := "99999999999999999999999999"
		f := func(method, channel, code string, headers ...string) {
			t.Helper()
			r := s.do(method, "stream/"+channel, "[3]", append(headers, "Content-Type", asJSON)...)
			s.expect(r, 400, code)
		}
		for _, bad := range []string{"-1", "+1", "1.0", "1e3", "", " ", "0x1", "9007199254740992", huge, "١"} {
			f("POST", "c", "invalid_header", "Producer-Id", "p", "Producer-Epoch", bad, "Producer-Seq", "0")
			f("POST", "c", "invalid_header", "Producer-Id", "p", "Producer-Epoch", "0", "Producer-Seq", bad)
			f("PUT", "new", "invalid_header", "Stream-TTL", bad)
			f("PUT", "new", "invalid_header", "Stream-Forked-From", "/v1/stream/c", "Stream-Fork-Offset", s.do("HEAD", "stream/c", "").next(), "Stream-Fork-Sub-Offset", bad)
		}
		f("POST", "c", "invalid_header", "Producer-Id", "", "Producer-Epoch", "0", "Producer-Seq", "0")
		f("POST", "c", "invalid_header", "Producer-Id", strings.Repeat("p", 256), "Producer-Epoch", "0", "Producer-Seq", "0")
		all := producer("p", 0, 0)
		for i := 0; i < 6; i += 2 {
			f("POST", "c", "invalid_header", append(append([]string{}, all[:i]...), all[i+2:]...)...) // one is missing
			f("POST", "c", "invalid_header", append(append([]string{}, all...), all[i:i+2]...)...)    // one is there twice
		}
		f("POST", "c", "invalid_header", "Content-Type", asJSON) // and once more
		f("PUT", "new", "invalid_header", "Stream-TTL", "007")
		f("PUT", "new", "invalid_header", "Stream-TTL", "3153600001")
		f("PUT", "new", "invalid_header", "Stream-TTL", "5", "Stream-TTL", "5")
		f("PUT", "new", "invalid_header", "Stream-TTL", "5", "Stream-Expires-At", "2999-01-01T00:00:00Z")
		f("PUT", "new", "invalid_header", "Stream-Expires-At", "tomorrow")
		f("PUT", "new", "invalid_header", "Stream-Expires-At", "")
		f("PUT", "new", "invalid_header", "Stream-Fork-Offset", "x")
		f("PUT", "new", "invalid_header", "Stream-Forked-From", "")
		f("PUT", "new", "invalid_name", "Stream-Forked-From", "/v1/stream/")
		f("PUT", "new", "invalid_name", "Stream-Forked-From", "/v1/stream/a/../c")
		f("PUT", "new", "invalid_offset", "Stream-Forked-From", "/v1/stream/c", "Stream-Fork-Offset", "x")
		f("PUT", "new", "invalid_fork_offset", "Stream-Forked-From", "/v1/stream/c", "Stream-Fork-Offset", "9999999999999999_0000000000000001")
		f("PUT", "new", "invalid_fork_offset", "Stream-Forked-From", "/v1/stream/c", "Stream-Fork-Sub-Offset", "1")
		s.expect(s.do("PUT", "stream/new", "", "Stream-Forked-From", "/v1/stream/none"), 404, "not_found")
		s.expect(s.do("PUT", "stream/new", "", "Stream-Forked-From", "/v1/stream/$sys/x"), 403, "reserved_channel")
		for _, bad := range []string{"", "text", "text/", "/plain", "text/plain; charset", "a b/c", "text/plain, text/html"} {
			s.expect(s.do("POST", "stream/c", "[3]", "Content-Type", bad), 400, "invalid_content_type")
			if bad != "" {
				s.expect(s.do("PUT", "stream/new", "", "Content-Type", bad), 400, "invalid_content_type")
			}
		}
		s.expect(s.do("POST", "stream/c", "[3]"), 400, "invalid_content_type")
		s.expect(s.do("HEAD", "stream/new", ""), 404, "")
		unchanged()
	}, all...)
}

func TestBadBodies(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s, unchanged := badSite(t, m)
		for body, at := range map[string]string{
			`{"a":}`: "byte 5", `[1,]`: "byte 3", `[1 2]`: "byte 3", `01`: "byte 1", "{\"a\":1} x": "byte 8", "\"\xff\"": "byte 1", "\xef\xbb\xbf1": "byte 0",
			`[1,2`: "byte 4", " \n": "byte 2", strings.Repeat("[", 600): "byte 513",
		} {
			r := s.post("c", asJSON, body)
			s.expect(r, 400, "invalid_json")
			if msg := r.problem().Message; !strings.Contains(msg, at) {
				t.Errorf("%.20q: %s, want %s", body, msg, at)
			}
		}
		s.expect(s.post("c", asJSON, ""), 400, "empty_body")
		s.expect(s.post("c", asJSON, "[]"), 400, "empty_body")
		s.expect(s.post("c", asText, "x"), 409, "content_type_mismatch")
		long := `"` + strings.Repeat("x", 999) + `"`
		s.expect(s.post("c", asJSON, long), 413, "too_large")
		s.expect(s.do("PUT", "stream/new", long, "Content-Type", asJSON), 413, "too_large")
		s.expect(s.do("PUT", "stream/new", "{", "Content-Type", asJSON), 400, "invalid_json")
		s.expect(s.do("HEAD", "stream/new", ""), 404, "")
		unchanged()
		s.expect(s.post("c", asJSON, `"`+strings.Repeat("x", 998)+`"`), 204, "") // just as large as it may be
	}, all...)
}

func TestOversizedBodies(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s, unchanged := badSite(t, m)
		head := "POST /v1/stream/c HTTP/1.1\nHost: x\nContent-Type: application/json\n"
		chunk := "190\r\n" + strings.Repeat(" ", 400) + "\r\n"
		for name, r := range map[string]reply{
			"announced":               s.raw(head+"Content-Length: 1001\n\n", strings.Repeat(" ", 1001)),
			"announced, not sent":     s.raw(head+"Content-Length: 2000000\n\n", ""),
			"announced, may it come?": s.raw(head+"Content-Length: 2000000\nExpect: 100-continue\n\n", ""),
			"in chunks":               s.raw(head+"Transfer-Encoding: chunked\n\n", chunk+chunk+chunk+"0\r\n\r\n"),
			"in chunks without end":   s.raw(head+"Transfer-Encoding: chunked\n\n", strings.Repeat(chunk, 3)),
		} {
			if s.expect(r, 413, "too_large"); r.get("Connection") != "close" {
				t.Errorf("%s: the connection stays open: %v", name, r.header)
			}
		}
		unchanged()
		s.expect(s.raw(head+"Transfer-Encoding: chunked\n\n", "3\r\n[3]\r\n0\r\n\r\n"), 204, "")
	}, plain...)
}

// Of a body that is cut off nothing is stored.
func TestCutBodies(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s, unchanged := badSite(t, m)
		s.create("text", asText)
		for _, request := range []string{
			"POST /v1/stream/text HTTP/1.1\nHost: x\nContent-Type: text/plain\nContent-Length: 10\n\nhalf",
			"POST /v1/stream/text HTTP/1.1\nHost: x\nContent-Type: text/plain\nTransfer-Encoding: chunked\n\n4\nhalf\n",
			"POST /v1/stream/text HTTP/1.1\nHost: x\nContent-Type: text/plain\nTransfer-Encoding: chunked\n\n4\nhalf\nzz\nhalf\n0\n\n",
			"POST /v1/stream/text HTTP/1.1\nHost: x\nContent-Type: text/plain\nStream-Records: lines\nContent-Length: 12\n\na\nb\nc",
			"POST /v1/publish HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 100\n\n[{\"channel\":\"text\",\"text\":\"x\"}",
			"PUT /v1/stream/new HTTP/1.1\nHost: x\nContent-Type: text/plain\nContent-Length: 10\n\nhalf",
		} {
			w := s.wire()
			w.send(s, request)
			if m.Virtual {
				synctest.Wait()
			}
			if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
				_ = c.CloseWrite()
				if _, err := w.in.Peek(1); err == nil { // loops just close the connection
					s.expect(w.answer(s), 400, "body_cut")
				}
			}
			_ = w.Close()
		}
		if m.Virtual {
			synctest.Wait()
		}
		if got := s.read("text", "").body; got != "" {
			t.Errorf("kept %q", got)
		}
		s.expect(s.do("HEAD", "stream/new", ""), 404, "")
		unchanged()
	}, plain...)
}

func TestSlowBodies(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s, unchanged := badSite(t, m)
		for name, text := range map[string]string{
			"silent":    "POST /v1/stream/c HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 10\n\n",
			"in chunks": "POST /v1/stream/c HTTP/1.1\nHost: x\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n1\n[\n",
			"many":      "POST /v1/publish HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 10\n\n[",
			"created":   "PUT /v1/stream/new HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 10\n\n[",
		} {
			begin := time.Now()
			w := s.wire()
			w.send(s, text)
			r := w.answer(s)
			s.expect(r, 408, "timeout")
			if took := time.Since(begin); took != time.Minute {
				t.Errorf("%s: answered after %v, want a minute", name, took)
			}
			if _, err := w.in.ReadByte(); err != io.EOF || r.get("Connection") != "close" {
				t.Errorf("%s: the connection stays open: %v, %v", name, r.header, err)
			}
		}
		// One byte now and then is not fast enough either.
		drips := s.wire()
		drips.send(s, "POST /v1/stream/c HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 1000\n\n")
		go func() {
			for {
				if _, err := io.WriteString(drips, " "); err != nil {
					return
				}
				pause(time.Second)
			}
		}()
		s.expect(drips.answer(s), 408, "timeout")
		_ = drips.Close()
		// A body that nobody wants does not hold the answer back for longer.
		begin := time.Now()
		w := s.wire()
		w.send(s, "POST /v1/stream/.. HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 10\n\n[")
		s.expect(w.answer(s), 400, "invalid_name")
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("refused after %v", took)
		}
		unchanged()
	}, bubble...)
}

func TestMethods(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s, unchanged := badSite(t, m)
		for _, method := range []string{"PATCH", "TRACE", "PROPFIND", "get", "X"} {
			r := s.do(method, "stream/c", "")
			s.expect(r, 405, "method_not_allowed")
			if r.get("Allow") != "GET, HEAD, POST, PUT, DELETE, OPTIONS" {
				t.Errorf("%s: Allow: %s", method, r.get("Allow"))
			}
		}
		for _, path := range []string{"", "stream", "publish/", "streams/c", "stream?x"} {
			s.expect(s.do("GET", path, ""), 404, "not_found")
		}
		if r := s.do("HEAD", "stream/none", ""); r.status != 404 || r.body != "" {
			t.Errorf("HEAD: %d %q", r.status, r.body)
		}
		unchanged()
	}, all...)
}

func TestMissingChannel(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		for _, query := range []string{"", "offset=now", "offset=-1&live=long-poll", "offset=-1&live=sse", "tail_records=1", "since=0"} {
			s.expect(s.read("none", query), 404, "not_found")
		}
		s.expect(s.post("none", asText, "x"), 404, "not_found")
		s.expect(s.do("DELETE", "stream/none", ""), 404, "not_found")
		if n := s.hub.Live(); n != 0 {
			t.Errorf("%d channels are live that do not exist", n)
		}
	}, all...)
}

// What is kept with a channel, and sent with every answer, is small.
func TestLongWords(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s, unchanged := badSite(t, m)
		long := "text/plain; x=" + strings.Repeat("a", 300)
		s.expect(s.do("PUT", "stream/d", "", "Content-Type", long), 400, "invalid_content_type")
		s.expect(s.post("d", long, "x"), 400, "invalid_content_type")
		s.expect(s.post("c", asJSON, "[3]", "Stream-Seq", strings.Repeat("s", 1025)), 400, "invalid_header")
		unchanged()
		s.expect(s.post("c", asJSON, "[3]", "Stream-Seq", strings.Repeat("s", 1024)), 204, "")
	}, plain...)
}
