package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"twohop"
)

func TestJSONRecords(t *testing.T) {
	f := func(in string, want ...string) {
		t.Helper()
		r, err := JSONRecords([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			return
		}
		if len(r.Ends) != len(want) {
			t.Errorf("%s: %d records, want %d", in, len(r.Ends), len(want))
			return
		}
		b := twohop.Batch{Data: r.Data, Ends: r.Ends}
		for i, w := range want {
			if got := string(b.Record(i)); got != w+"," {
				t.Errorf("%s: record %d is %s, want %s", in, i, got, w)
			}
		}
	}
	f(`{"a":1}`, `{"a":1}`)
	f(` [ ] `)
	f(`[1, "x" ,null]`, `1`, `"x"`, `null`)
	f(`[[1,2],[3,4]]`, `[1,2]`, `[3,4]`)
	f(`[[[1,2,3]]]`, `[[1,2,3]]`)
	f("{\n\"a\":\r\n[1,\n2]}", `{ "a":  [1, 2]}`)
	f(`"\ud83d\ude00 é\n"`, `"\ud83d\ude00 é\n"`)
	f(`-0.5e+10`, `-0.5e+10`)
	f(`true`, `true`)
}

// What is kept of a body is counted as what it holds: it must not hold on to the
// rest of the body.
func TestJSONRecordsKeepNoSpace(t *testing.T) {
	space := strings.Repeat(" ", 1<<20)
	for _, body := range []string{space + "1", "[1," + space + "1]", "[" + space + "1" + space + "]", "[1,2" + strings.Repeat(space+",3", 3) + "]"} {
		r, err := JSONRecords([]byte(body))
		if err != nil || cap(r.Data) > 256 || cap(r.Ends) > 128 {
			t.Errorf("%d bytes are kept of %d, and %d ends of %d, %v", cap(r.Data), len(r.Data), cap(r.Ends), len(r.Ends), err)
		}
	}
}

func TestJSONErrorsSayWhere(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		_, err := JSONRecords([]byte(in))
		if in[:min(len(in), 1)] != "[" { // no array, so one value
			if check := CheckJSON([]byte(in)); fmt.Sprint(check) != fmt.Sprint(err) {
				t.Errorf("%q: CheckJSON says %v, JSONRecords %v", in, check, err)
			}
		}
		var e *twohop.Error
		if !errors.As(err, &e) || e.Code != twohop.CodeInvalidJSON || !strings.HasPrefix(e.Message, want) {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
	}
	f(``, "byte 0: found end of the body, expected a JSON value")
	f(`{"a":}`, "byte 5: found '}'")
	f(`[1,]`, "byte 3: found ']'")
	f(`[1 2]`, "byte 3: found '2', expected ',' or ']'")
	if err := CheckJSON([]byte(" [1, {}] ")); err != nil {
		t.Error(err)
	}
	f(`{"a":1} x`, "byte 8: found 'x', expected nothing")
	f(`01`, "byte 1: found '1', expected nothing")
	f("\"a\nb\"", `byte 2: found '\n', expected an escape`)
	f("\"\xff\"", "byte 1:")
	f(`"\u12g4"`, "byte 5: found 'g', expected a hexadecimal digit")
	f(`tru`, "byte 3: found end of the body, expected true")
	f(strings.Repeat("[", 600), "byte 513: found '[', expected at most 512 levels")
}

func FuzzJSONRecords(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e-3,null,true]}`, `[]`, `[[],{}]`, "\"\\u00e9\xc3\xa9\"", "[1,\n2]", `-`, `{"a"}`, `"\x"`, "\xef\xbb\xbf1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		orig := bytes.Clone(in)
		r, err := JSONRecords(in)
		if !bytes.Equal(in, orig) {
			t.Fatal("the body was written to")
		}
		if valid := json.Valid(in) && utf8.Valid(in); valid != (err == nil) && depth(in) < maxDepth {
			t.Fatalf("valid is %v, got %v", valid, err)
		}
		if err != nil {
			return
		}
		if bytes.ContainsAny(r.Data, "\r\n") {
			t.Fatalf("line break in %q", r.Data)
		}
		var compact, again bytes.Buffer
		_ = json.Compact(&compact, in)
		if err := json.Compact(&again, JSONArray(nil, r.Data)); err != nil {
			t.Fatal(err)
		}
		want := compact.String()
		if want[0] != '[' {
			want = "[" + want + "]"
		}
		if again.String() != want {
			t.Fatalf("%s became %s", want, again.String())
		}
	})
}

func depth(b []byte) (deepest int) {
	d := 0
	for _, c := range b {
		switch c {
		case '[', '{':
			d++
			deepest = max(deepest, d)
		case ']', '}':
			d--
		}
	}
	return deepest
}

func TestLineRecords(t *testing.T) {
	for _, in := range []string{"", "a", "a\n", "\n", "a\n\nb", "a\r\nb\n"} {
		r := LineRecords([]byte(in))
		want := strings.SplitAfter(in, "\n")
		if want[len(want)-1] == "" {
			want = want[:len(want)-1]
		}
		b := twohop.Batch{Data: r.Data, Ends: r.Ends}
		if b.Len() != len(want) {
			t.Fatalf("%q: %d records, want %q", in, b.Len(), want)
		}
		for i := range want {
			if got := string(b.Record(i)); got != want[i] {
				t.Errorf("%q: record %d is %q, want %q", in, i, got, want[i])
			}
		}
	}
}

func BenchmarkJSONRecords(b *testing.B) {
	one := []byte(`{"id":123456,"name":"a seat somewhere","price":12.5,"tags":["a","b"],"note":"` + strings.Repeat("x", 50) + `"}`)
	many := append(append([]byte{'['}, bytes.Repeat(append(one, ','), 99)...), append(one, ']')...)
	for name, body := range map[string][]byte{"one": one, "hundred": many} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := JSONRecords(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
