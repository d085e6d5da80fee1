package wire

import (
	"bufio"
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func TestParseRequest(t *testing.T) {
	f := func(in string, want Verdict) {
		t.Helper()
		var r Request
		n, got := ParseRequest([]byte(in), &r)
		if got != want || (got == Plain || got == Upgrade) != (n > 0) {
			t.Errorf("%q: %d bytes, verdict %d, want %d", in, n, got, want)
		}
	}
	f("GET /v1/stream/a?offset=now&live=sse HTTP/1.1\r\nHost: x\r\n\r\n", Plain)
	f("POST /v1/stream/a HTTP/1.1\r\nhost: x\r\nContent-length: 12\r\nConnection: close\r\n\r\n", Plain)
	f("GET / HTTP/1.1\r\nHost: x\r\n\r", Partial)
	f("GET / HT", Partial)
	f("", Partial)
	f(strings.Repeat("G", 9000), Unusual)
	f("GET / HTTP/1.1\nHost: x\n\n", Unusual)
	f("GET / HTTP/1.0\r\nHost: x\r\n\r\n", Unusual)
	f("GET /a%2Fb HTTP/1.1\r\nHost: x\r\n\r\n", Unusual)
	f("GET /a+b HTTP/1.1\r\nHost: x\r\n\r\n", Unusual)
	f("GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", Unusual)
	f("GET / HTTP/1.1\r\n\r\n", Unusual)
	f("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", Unusual)
	f("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", Unusual)
	f("GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", Unusual)
	f("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Unusual)
	f("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", Unusual)
	f("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", Unusual)
	f("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n", Unusual)
	f("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\r\n", Unusual)
	f("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", Unusual)
	f("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", Upgrade)
	f("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n", Upgrade)
	f("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", Unusual)
	f("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nConnection: close\r\n\r\n", Unusual)
	f("POST / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\n", Unusual)
	f("GET / HTTP/1.1\r\nHost: x\r\nX: \xff\r\n\r\n", Unusual)
}

// What the strict reader takes, net/http takes too, and reads the same.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("GET /v1/stream/a?offset=-1 HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"))
	f.Add([]byte("POST /v1/stream/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Type: text/plain\r\n\r\nabc"))
	f.Add([]byte("GET /?a=b&c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
	f.Add([]byte("GET /v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var r Request
		n, v := ParseRequest(in, &r)
		if v != Plain && v != Upgrade {
			return
		}
		body := bytes.Repeat([]byte{'x'}, min(r.ContentLength, 1<<16))
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(append(in[:n:n], body...))))
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", in[:n], err)
		}
		if want.Method != string(r.Method) || want.URL.EscapedPath() != string(r.Path) || want.URL.Path != string(r.Path) ||
			want.URL.RawQuery != string(r.Query) || max(want.ContentLength, 0) != int64(r.ContentLength) || want.Close != r.Close {
			t.Fatalf("%q: net/http reads %+v", in[:n], want)
		}
		got := http.Header{}
		for _, f := range r.Fields[:r.N] {
			got.Add(string(f.Name), string(f.Value))
		}
		for name, values := range want.Header {
			if strings.Join(got.Values(name), "|") != strings.Join(values, "|") {
				t.Fatalf("%q: %s is %q, net/http reads %q", in[:n], name, got.Values(name), values)
			}
		}
		if l := want.Header.Get("Content-Length"); l != "" && l != strconv.Itoa(r.ContentLength) && !strings.HasPrefix(l, "0") {
			t.Fatalf("length %q read as %d", l, r.ContentLength)
		}
	})
}

func BenchmarkParseRequest(b *testing.B) {
	in := []byte("GET /v1/stream/news/today?offset=1790000000000000_0000000000000042&live=long-poll&cursor=1234 HTTP/1.1\r\n" +
		"Host: example.org\r\nAccept: */*\r\nUser-Agent: something/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
	b.ReportAllocs()
	var r Request
	for b.Loop() {
		if _, v := ParseRequest(in, &r); v != Plain {
			b.Fatal(v)
		}
	}
}
