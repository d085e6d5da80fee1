package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"twohop"
)

// load reads a file of test vectors; test/vectors/README.md says what is in it.
func load[T any](t *testing.T, name string) (all []T) {
	t.Helper()
	b, err := os.ReadFile("../../test/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil || len(all) < 5 {
		t.Fatalf("%s has %d vectors: %v", name, len(all), err)
	}
	return all
}

// same compares as JSON does.
func same(t *testing.T, got, want any) bool {
	t.Helper()
	a, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		t.Fatalf("%s and %s", a, b)
	}
	return reflect.DeepEqual(x, y)
}

func code(err error) twohop.Code {
	if e, ok := err.(*twohop.Error); ok { //nolint:errorlint // nothing here wraps errors
		return e.Code
	}
	return ""
}

func TestVectorsOfClientFrames(t *testing.T) {
	var f ClientFrame
	for _, v := range load[struct {
		Name, Text, Error string
		ID                json.RawMessage
		Frame             map[string]any
	}](t, "client_frames.json") {
		text := []byte(v.Text)
		err := ParseClientFrame(text, &f, channels)
		if string(text) != v.Text {
			t.Fatalf("%s: the message was written to", v.Name)
		}
		if got := string(code(err)); got != v.Error || (err != nil) != (v.Error != "") {
			t.Errorf("%s: got %v, want %q", v.Name, err, v.Error)
			continue
		}
		if err != nil {
			if string(f.ID) != string(v.ID) {
				t.Errorf("%s: got the id %s, want %s", v.Name, f.ID, v.ID)
			}
			continue
		}
		if got := meaning(t, &f); !same(t, got, v.Frame) {
			t.Errorf("%s: got %v, want %v", v.Name, got, v.Frame)
		}
	}
}

// meaning is a client's frame as the vectors have it.
func meaning(t *testing.T, f *ClientFrame) map[string]any {
	m := map[string]any{}
	for name, typ := range frameTypes {
		if typ == f.Type {
			m["type"] = name
		}
	}
	if f.ID != nil {
		m["id"] = json.RawMessage(f.ID)
	}
	switch f.Type {
	case FrameSubscribe:
		list := []any{}
		for i := range f.Subs {
			list = append(list, follow(&f.Subs[i]))
		}
		m["channels"] = list
	case FrameUnsubscribe:
		m["channels"] = f.Names
	case FramePublish:
		item(t, m, &f.Item)
	case FrameToken:
		m["token"] = f.Token
	case FrameNone, FramePing, FramePong:
	}
	return m
}

func follow(f *Follow) map[string]any {
	m := map[string]any{"channel": f.Channel}
	if f.Err != nil {
		m["error"] = f.Err.Code
		return m
	}
	switch {
	case f.TailRecords != nil:
		m["tailRecords"] = *f.TailRecords
	case f.Since != nil:
		m["since"] = f.Since.UnixMilli()
	case f.From.Kind == twohop.FromOffset:
		m["offset"] = f.From.Offset
	default:
		m["offset"] = map[twohop.FromKind]string{twohop.FromStart: "-1", twohop.FromTail: "now"}[f.From.Kind]
	}
	if f.HasBudget {
		m["budget"] = f.Budget.Milliseconds()
	}
	if f.Base64 {
		m["encoding"] = "base64"
	}
	return m
}

func item(t *testing.T, m map[string]any, it *Item) {
	m["channel"] = it.Channel
	a, err := it.Append(255)
	if err != nil {
		m["error"] = code(err)
		return
	}
	switch {
	case len(a.Ends) == 0:
	case it.Records != nil:
		m["records"] = json.RawMessage(JSONArray(nil, a.Data))
	case it.HasText:
		m["text"] = string(a.Data)
	default:
		m["bytes"] = numbers(a.Data)
	}
	if a.ContentType != "" {
		m["contentType"] = a.ContentType
	}
	if a.Key != "" {
		m["idempotencyKey"] = a.Key
	}
	if a.If != nil {
		m["ifMatch"] = a.If
	}
	if p := a.Producer; p != nil {
		m["producer"] = map[string]any{"id": p.ID, "epoch": p.Epoch, "seq": p.Seq}
	}
	if a.Close {
		m["close"] = true
	}
	if a.Channel != it.Channel {
		t.Errorf("%s became %s", it.Channel, a.Channel)
	}
}

func numbers(b []byte) []int {
	n := make([]int, len(b))
	for i, c := range b {
		n[i] = int(c)
	}
	return n
}

// serverFrame is a server's frame as the vectors have it.
type serverFrame struct {
	Type, Channel, Offset, ContentType, Start, Tail, Reason, Durability, Transport, Code, Message, Hint string
	Text                                                                                                *string
	ID, Records                                                                                         json.RawMessage
	Base64                                                                                              []byte
	Bytes                                                                                               []int
	UpToDate, Closed, Waiting, Duplicate                                                                bool
	Heartbeat, MaxChannels, MaxMessage, Budget, Missed, Readers, Interval, Delay, Expires               int64
}

// make appends the frame with the function for it.
func (f *serverFrame) make(t *testing.T) []byte {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	at := func(s string) (o twohop.Offset) {
		if s != "" {
			if err := o.UnmarshalText([]byte(s)); err != nil {
				t.Fatal(err)
			}
		}
		return o
	}
	id := []byte(f.ID)
	switch f.Type {
	case "welcome":
		return AppendWelcome(nil, ms(f.Heartbeat), int(f.MaxChannels), int(f.MaxMessage))
	case "subscribed":
		return AppendSubscribed(nil, id, f.Channel, &Subscribed{at(f.Offset), ms(f.Budget), f.ContentType, at(f.Start), f.UpToDate, f.Waiting})
	case "data":
		enc, data := EncodeBase64, f.Base64
		switch {
		case f.Records != nil:
			var compact bytes.Buffer
			if err := json.Compact(&compact, f.Records); err != nil {
				t.Fatal(err)
			}
			recs, err := JSONRecords(compact.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			enc, data = EncodeJSON, recs.Data
		case f.Text != nil:
			enc, data = EncodeText, []byte(*f.Text)
		}
		for _, n := range f.Bytes {
			data = append(data, byte(n)) //nolint:gosec // bytes
		}
		return AppendData(nil, f.Channel, enc, data, at(f.Offset), f.UpToDate, f.Closed)
	case "reset":
		return AppendReset(nil, f.Channel, &twohop.Reset{Reason: twohop.ResetReason(f.Reason), Start: at(f.Start), Tail: at(f.Tail), Missed: uint64(f.Missed)}) //nolint:gosec // not negative
	case "unsubscribed":
		return AppendUnsubscribed(nil, id, f.Channel, at(f.Offset))
	case "published":
		level := map[string]twohop.Level{"memory": twohop.LevelMemory, "disk": twohop.LevelDisk, "replicated": twohop.LevelReplicated}[f.Durability]
		return AppendPublished(nil, id, f.Channel, &twohop.Ack{Offset: at(f.Offset), Level: level, Duplicate: f.Duplicate}, int(f.Readers))
	case "token":
		return AppendToken(nil, id, ms(f.Expires))
	case "ping":
		return []byte(FramePingText)
	case "pong":
		return AppendPong(nil, id)
	case "advice":
		return AppendAdvice(nil, f.Channel, f.Transport, ms(f.Interval))
	case "drain":
		return AppendDrain(nil, ms(f.Delay))
	case "error":
		e := &twohop.Error{Code: twohop.Code(f.Code), Channel: f.Channel, Message: f.Message, Hint: f.Hint}
		if f.Offset != "" {
			o := at(f.Offset)
			e.Tail = &o
		}
		return AppendError(nil, id, e)
	}
	t.Fatalf("no function makes %q", f.Type)
	return nil
}

func TestVectorsOfServerFrames(t *testing.T) {
	for _, v := range load[struct {
		Name, Text string
		Frame      json.RawMessage
		Reads      bool // may be read so, is not written so
	}](t, "server_frames.json") {
		if string(v.Frame) == "null" {
			continue // not one of this server's
		}
		var f serverFrame
		if err := json.Unmarshal(v.Frame, &f); err != nil {
			t.Fatal(v.Name, err)
		}
		got := f.make(t)
		if !v.Reads && string(got) != v.Text {
			t.Errorf("%s: got\n%s, want\n%s", v.Name, got, v.Text)
		}
		if v.Reads && string(got) == v.Text {
			t.Errorf("%s: is written so", v.Name)
		}
		var read serverFrame
		if err := json.Unmarshal([]byte(v.Text), &read); err != nil {
			t.Fatal(v.Name, err)
		}
		read.Bytes = append(read.Bytes, f.Bytes...)
		if f.Bytes != nil {
			if base64.StdEncoding.EncodeToString(read.Base64) != base64.StdEncoding.EncodeToString(bytesOf(f.Bytes)) {
				t.Errorf("%s: got the bytes %v", v.Name, read.Base64)
			}
			read.Base64 = nil
		}
		if !same(t, read, f) {
			t.Errorf("%s: reads as %+v, want %+v", v.Name, read, f)
		}
	}
}

func bytesOf(n []int) (b []byte) {
	for _, n := range n {
		b = append(b, byte(n)) //nolint:gosec // bytes
	}
	return b
}

type step struct {
	W, C         map[string]any
	S            json.RawMessage
	Cut          bool
	Odd, Crosses bool
	Got          [][]any
	Stands       map[string]*string
	Published    map[string]any
}

// The conversations are what section 7 of PROTOCOL.md says: a client that does no
// more than that ends where they say.
func TestVectorsOfConversations(t *testing.T) {
	for _, v := range load[struct {
		Name     string
		Settings json.RawMessage
		Steps    []step
	}](t, "conversations.json") {
		model := talk{stands: map[string]*string{}, got: [][]any{}, published: map[string]any{}}
		told := 0
		for i, s := range v.Steps {
			switch {
			case s.W != nil: // of which a client hears by what follows only
			case s.C != nil:
				model.client(t, s.C)
			case s.S != nil:
				model.server(t, s.S)
			case s.Cut:
				model.open = map[string]bool{}
			case s.Got != nil:
				told++
				if !same(t, model.got, s.Got) {
					t.Errorf("%s, step %d: got %v, want %v", v.Name, i, model.got, s.Got)
				}
			case s.Stands != nil:
				told++
				if !same(t, model.stands, s.Stands) {
					b, _ := json.Marshal(model.stands)
					t.Errorf("%s, step %d: stands at %s", v.Name, i, b)
				}
			case s.Published != nil:
				told++
				if !same(t, model.published, s.Published) {
					t.Errorf("%s, step %d: published %v", v.Name, i, model.published)
				}
			default:
				t.Errorf("%s, step %d is empty", v.Name, i)
			}
		}
		if told == 0 {
			t.Errorf("%s tests nothing", v.Name)
		}
	}
}

// talk is a client that knows section 7 and nothing else.
type talk struct {
	open      map[string]bool    // followed on this connection
	stands    map[string]*string // nil: not followed any more
	got       [][]any
	published map[string]any
}

func (m *talk) client(t *testing.T, c map[string]any) {
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var f ClientFrame
	if err := ParseClientFrame(b, &f, channels); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if m.open == nil {
		m.open = map[string]bool{}
	}
	for i := range f.Subs {
		s := &f.Subs[i]
		from, _ := follow(s)["offset"].(string)
		if o, ok := follow(s)["offset"].(twohop.Offset); ok {
			from = o.String()
		}
		if last, known := m.stands[s.Channel]; s.Err != nil || m.open[s.Channel] || known && (last == nil || *last != from) {
			t.Errorf("%s cannot be subscribed to with %s", s.Channel, b)
		}
		m.open[s.Channel] = true
	}
	for _, name := range f.Names {
		delete(m.open, name)
		m.stands[name] = nil
	}
}

func (m *talk) server(t *testing.T, raw json.RawMessage) {
	var f serverFrame
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	if f.Type == "published" || f.Type == "error" && f.ID != nil && !m.open[f.Channel] {
		answer := map[string]any{"offset": f.Offset, "durability": f.Durability, "readers": f.Readers, "duplicate": f.Duplicate}
		if f.Type == "error" {
			answer = map[string]any{"error": f.Code}
		}
		m.published[strings.Trim(string(f.ID), `"`)] = answer
		return
	}
	if !m.open[f.Channel] {
		return
	}
	end := func(what string, value any) {
		m.got = append(m.got, []any{f.Channel, map[string]any{what: value}})
		delete(m.open, f.Channel)
		m.stands[f.Channel] = nil
	}
	switch f.Type {
	case "subscribed":
		m.stands[f.Channel] = &f.Offset
	case "data":
		if f.Offset > *m.stands[f.Channel] {
			m.got = append(m.got, f.batch())
			m.stands[f.Channel] = &f.Offset
		}
		if f.Closed {
			end("closed", true)
		}
	case "reset":
		m.got = append(m.got, []any{f.Channel, map[string]any{"reset": f.Reason, "missed": f.Missed}})
		m.stands[f.Channel] = &f.Offset
		if f.Reason == "deleted" {
			delete(m.open, f.Channel)
			m.stands[f.Channel] = nil
		}
	case "error":
		end("error", f.Code)
	}
}

func (f *serverFrame) batch() []any {
	b := []any{f.Channel}
	switch {
	case f.Text != nil:
		return append(b, map[string]any{"text": *f.Text})
	case f.Base64 != nil:
		return append(b, map[string]any{"bytes": numbers(f.Base64)})
	}
	var records []any
	_ = json.Unmarshal(f.Records, &records)
	return append(b, records...)
}
