package websocket

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

func fails(t *testing.T, err error, code uint16) {
	t.Helper()
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != code {
		t.Errorf("got %v, want the code %d", err, code)
	}
}

func messages(n int) []byte {
	b := []byte(`{"type":"data","channel":"chat/1","offset":"1790000000000000_0000000000000002","upToDate":true,"records":[`)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, `{"id":%d,"user":"u%d","text":"hello number %d","at":%d},`, i*7919, i%13, i*i, 1790000000000+i*331)
	}
	return append(b[:len(b)-1], "]}"...)
}

// What goes out is what the standard library reads, and comes back.
func FuzzDeflate(f *testing.F) {
	f.Add([]byte(""))
	f.Add(messages(300))
	f.Add(messages(100_000))
	f.Add(bytes.Repeat([]byte{0}, 70_000))
	noise := make([]byte, 1000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	f.Add(noise)
	f.Fuzz(func(t *testing.T, in []byte) {
		out, ok := Deflate([]byte("before"), in)
		if string(out[:6]) != "before" || !ok && len(out) != 6 || ok && (len(out)-6 >= len(in) || len(in) < MinDeflate) {
			t.Fatalf("%d bytes became %d, %v", len(in), len(out)-6, ok)
		}
		if !ok {
			return
		}
		out = out[6:]
		got, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(out), strings.NewReader(tail+last))))
		if err != nil || !bytes.Equal(got, in) {
			t.Fatalf("the standard library read %d of %d bytes, %v", len(got), len(in), err)
		}
		if got, err = Inflate(out, len(in)); err != nil || !bytes.Equal(got, in) {
			t.Fatalf("%d of %d bytes came back, %v", len(got), len(in), err)
		}
		_, err = Inflate(out, len(in)-1)
		fails(t, err, CodeTooLarge)
	})
}

// Whatever comes, the standard library reads it the same, and never more than
// the limit comes of it.
func FuzzInflate(f *testing.F) {
	out, _ := Deflate(nil, messages(1000))
	f.Add(out)
	f.Add([]byte{})
	f.Add([]byte{0})
	f.Add([]byte{0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00})
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 1 << 16
		got, err := Inflate(in, limit)
		src := bytes.NewReader(append(bytes.Clone(in), tail+last...))
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(src), limit+1))
		switch {
		case len(want) > limit:
			fails(t, err, CodeTooLarge)
		case wantErr != nil:
			fails(t, err, CodeData)
		case err != nil && src.Len() <= len(tail+last):
			t.Fatalf("%x: %v", in, err)
		case err == nil && !bytes.Equal(got, want):
			t.Fatalf("%x: got %x, want %x", in, got, want)
		}
	})
}

// The examples of RFC 7692 7.2.3.
func TestInflateAsTheRFC(t *testing.T) {
	f := func(want string, in ...byte) {
		t.Helper()
		if got, err := Inflate(in, 1000); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	f("Hello", 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00)
	f("Hello", 0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00)
	f("Hello", 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00)
	f("Hello", 0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00)
	f("", 0x00)

	_, err := Inflate([]byte{0xf2, 0x00, 0x11, 0x00, 0x00}, 1000) // Hello again, out of the last message
	fails(t, err, CodeData)
	_, err = Inflate([]byte{0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x48, 0x65}, 1000) // and more after its end
	fails(t, err, CodeData)
	_, err = Inflate([]byte("no deflate"), 1000)
	fails(t, err, CodeData)
}

func TestReaderInflates(t *testing.T) {
	in := messages(5000)
	out, _ := Deflate(nil, in)
	zeros, _ := Deflate(nil, bytes.Repeat([]byte(" "), 10*testLimit))
	noText, _ := Deflate(nil, bytes.Repeat([]byte("\xff"), 1000))
	if len(zeros) > testLimit/10 {
		t.Fatalf("the bomb has %d bytes", len(zeros))
	}
	f := func(name, want string, frames ...[]byte) {
		t.Helper()
		for how, cut := range cuts {
			if got := strings.Join(read(&Reader{Deflate: true}, join(frames...), cut), "|"); got != want {
				t.Errorf("%s, %s: got %.200q, want %.200q", name, how, got, want)
			}
		}
	}
	one := func(payload []byte) []byte { return frame(true, rsvDeflate, ws.OpText, string(payload)) }
	f("whole", "text "+string(in)+"|text plain", one(out), text("plain"))
	f("fragments", "ping p|text "+string(in), frame(false, rsvDeflate, ws.OpText, string(out[:9])), frame(true, 0, ws.OpPing, "p"), frame(true, 0, ws.OpContinuation, string(out[9:])))
	f("the bit on a continuation", "error 1002", frame(false, rsvDeflate, ws.OpText, string(out[:9])), frame(true, rsvDeflate, ws.OpContinuation, string(out[9:])))
	f("the bit on a ping", "error 1002", frame(true, rsvDeflate, ws.OpPing, ""))
	f("another bit", "error 1002", frame(true, rsvDeflate|2, ws.OpText, string(out)))
	f("binary", "error 1003", frame(true, rsvDeflate, ws.OpBinary, string(out)))
	f("a bomb", "error 1009", one(zeros))
	f("no deflate", "error 1007", one([]byte("no deflate")))
	f("no text", "error 1007", one(noText))
}

// readFrame reads the only frame of b.
func readFrame(b []byte) (f ws.Frame, err error) {
	in := bytes.NewReader(b)
	if f.Header, err = ws.ReadHeader(in); err != nil || f.Header.Length != int64(in.Len()) {
		return f, fmt.Errorf("%d bytes left: %w", in.Len(), err)
	}
	f.Payload, err = io.ReadAll(in)
	return f, err
}

// What is sent is what the library that is not ours reads.
func TestWrite(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 255, 256, 65535, 65536, 200_000} {
		in := messages(n)[:n]
		for name, out := range map[string][]byte{
			"text": AppendText([]byte{}, in), "deflated": AppendDeflated([]byte{}, in),
			"from": AppendTextFrom([]byte{}, func(dst []byte) []byte { return append(dst, in...) }),
		} {
			got, err := readFrame(out)
			if err != nil || !got.Header.Fin || got.Header.Masked || got.Header.OpCode != ws.OpText {
				t.Fatalf("%s of %d: %+v, %v", name, n, got.Header, err)
			}
			if len(out) != ws.HeaderSize(got.Header)+len(got.Payload) {
				t.Errorf("%s of %d has a header that is too long", name, n)
			}
			if got.Header.Rsv == rsvDeflate {
				if got.Payload, err = Inflate(got.Payload, n); err != nil || name != "deflated" {
					t.Fatal(name, err)
				}
			} else if name == "deflated" && n >= MinDeflate {
				t.Errorf("%d bytes were not compressed", n)
			}
			if !bytes.Equal(got.Payload, in) {
				t.Errorf("%s of %d came back as %.100q", name, n, got.Payload)
			}
		}
	}
	f := func(out []byte, op ws.OpCode, payload string) {
		t.Helper()
		got, err := readFrame(out)
		if err != nil || got.Header.OpCode != op || !got.Header.Fin || got.Header.Rsv != 0 || string(got.Payload) != payload {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	f(AppendPong(nil, []byte("b")), ws.OpPong, "b")
	f(AppendClose(nil, CodeNone, "not sent"), ws.OpClose, "")
	f(AppendClose(nil, CodeRestart, "bye"), ws.OpClose, "\x03\xf4bye")
	f(AppendClose(nil, CodeNormal, strings.Repeat("é", 100)), ws.OpClose, "\x03\xe8"+strings.Repeat("é", 61))
}

func BenchmarkDeflate(b *testing.B) {
	for _, n := range []int{300, 2000, 32000} {
		in := messages(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				dst = AppendDeflated(dst[:0], in)
			}
			b.ReportMetric(float64(len(dst))/float64(len(in)), "ratio")
		})
	}
}

func BenchmarkInflate(b *testing.B) {
	for _, n := range []int{300, 2000} {
		in, _ := Deflate(nil, messages(n))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Inflate(in, testLimit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendTextFrom(b *testing.B) {
	in := messages(300)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendTextFrom(dst[:0], func(dst []byte) []byte { return append(dst, in...) })
	}
}
