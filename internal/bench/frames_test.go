package bench

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// talk writes down what is in frames.
type talk struct{ strings.Builder }

func (t *talk) gotText(piece []byte, last bool) {
	t.Write(piece)
	if last {
		t.WriteByte('|')
	}
}

func (t *talk) gotControl(op ws.OpCode, payload []byte) {
	_, _ = fmt.Fprintf(t, "[%x %s]", op, payload)
}

// heard is what is in frames that come in pieces of a size.
func heard(stream string, size int) string {
	var f frames
	var t talk
	for rest := stream; len(rest) > 0; {
		piece := rest[:min(size, len(rest))]
		rest = rest[len(piece):]
		if err := f.feed([]byte(piece), &t); err != nil {
			return t.String() + "!" + err.Error()
		}
	}
	return t.String()
}

// frame is a frame of a server.
func frame(op ws.OpCode, final bool, payload string) string {
	return string(ws.MustCompileFrame(ws.NewFrame(op, final, []byte(payload))))
}

func text(payload string) string { return frame(ws.OpText, true, payload) }

func TestFrames(t *testing.T) {
	f := func(stream, want string) {
		t.Helper()
		sizes := []int{1, 2, 3, 5, 7, 1000, max(1, len(stream))}
		for _, size := range sizes {
			if got := heard(stream, size); got != want {
				t.Fatalf("in pieces of %d: %.200q, want %.200q", size, got, want)
			}
		}
	}
	f("", "")
	f(text("hello")+text("")+text("you"), "hello||you|")
	for _, n := range []int{125, 126, 65535, 65536} {
		long := strings.Repeat("x", n)
		f(text(long)+text("y"), long+"|y|")
	}
	f(frame(ws.OpText, false, "a")+frame(ws.OpPing, true, "p")+frame(ws.OpContinuation, false, "")+frame(ws.OpContinuation, true, "b"), "a[9 p]b|")
	f(frame(ws.OpPong, true, "")+frame(ws.OpClose, true, "\x03\xe8bye"), "[a ][8 \x03\xe8bye]")
	f(text("a")+frame(ws.OpBinary, true, "b"), "a|!"+errFrameBinary.Error())
	f(frame(ws.OpContinuation, true, "a"), "!"+ws.ErrProtocolContinuationUnexpected.Error())
	f(frame(ws.OpText, false, "a")+text("b"), "a!"+ws.ErrProtocolContinuationExpected.Error())
	f(frame(ws.OpPing, false, "a"), "!"+ws.ErrProtocolControlNotFinal.Error())
	f("\xc1\x00", "!"+ws.ErrProtocolNonZeroRsv.Error())
	f("\x81\x81abcd", "!"+ws.ErrProtocolMaskUnexpected.Error())
	f("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", "!"+errFrameLength.Error())
}

// FuzzFrames sees that pieces change nothing, and that nothing panics.
func FuzzFrames(f *testing.F) {
	f.Add(text("hello")+frame(ws.OpPing, true, "p"), 3)
	f.Add(text(strings.Repeat("x", 300)), 1)
	f.Add(frame(ws.OpText, false, "a")+frame(ws.OpContinuation, true, ""), 2)
	f.Fuzz(func(t *testing.T, stream string, size int) {
		if len(stream) > 4096 {
			return
		}
		if whole, pieces := heard(stream, max(1, len(stream))), heard(stream, max(1, size)); whole != pieces {
			t.Fatalf("in pieces %q, whole %q", pieces, whole)
		}
	})
}
