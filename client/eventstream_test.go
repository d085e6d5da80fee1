package client

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// events reads a whole stream; each event is "kind|id|data".
func events(r io.Reader, limit int) (out []string, p *sseParser, err error) {
	p = newSSEParser(r, limit)
	for {
		e, err := p.next()
		if err != nil {
			return out, p, err
		}
		out = append(out, fmt.Sprintf("%s|%s|%s", e.kind, e.id, e.data))
	}
}

func TestSSEParser(t *testing.T) {
	f := func(in string, want ...string) {
		t.Helper()
		got, _, err := events(strings.NewReader(in), 1000)
		if !errors.Is(err, io.EOF) {
			t.Errorf("%q ends with %v", in, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q:\n%s", in, d)
		}
	}
	f("")
	f("data: a\n\n", "message||a")
	f("data:a\r\n\r\n", "message||a")
	f("data:a\r\r", "message||a")
	f("data:a\n\r\n", "message||a")
	f("data:a\r\ndata:b\rdata:c\n\n", "message||a\nb\nc")
	f("\xEF\xBB\xBFdata:a\n\n", "message||a")
	f("\xEF\xBB\xBF\xEF\xBB\xBFdata:a\n\n")      // only the first one is a mark
	f("\xEF\xBBdata:a\n\n")                      // no mark
	f("data:a")                                  // cut in the line
	f("data:a\n")                                // cut before the blank line
	f("data:a\n\nid:7\ndata:b\n", "message||a")  // the last one is cut
	f("data\n\n", "message||")                   // a line break, which is dropped
	f("data\ndata\n\n", "message||\n")           // two, of which one is dropped
	f("event:x\n\n", []string(nil)...)           // no data, no event
	f("event:x\n\ndata:a\n\n", "message||a")     // and its kind is forgotten
	f("event: x\ndata:  a\n\n", "x|| a")         // one space is dropped
	f(": hi\n:\ndata:a\n: ho\n\n", "message||a") // comments
	f("id: 1\ndata:a\n\ndata:b\n\n", "message|1|a", "message|1|b")
	f("id: 1\ndata:a\n\nid\ndata:b\n\n", "message|1|a", "message||b")
	f("id: 1\x002\ndata:a\n\n", "message||a")
	f("Data:a\nfoo: bar\nfoo\ndata:b\n\n", "message||b")
	f("data:\xff\x00\n\n", "message||\xff\x00")
}

func TestSSEParserRetry(t *testing.T) {
	f := func(in string, want time.Duration) {
		t.Helper()
		if _, p, _ := events(strings.NewReader(in), 1000); p.retry != want {
			t.Errorf("%q gives %v, want %v", in, p.retry, want)
		}
	}
	f("retry: 1500\n\n", 1500*time.Millisecond)
	f("retry: 1500\nretry: x\nretry: -1\nretry: +1\nretry: 1.5\nretry:\n", 1500*time.Millisecond)
}

func TestSSEParserBoundsMemory(t *testing.T) {
	f := func(in io.Reader) {
		t.Helper()
		if _, p, err := events(in, 1000); !errors.Is(err, errTooLarge) {
			t.Errorf("ends with %v", err)
		} else if cap(p.buf) > 100<<10 {
			t.Errorf("%d bytes are kept", cap(p.buf))
		}
	}
	f(strings.NewReader("data:" + strings.Repeat("x", 1001) + "\n\n"))
	f(strings.NewReader(strings.Repeat("data:xxxxxxxxx\n", 101) + "\n"))
	f(io.LimitReader(endless{}, 10<<20))
}

// A large event borrows a buffer that its stream does not keep.
func TestSSEParserHoldsLittleBetweenEvents(t *testing.T) {
	large := strings.Repeat("0123456789\n", 30_000)
	p := newSSEParser(strings.NewReader(strings.Repeat("data:"+strings.Repeat("x", 300_000)+"\n\ndata:small\n\n", 2)+"data:"+
		strings.ReplaceAll(large, "\n", "\ndata:")+"\n\n: the end\n\ndata:small\n\n"), 1<<20)
	for i, want := range []string{strings.Repeat("x", 300_000), "small", strings.Repeat("x", 300_000), "small", large, "small"} {
		e, err := p.next()
		if err != nil || string(e.data) != want {
			t.Fatalf("event %d has %d bytes, want %d: %v", i, len(e.data), len(want), err)
		}
	}
	if n := cap(p.buf) + cap(p.small); n > 2*smallBuffer {
		t.Errorf("%d bytes are kept between events", n)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// specified parses a stream as the HTML standard's grammar is written: all at
// once.
func specified(in string) (out []string) {
	in = strings.TrimPrefix(in, "\xEF\xBB\xBF")
	in = strings.ReplaceAll(strings.ReplaceAll(in, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(in, "\n")
	id, kind, data := "", "", ""
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if data != "" {
				if kind == "" {
					kind = "message"
				}
				out = append(out, kind+"|"+id+"|"+data[:len(data)-1])
			}
			kind, data = "", ""
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case name == "data":
			data += value + "\n"
		case name == "event":
			kind = value
		case name == "id" && !strings.Contains(value, "\x00"):
			id = value
		}
	}
	return out
}

func FuzzSSEParser(f *testing.F) {
	for _, s := range []string{
		": twohop\nretry: 1000\n\nid: 1_7\nevent: data\ndata:[1]\n\nevent: control\ndata:{\"streamNextOffset\":\"1_7\"}\n\n",
		"data:a\r\rdata\r\n\r\n", "\xEF\xBB\xBFdata: a\n\n", "\xEF\xBB", "id:\x00\ndata\n\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		want := specified(in)
		whole, _, err := events(strings.NewReader(in), 1<<20)
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, whole); d != "" {
			t.Fatalf("%q:\n%s", in, d)
		}
		if bytewise, _, _ := events(iotest.OneByteReader(strings.NewReader(in)), 1<<20); !cmp.Equal(want, bytewise) {
			t.Fatalf("byte by byte %q is\n%s", in, cmp.Diff(want, bytewise))
		}
	})
}
