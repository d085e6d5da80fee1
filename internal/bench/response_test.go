package bench

import (
	"fmt"
	"strings"
	"testing"
)

// transcript writes down what is in responses.
type transcript struct{ strings.Builder }

func (t *transcript) gotHead(status int, head []byte) {
	_, _ = fmt.Fprintf(t, "[%d %s]", status, header(head, "etag"))
}
func (t *transcript) gotBody(piece []byte) { t.Write(piece) }

// read feeds responses in pieces of a size; what is left over begins the next.
func read(stream string, size int) string {
	var r response
	var t transcript
	for rest := []byte(stream); len(rest) > 0; {
		piece := rest[:min(size, len(rest))]
		rest = rest[len(piece):]
		for len(piece) > 0 {
			after, done, err := r.feed(piece, &t)
			if err != nil {
				return t.String() + "!" + err.Error()
			}
			if done {
				t.WriteString("|")
			}
			piece = after
		}
	}
	if r.close {
		t.WriteString("close")
	}
	return t.String()
}

func TestResponses(t *testing.T) {
	f := func(stream, want string) {
		t.Helper()
		for size := 1; size <= len(stream); size++ {
			if got := read(stream, size); got != want {
				t.Fatalf("in pieces of %d: %q, want %q", size, got, want)
			}
		}
	}
	f("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\nhello", `[200 "a"]hello|`)
	f("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\neTag: b\r\n\r\n", "[204 ]|[304 b]|")
	f("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "[200 ]|close")
	f("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", "[200 ]x|")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0004;x=y\r\ndefg\r\n0\r\n\r\n", "[200 ]abcdefg|")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\nHTTP/1.1 204 \r\n\r\n", "[200 ]|[204 ]|")
	f("HTTP/1.0 200 OK\r\n\r\nto the end", "[200 ]to the endclose")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "[200 ]!"+errChunk.Error())
	f("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", `[200 ]!malformed Content-Length: "-1"`)
}

func TestHeadsThatDoNotEnd(t *testing.T) {
	var r response
	var tr transcript
	for range maxHead/10 + 2 {
		if _, _, err := r.feed([]byte("X: 4567890"), &tr); err != nil {
			return
		}
	}
	t.Error("a head may grow for ever")
}

// FuzzResponse sees that pieces change nothing, and that nothing panics.
func FuzzResponse(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 4)
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 304 x\r\n\r\n", 9)
	f.Fuzz(func(t *testing.T, stream string, size int) {
		if len(stream) > 4096 {
			return
		}
		if whole, pieces := read(stream, len(stream)), read(stream, max(1, size)); whole != pieces {
			t.Fatalf("in pieces %q, whole %q", pieces, whole)
		}
	})
}
