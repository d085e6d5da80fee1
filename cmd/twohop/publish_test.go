package main

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// all reads an input to its end, or to its first error.
func all(seq recordSeq) (out []string, err error) {
	for r, err := range seq {
		if err != nil {
			return out, err
		}
		out = append(out, string(r))
	}
	return out, nil
}

func TestLineRecords(t *testing.T) {
	long := strings.Repeat("x", 300_000) // longer than the reader's buffer
	f := func(in string, want ...string) {
		t.Helper()
		for _, r := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in))} {
			got, err := all(lineRecords(r))
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("%.40q: %v\n%s", in, err, d)
			}
		}
	}
	f("")
	f("\n", "\n")
	f("a", "a")
	f("a\nb\n", "a\n", "b\n")
	f("a\r\n\r\n\nb", "a\r\n", "\r\n", "\n", "b")
	f("\x00\xff\n\xfe", "\x00\xff\n", "\xfe")
	f(long+"\na\n"+long, long+"\n", "a\n", long)

	endless := io.MultiReader(strings.NewReader("a\n"), io.LimitReader(repeat('x'), maxLine+100))
	if got, err := all(lineRecords(endless)); err == nil || !strings.Contains(err.Error(), "line 2") || len(got) != 1 {
		t.Errorf("a line that is too long: %v after %d lines", err, len(got))
	}
	broken := io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(io.ErrClosedPipe))
	if got, err := all(lineRecords(broken)); err == nil || !strings.Contains(err.Error(), "line 1") || len(got) != 1 {
		t.Errorf("an input that breaks: %v after %d lines", err, len(got))
	}
}

type repeat byte

func (b repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func TestRecordsForTheChannel(t *testing.T) {
	f := func(c publishCmd, channelIsJSON bool, input string, want ...string) {
		t.Helper()
		got, err := all(c.records(strings.NewReader(input), channelIsJSON))
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%+v: %v\n%s", c, err, d)
		}
	}
	f(publishCmd{}, false, "a\nb", "a\n", "b")
	f(publishCmd{}, true, "a<\r\n\n\"\xff", `"a<"`, `""`, `"\"\ufffd"`)
	f(publishCmd{JSON: true}, true, ` 1{"a": [ ]}`+"\n\n\"x\"", `1`, `{"a": [ ]}`, `"x"`)
	f(publishCmd{Messages: []string{"a", "", "b\nc"}}, false, "", "a\n", "\n", "b\nc\n")
	f(publishCmd{Messages: []string{"a"}}, true, "", `"a"`)
	f(publishCmd{Messages: []string{"1 2", "3"}, JSON: true}, true, "", "1", "2", "3")
	f(publishCmd{Key: "k\"", Type: "seat", JSON: true}, true, "12345678901234567890",
		`{"type":"seat","key":"k\"","value":12345678901234567890,"headers":{"operation":"upsert"}}`)

	if got, err := all(jsonRecords(strings.NewReader("1 \"\xff\" 2"))); err == nil || len(got) != 1 {
		t.Errorf("JSON that is not UTF-8: %q, %v", got, err)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is written %s", n, got)
		}
	}
}
