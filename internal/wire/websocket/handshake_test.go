package websocket

import (
	"bufio"
	"bytes"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"twohop"
	"twohop/internal/wire"
)

// chromium is a handshake as Chromium sends it.
const chromium = "GET /v1/ws HTTP/1.1\r\n" +
	"Host: localhost:4437\r\n" +
	"Connection: Upgrade\r\n" +
	"Pragma: no-cache\r\n" +
	"Cache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Upgrade: websocket\r\n" +
	"Origin: http://localhost:4437\r\n" +
	"Sec-WebSocket-Version: 13\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-US,en;q=0.9\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" +
	"Sec-WebSocket-Protocol: twohop.v1\r\n\r\n"

// both takes the offer of a request in both ways, which have to agree.
func both(t *testing.T, request string) Offer {
	t.Helper()
	full, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
	if err != nil {
		t.Fatal(err)
	}
	var r wire.Request
	n, v := wire.ParseRequest([]byte(request), &r)
	if v != wire.Unusual && n != len(request) {
		t.Fatalf("%q: verdict %d, %d bytes", request, v, n)
	}
	o := OfferOf(full)
	if v != wire.Unusual {
		if strict := OfferIn(&r); !reflect.DeepEqual(strict, o) {
			t.Errorf("%q: %+v and %+v", request, strict, o)
		}
	}
	return o
}

func TestHandshake(t *testing.T) {
	var r wire.Request
	if n, v := wire.ParseRequest([]byte(chromium), &r); v != wire.Upgrade || n != len(chromium) {
		t.Errorf("verdict %d, %d bytes", v, n)
	}
	f := func(fields, protocol, extensions string, change ...string) {
		t.Helper()
		o := both(t, strings.NewReplacer(change...).Replace(chromium))
		a, no := o.Agree()
		if no != nil {
			t.Errorf("%q: %v", change, no.Err)
			return
		}
		out := a.Append(nil, fields)
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), nil)
		if err != nil || resp.StatusCode != 101 || !bytes.HasSuffix(out, []byte("\r\n\r\n")) {
			t.Fatalf("%q, %v", out, err)
		}
		for name, want := range map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
			"Sec-Websocket-Protocol": protocol, "Sec-Websocket-Extensions": extensions} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%q: %s is %q, want %q", change, name, got, want)
			}
		}
		if a.Deflate != (extensions != "") {
			t.Errorf("%q: compression is %v", change, a.Deflate)
		}
		if fields != "" && resp.Header.Get("Stream-Extensions") == "" {
			t.Errorf("%q: the fields are missing in %q", change, out)
		}
	}
	const no, offer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover", "permessage-deflate; client_max_window_bits"
	f("Stream-Extensions: x\r\n", Protocol, no)
	f("", Protocol, no, "Connection: Upgrade", "Connection: keep-alive, Upgrade", "Upgrade: websocket", "Upgrade: WebSocket")
	f("", Protocol, no, "twohop.v1", "chat, twohop.v1 ,other")
	f("", Protocol, no, "Sec-WebSocket-Protocol: twohop.v1", "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: twohop.v1")
	f("", Protocol, "", "Sec-WebSocket-Extensions: "+offer+"\r\n", "")
	f("", Protocol, "", offer, "")
	f("", Protocol, "", offer, "x-webkit-deflate-frame")
	f("", Protocol, "", offer, "permessage-deflate; server_max_window_bits=10")
	f("", Protocol, "", offer, "permessage-deflate; unknown")
	f("", Protocol, "", offer, "permessage-deflate; server_no_context_takeover; server_no_context_takeover")
	f("", Protocol, "", offer, "permessage-deflate; client_max_window_bits=16")
	f("", Protocol, "", offer, "permessage-deflate; client_max_window_bits=07")
	f("", Protocol, "", offer, "permessage-deflate; server_no_context_takeover=1")
	f("", Protocol, "", offer, "permessage-deflate; =;")
	f("", Protocol, no, offer, "permessage-deflate")
	f("", Protocol, no, offer, "permessage-deflate; server_no_context_takeover; client_no_context_takeover")
	f("", Protocol, no, offer, `permessage-deflate; client_max_window_bits="10"`)
	f("", Protocol, no, offer, "foo; a=b, permessage-deflate; server_max_window_bits=9, permessage-deflate; client_max_window_bits=15")
	f("", Protocol, no+"; server_max_window_bits=15", offer, "permessage-deflate; server_max_window_bits=15")
	f("", Protocol, no, "Sec-WebSocket-Extensions: "+offer, "Sec-WebSocket-Extensions: foo\r\nSec-WebSocket-Extensions: "+offer)
}

func TestHandshakeRefuses(t *testing.T) {
	f := func(status int, code twohop.Code, change ...string) {
		t.Helper()
		o := both(t, strings.NewReplacer(change...).Replace(chromium))
		_, no := o.Agree()
		if no == nil || no.Status != status || no.Err.Code != code || no.Err.Hint == "" {
			t.Errorf("%q: got %+v", change, no)
		} else if (no.Header[0] != "") != (status != 400) {
			t.Errorf("%q: got the field %q", change, no.Header)
		}
	}
	f(405, twohop.CodeMethod, "GET /", "POST /")
	f(400, twohop.CodeInvalidHeader, "HTTP/1.1", "HTTP/1.0")
	f(400, twohop.CodeInvalidHeader, "Upgrade: websocket", "Upgrade: h2c")
	f(400, twohop.CodeInvalidHeader, "Upgrade: websocket\r\n", "")
	f(400, twohop.CodeInvalidHeader, "Connection: Upgrade\r\n", "")
	f(400, twohop.CodeInvalidHeader, "Connection: Upgrade", "Connection: keep-alive")
	f(426, twohop.CodeInvalidHeader, "Version: 13", "Version: 8")
	f(426, twohop.CodeInvalidHeader, "Sec-WebSocket-Version: 13\r\n", "")
	f(426, twohop.CodeInvalidHeader, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13")
	f(400, twohop.CodeInvalidHeader, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ")
	f(400, twohop.CodeInvalidHeader, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR==")
	f(400, twohop.CodeInvalidHeader, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==")
	f(400, twohop.CodeInvalidHeader, "dGhlIHNhbXBsZSBub25jZQ==", "")
	f(400, twohop.CodeInvalidHeader, "Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key")
	f(400, twohop.CodeInvalidHeader, "twohop.v1", "twohop.v2")
	f(400, twohop.CodeInvalidHeader, "twohop.v1", "TwoHop.v1")
	f(400, twohop.CodeInvalidHeader, "Sec-WebSocket-Protocol: twohop.v1\r\n", "")
}

func BenchmarkHandshake(b *testing.B) {
	in := []byte(chromium)
	var r wire.Request
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		if _, v := wire.ParseRequest(in, &r); v != wire.Upgrade {
			b.Fatal(v)
		}
		o := OfferIn(&r)
		a, no := o.Agree()
		if no != nil {
			b.Fatal(no.Err)
		}
		dst = a.Append(dst[:0], "")
	}
}
