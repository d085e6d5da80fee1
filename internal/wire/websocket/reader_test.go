package websocket

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
)

const testLimit = 1 << 16

// frame is a client's frame.
func frame(fin bool, rsv byte, op ws.OpCode, payload string) []byte {
	f := ws.NewFrame(op, fin, []byte(payload))
	f.Header.Rsv = rsv
	return ws.MustCompileFrame(ws.MaskFrameInPlace(f))
}

func text(s string) []byte { return frame(true, 0, ws.OpText, s) }

func closing(code uint16, reason string) []byte {
	return frame(true, 0, ws.OpClose, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// read feeds pieces of b, whose ends cut names, and tells what came of it.
func read(r *Reader, b []byte, cut func(left int) int) (got []string) {
	for len(b) > 0 {
		piece := bytes.Clone(b[:cut(len(b))])
		b = b[len(piece):]
		for len(piece) > 0 {
			m, n, err := r.Next(piece, testLimit)
			piece = piece[n:]
			if err != nil {
				return append(got, fmt.Sprint("error ", err.(*Error).Code)) //nolint:errorlint // Next has no other
			}
			switch m.Kind {
			case None:
				if len(piece) > 0 {
					return append(got, "bytes were left")
				}
			case Text:
				got = append(got, "text "+string(m.Payload))
			case Ping:
				got = append(got, "ping "+string(m.Payload))
			case Pong:
				got = append(got, "pong "+string(m.Payload))
			case Close:
				return append(got, fmt.Sprintf("close %d %s", m.Code, m.Payload))
			}
		}
	}
	if !r.Idle() {
		got = append(got, "incomplete")
	}
	return got
}

var cuts = map[string]func(left int) int{
	"whole":   func(left int) int { return left },
	"bytes":   func(int) int { return 1 },
	"threes":  func(left int) int { return min(3, left) },
	"sevens":  func(left int) int { return min(7, left) },
	"at will": func(left int) int { return 1 + rand.IntN(left) }, //nolint:gosec // where a cut is does not matter
}

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// The cases follow those of the Autobahn test suite, and their numbers.
func TestReader(t *testing.T) {
	long := strings.Repeat("*", 65535)
	f := func(name string, in []byte, want ...string) {
		t.Helper()
		for how, cut := range cuts {
			if got := read(&Reader{}, in, cut); strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("%s, %s: got %.200q, want %.200q", name, how, got, want)
			}
		}
	}
	// 1: lengths
	for _, n := range []int{0, 1, 124, 125, 126, 127, 128, 65534, 65535} {
		f("1.1", text(long[:n]), "text "+long[:n])
	}
	f("1.1.7 at the limit", text(long+"*"), "text "+long+"*")
	f("1.1 beyond the limit", text(long+"**"), "error 1009")
	f("1.2 binary", frame(true, 0, ws.OpBinary, "x"), "error 1003")

	// 2: pings and pongs
	f("2.1", frame(true, 0, ws.OpPing, ""), "ping ")
	f("2.4", frame(true, 0, ws.OpPing, long[:125]), "ping "+long[:125])
	f("2.5", frame(true, 0, ws.OpPing, long[:126]), "error 1002")
	f("2.7", frame(true, 0, ws.OpPong, "unsolicited"), "pong unsolicited")
	f("2.10", join(frame(true, 0, ws.OpPing, "1"), frame(true, 0, ws.OpPing, "2")), "ping 1", "ping 2")

	// 3: reserved bits
	for rsv := byte(1); rsv < 8; rsv++ {
		f("3 text", join(text("a"), frame(true, rsv, ws.OpText, "b"), frame(true, 0, ws.OpPing, "")), "text a", "error 1002")
		f("3 ping", frame(true, rsv, ws.OpPing, "b"), "error 1002")
		f("3 close", frame(true, rsv, ws.OpClose, ""), "error 1002")
	}

	// 4: reserved opcodes
	for _, op := range []ws.OpCode{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		f("4", join(text("a"), frame(true, 0, op, "")), "text a", "error 1002")
	}

	// 5: fragments
	f("5.1", join(frame(false, 0, ws.OpPing, "a"), frame(true, 0, ws.OpContinuation, "b")), "error 1002")
	f("5.2", join(frame(false, 0, ws.OpPong, "a"), frame(true, 0, ws.OpContinuation, "b")), "error 1002")
	f("5.3", join(frame(false, 0, ws.OpText, "a"), frame(true, 0, ws.OpContinuation, "b")), "text ab")
	f("5.6", join(frame(false, 0, ws.OpText, "a"), frame(true, 0, ws.OpPing, "p"), frame(true, 0, ws.OpContinuation, "b")), "ping p", "text ab")
	f("5.9", join(frame(true, 0, ws.OpContinuation, "a"), text("b")), "error 1002")
	f("5.12", join(frame(false, 0, ws.OpContinuation, "a"), text("b")), "error 1002")
	f("5.15", join(frame(false, 0, ws.OpText, "a"), frame(true, 0, ws.OpContinuation, "b"), frame(false, 0, ws.OpContinuation, "c")), "text ab", "error 1002")
	f("5.18", join(frame(false, 0, ws.OpText, "a"), frame(true, 0, ws.OpText, "b")), "error 1002")
	f("5.19", join(frame(false, 0, ws.OpText, "1"), frame(false, 0, ws.OpContinuation, "2"), frame(true, 0, ws.OpPing, "p"), frame(false, 0, ws.OpContinuation, "3"),
		frame(false, 0, ws.OpContinuation, ""), frame(true, 0, ws.OpPing, "q"), frame(true, 0, ws.OpContinuation, "5")), "ping p", "ping q", "text 1235")
	f("5 empty", join(frame(false, 0, ws.OpText, ""), frame(false, 0, ws.OpContinuation, ""), frame(true, 0, ws.OpContinuation, "")), "text ")
	f("5 close within", join(frame(false, 0, ws.OpText, "1"), closing(1000, "bye")), "close 1000 bye")
	f("5 summed", join(frame(false, 0, ws.OpText, long), frame(false, 0, ws.OpContinuation, "*"), frame(true, 0, ws.OpContinuation, "*")), "error 1009")

	// 6: UTF-8
	f("6.2", text("Hello-µ@ßöäüàá-UTF-8!!"), "text Hello-µ@ßöäüàá-UTF-8!!")
	f("6.2.3", join(frame(false, 0, ws.OpText, "κό\xcf"), frame(true, 0, ws.OpContinuation, "\x83με")), "text κόσμε")
	for _, s := range []string{"\u0000", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\ufffe", "\uffff", "\U00010000", "\U0010ffff"} {
		f("6.6", text(s), "text "+s)
	}
	for _, s := range []string{"\xce", "\xce\xba\xe1", "\xf8\x88\x80\x80\x80", "\x80", "\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", "\xf4\x90\x80\x80",
		"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xc1\xbf", "\xfe", "\xff", "\xc0 ", "\xe3\x80", "\xf0\x90\x80"} {
		f("6.3", text(s), "error 1007")
		f("6.3", join(frame(false, 0, ws.OpText, s[:1]), frame(true, 0, ws.OpContinuation, s[1:])), "error 1007")
	}

	// 7: closing
	f("7.1", join(text("a"), closing(1000, ""), text("b")), "text a", "close 1000 ")
	f("7.3.1", frame(true, 0, ws.OpClose, ""), "close 1005 ")
	f("7.3.2", frame(true, 0, ws.OpClose, "a"), "error 1002")
	f("7.3.5", closing(1000, long[:123]), "close 1000 "+long[:123])
	f("7.3.6", closing(1000, long[:124]), "error 1002")
	f("7.5.1", closing(1000, "\xed\xa0\x80"), "error 1007")
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		f("7.7", closing(code, "x"), fmt.Sprintf("close %d x", code))
	}
	for _, code := range []uint16{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		f("7.9", closing(code, ""), "error 1002")
	}

	// what Autobahn has no number for
	f("unmasked", ws.MustCompileFrame(ws.NewTextFrame([]byte("a"))), "error 1002")
	f("unmasked and empty", []byte{0x81, 0}, "error 1002")
	f("a 7 bit length in 16", []byte{0x81, 0x80 | 126, 0, 125, 1, 2, 3, 4}, "error 1002")
	f("a 16 bit length in 64", []byte{0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, "error 1002")
	f("the highest bit of a length", []byte{0x81, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, "error 1002")
	f("a ping with a 64 bit length", []byte{0x89, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4}, "error 1002")
	f("a gigabyte", []byte{0x81, 0x80 | 127, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4}, "error 1009")
	f("2^63-1 bytes", []byte{0x81, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, "error 1009")
	f("2^63-1 bytes more", join(frame(false, 0, ws.OpText, "a"), []byte{0x80, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}), "error 1009")
	f("cut", text("abc")[:8], "incomplete")
	f("cut in the header", text("abc")[:3], "incomplete")
	f("cut in the length", text(long)[:3], "incomplete")
	f("cut between fragments", frame(false, 0, ws.OpText, "a"), "incomplete")
}

// What is wrong is refused with the first byte that shows it.
func TestReaderFailsFast(t *testing.T) {
	f := func(want uint16, deflate bool, in []byte) {
		t.Helper()
		r := Reader{Deflate: deflate}
		for i := range in {
			m, n, err := r.Next(in[i:i+1], testLimit)
			if e, ok := err.(*Error); ok && i == len(in)-1 && e.Code == want { //nolint:errorlint // Next has no other
				return
			}
			if err != nil || m.Kind != None || n != 1 {
				t.Fatalf("%x: byte %d gave %v, %d, %v", in, i, m, n, err)
			}
		}
		t.Errorf("%x is not refused", in)
	}
	start := func(s string) []byte { // of a text of a thousand bytes
		b := frame(true, 0, ws.OpText, s+strings.Repeat("x", 1000-len(s)))
		return b[:len(b)-1000+len(s)]
	}
	f(CodeData, false, start("abc\xff"))
	f(CodeData, false, start("\xed\xa0"))
	f(CodeData, false, start("\xf4\x90"))
	f(CodeData, false, start("\xe0\x80"))
	f(CodeData, false, start("κόσμε\xc0"))
	f(CodeData, false, join(frame(false, 0, ws.OpText, "\xf0\x90"), start("\x80x")[:0], frame(false, 0, ws.OpContinuation, "\x80x")))
	f(CodeTooLarge, true, []byte{0xc1, 0x80 | 127, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4})
	f(CodeUnsupported, false, frame(true, 0, ws.OpBinary, strings.Repeat("x", 1000))[:8])
}

func TestReaderKeepsLittle(t *testing.T) {
	if n := unsafe.Sizeof(Reader{}); n > 16 {
		t.Errorf("an idle reader has %d bytes", n)
	}
	// A megabyte is declared, a few bytes come.
	r := Reader{}
	in := frame(true, 0, ws.OpText, strings.Repeat("x", 1<<20))
	if _, _, err := r.Next(in[:100], 1<<20); err != nil {
		t.Fatal(err)
	}
	if n := cap(r.part.text); n > 200 {
		t.Errorf("%d bytes are kept of 100", n)
	}
	for b := in[100:]; len(b) > 0; {
		m, n, err := r.Next(b[:min(len(b), 1000)], 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if r.part != nil && cap(r.part.text) > 2*len(r.part.text)+1000 {
			t.Fatalf("%d bytes are kept of %d", cap(r.part.text), len(r.part.text))
		}
		if b = b[n:]; len(b) == 0 && (len(m.Payload) != 1<<20 || cap(m.Payload) != 1<<20 || !r.Idle()) {
			t.Errorf("%d bytes came, in %d", len(m.Payload), cap(m.Payload))
		}
	}
}

// A message in many small frames is not copied for each of them.
func TestReaderOfSmallFragments(t *testing.T) {
	in := frame(false, 0, ws.OpText, strings.Repeat("x", 40_000))
	one := frame(false, 0, ws.OpContinuation, "x")
	for range 20_000 {
		in = append(in, one...)
	}
	in = append(in, frame(true, 0, ws.OpContinuation, "x")...)
	for how, size := range map[string]int{"at once": len(in), "in pieces": 1000} {
		work := bytes.Clone(in)
		var r Reader
		var m Message
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for len(work) > 0 {
			var n int
			var err error
			if m, n, err = r.Next(work[:min(len(work), size)], 1<<20); err != nil {
				t.Fatal(err)
			}
			work = work[n:]
		}
		runtime.ReadMemStats(&after)
		if len(m.Payload) != 60_001 || !r.Idle() {
			t.Errorf("%s: %d bytes came", how, len(m.Payload))
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes were allocated", how, n)
		}
	}
}

// However the bytes are cut, they mean the same; what is kept is bounded.
func FuzzReader(f *testing.F) {
	f.Add(join(text("κόσμε"), frame(false, 0, ws.OpText, "a"), frame(true, 0, ws.OpPing, "p"), frame(true, 0, ws.OpContinuation, "b"), closing(1000, "x")), uint64(1), false)
	f.Add(text(strings.Repeat("long", 100)), uint64(2), true)
	deflated, _ := Deflate(nil, bytes.Repeat([]byte("deflate "), 100))
	f.Add(join(frame(true, rsvDeflate, ws.OpText, string(deflated)), frame(false, rsvDeflate, ws.OpText, string(deflated[:5])), frame(true, 0, ws.OpContinuation, string(deflated[5:]))), uint64(3), true)
	f.Fuzz(func(t *testing.T, in []byte, seed uint64, deflate bool) {
		random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // a seed that can be repeated
		want := read(&Reader{Deflate: deflate}, in, cuts["whole"])
		r := &Reader{Deflate: deflate}
		got := read(r, in, func(left int) int { return 1 + random.IntN(left) })
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Fatalf("in one piece %q, in several %q", want, got)
		}
		if r.part != nil && cap(r.part.text) > testLimit {
			t.Fatalf("%d bytes are kept", cap(r.part.text))
		}
	})
}

func BenchmarkReader(b *testing.B) {
	for _, n := range []int{40, 200, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in := text(strings.Repeat("x", n))
			work := make([]byte, len(in))
			var r Reader
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				copy(work, in)
				if m, _, err := r.Next(work, testLimit); err != nil || m.Kind != Text {
					b.Fatal(m, err)
				}
			}
		})
	}
}
