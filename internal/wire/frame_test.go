package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"twohop"
)

const channels = 10_000 // that a frame may name

// A frame is used again for the next message, and nothing of the last one stays.
func TestClientFrameIsUsedAgain(t *testing.T) {
	var f ClientFrame
	for _, in := range []string{
		`{"type":"subscribe","id":1,"channels":[{"channel":"a","offset":"x"},{"channel":"b","tailRecords":1,"budget":5}]}`,
		`{"type":"publish","channel":"a","text":"x","close":true,"producer":{"id":"p","epoch":1,"seq":1}}`,
		`{"type":"unsubscribe","channels":["a"]}`,
		`{"type":"token","token":"t"}`, `{"type":"what"}`, `{`,
	} {
		_ = ParseClientFrame([]byte(in), &f, channels)
	}
	if err := ParseClientFrame([]byte(`{"type":"subscribe","channel":"c"}`), &f, channels); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%+v", f)
	want := ClientFrame{Type: FrameSubscribe, Subs: []Follow{{Channel: "c", From: twohop.From{Kind: twohop.FromTail}}}}
	if got != fmt.Sprintf("%+v", want) {
		t.Errorf("got %s, want %+v", got, want)
	}
}

// An append keeps nothing of the message, whose bytes are read over.
func TestItemIsItsOwn(t *testing.T) {
	for _, in := range []string{`"records":[1,2]`, `"text":"abc"`, `"base64":"YWJj"`} {
		b := []byte(`{"type":"publish","channel":"a",` + in + `,"idempotencyKey":"k"}`)
		var f ClientFrame
		if err := ParseClientFrame(b, &f, channels); err != nil {
			t.Fatal(err)
		}
		a, err := f.Item.Append(255)
		if err != nil {
			t.Fatal(err)
		}
		before := fmt.Sprintf("%s %+v", a.Data, a)
		for i := range b {
			b[i] = 'z'
		}
		if after := fmt.Sprintf("%s %+v", a.Data, a); after != before {
			t.Errorf("%s became %s", before, after)
		}
	}
}

// Records are JSON, and what is text or base64 is not: none goes into a channel of
// the other kind.
func TestTypeOfAnItem(t *testing.T) {
	f := func(members string, want twohop.Code) {
		t.Helper()
		it, err := ParseItem([]byte(`{"channel":"a",` + members + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = it.Append(255); code(err) != want {
			t.Errorf("%s: %v, want %q", members, err, want)
		}
	}
	f(`"records":[{"a":1}]`, "")
	f(`"records":[{"a":1}],"contentType":"Application/JSON; charset=utf-8"`, "")
	f(`"records":[{"a":1}],"contentType":"text/plain"`, twohop.CodeInvalidRequest)
	f(`"records":[{"a":1}],"contentType":"application/octet-stream"`, twohop.CodeInvalidRequest)
	f(`"records":[],"contentType":"text/plain","close":true`, "")
	f(`"text":"1","contentType":"text/csv"`, "")
	f(`"text":"1","contentType":"application/json"`, twohop.CodeInvalidRequest)
	f(`"base64":"AA=="`, "")
	f(`"base64":"AA==","contentType":"application/json"`, twohop.CodeInvalidRequest)
}

// What is a frame is JSON, and what is taken of it is what the standard library
// reads.
func FuzzParseClientFrame(f *testing.F) {
	for _, s := range []string{
		`{"type":"subscribe","id":1,"channels":[{"channel":"a","offset":"-1"},{"channel":"b","budget":"500ms","tailRecords":5,"since":1,"encoding":"base64"}]}`,
		`{"type":"publish","id":"x","channel":"a","records":[1,{"a":"b"}],"producer":{"id":"p","epoch":0,"seq":1},"ifMatch":"x","close":false}`,
		`{"type":"publish","channel":"a","text":"\ud83d\ude00\n"}`, `{"type":"publish","channel":"a","base64":"AAE="}`,
		`{"type":"unsubscribe","channels":["a","b"]}`, `{"type":"token","token":"x"}`, ` { "type" : "ping" , "x" : [ { } ] } `, `{"type":null}`, `{"\u0074ype":"pong"}`,
	} {
		f.Add([]byte(s))
	}
	var fr ClientFrame
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		err := ParseClientFrame(in, &fr, channels)
		if !bytes.Equal(in, before) {
			t.Fatal("the message was written to")
		}
		if err != nil {
			if code(err) == "" {
				t.Fatalf("an error without a code: %v", err)
			}
			return
		}
		if !json.Valid(in) || !utf8.Valid(in) {
			t.Fatalf("%q is no JSON", in)
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(in, &want); err != nil {
			t.Fatal(err)
		}
		if id := want["id"]; string(id) != string(fr.ID) && (string(id) != "null" || fr.ID != nil) {
			t.Fatalf("%q: the id is %q", in, fr.ID)
		}
		text := func(name, got string) {
			var s string
			if err := json.Unmarshal(want[name], &s); want[name] != nil && (err != nil || s != got) {
				t.Fatalf("%q: %s is %q, %v", in, name, got, err)
			}
		}
		switch fr.Type {
		case FrameSubscribe:
			for i := range fr.Subs {
				if s := &fr.Subs[i]; s.Err == nil && (s.Budget < 0 || s.Budget > MaxBudget) {
					t.Fatalf("%q: the budget is %v", in, s.Budget)
				}
			}
		case FramePublish:
			text("channel", fr.Item.Channel)
			text("contentType", fr.Item.ContentType)
			if fr.Item.HasText && !fr.Item.HasBase64 {
				text("text", string(fr.Item.Bytes))
			}
			if a, err := fr.Item.Append(255); err == nil && len(a.Ends) == 0 && !a.Close {
				t.Fatalf("%q publishes nothing", in)
			}
		case FrameToken:
			text("token", fr.Token)
		case FrameUnsubscribe, FramePing, FramePong:
		case FrameNone:
			t.Fatal("a frame without a type")
		}
	})
}

// Whatever the bytes, a frame is one line of JSON that says them.
func FuzzAppendData(f *testing.F) {
	for _, s := range []string{"", "plain and long enough", "a\"b\\c\nd\x00e\x7f", "é\u2028😀", "\xff\xc0\xaf", "\xed\xa0\x80x", "1234567\xf0\x9f\x98"} {
		f.Add([]byte(s), s)
	}
	f.Fuzz(func(t *testing.T, data []byte, channel string) {
		text, name := coerced(t, string(data)), coerced(t, channel)
		for _, enc := range []Encoding{EncodeText, EncodeBase64} {
			out := AppendData([]byte("x"), channel, enc, data, twohop.Offset{Epoch: 1, Pos: 2}, true, false)[1:]
			var got struct {
				Channel, Type, Offset string
				UpToDate              bool
				Text                  *string
				Base64                *string
			}
			if err := json.Unmarshal(out, &got); err != nil || !utf8.Valid(out) || bytes.ContainsAny(out, "\r\n") {
				t.Fatalf("%q: %v", out, err)
			}
			if got.Channel != name || got.Type != "data" || !got.UpToDate {
				t.Fatalf("%q reads as %+v", out, got)
			}
			if enc == EncodeText && *got.Text != text {
				t.Fatalf("%q came back as %q", data, *got.Text)
			}
			if enc == EncodeBase64 && *got.Base64 != base64.StdEncoding.EncodeToString(data) {
				t.Fatalf("%q came back as %q", data, *got.Base64)
			}
		}
	})
}

// coerced is s as the standard library makes it UTF-8.
func coerced(t *testing.T, s string) (text string) {
	b, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(b, &text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func BenchmarkParseClientFrame(b *testing.B) {
	record := `{"id":123456,"name":"a seat somewhere","price":12.5,"note":"` + strings.Repeat("x", 50) + `"}`
	var list []string
	for i := range 100 {
		list = append(list, fmt.Sprintf(`{"channel":"match/%d/comments","offset":"1790000000000000_0000000000000042","budget":"500ms"}`, i))
	}
	for name, in := range map[string]string{
		"publish":   `{"type":"publish","id":17,"channel":"likes","records":[` + record + `]}`,
		"subscribe": `{"type":"subscribe","id":17,"channels":[` + strings.Join(list, ",") + `]}`,
		"ping":      `{"type":"ping"}`,
	} {
		b.Run(name, func(b *testing.B) {
			msg := []byte(in)
			var f ClientFrame
			b.ReportAllocs()
			b.SetBytes(int64(len(msg)))
			for b.Loop() {
				if err := ParseClientFrame(msg, &f, channels); err != nil {
					b.Fatal(err)
				}
				if f.Type == FramePublish {
					if _, err := f.Item.Append(255); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	o := twohop.Offset{Epoch: 1790000000000000, Pos: 42}
	records := []byte(`{"id":123456,"name":"` + strings.Repeat("x", 100) + `"},`)
	text := []byte(strings.Repeat("a line of a log, as long as they are\n", 4))
	ack := &twohop.Ack{Offset: o}
	for name, f := range map[string]func(dst []byte) []byte{
		"records":   func(dst []byte) []byte { return AppendData(dst, "chat/1", EncodeJSON, records, o, true, false) },
		"text":      func(dst []byte) []byte { return AppendData(dst, "chat/1", EncodeText, text, o, true, false) },
		"base64":    func(dst []byte) []byte { return AppendData(dst, "chat/1", EncodeBase64, text, o, true, false) },
		"published": func(dst []byte) []byte { return AppendPublished(dst, []byte("17"), "chat/1", ack, 3) },
		"subscribed": func(dst []byte) []byte {
			return AppendSubscribed(dst, []byte("17"), "chat/1", &Subscribed{Offset: o, ContentType: "application/json"})
		},
	} {
		b.Run(name, func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = f(dst[:0])
			}
		})
	}
}
