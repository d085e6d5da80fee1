package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"twohop"
	"twohop/internal/engine"
)

const (
	text = "text/plain"
	json = "application/json"
	huge = 1 << 24 // a page that holds any log of the suite
)

// fixture is an engine, what its feed told, and what its channels must hold.
type fixture struct {
	testing.TB
	t     *testing.T
	suite Suite
	eng   engine.Engine
	feed  *feed
	kind  string // the content type of the channels that the case makes
	timed bool   // the case runs in a bubble
	logs  map[string]*wanted
}

// wanted is what a channel must hold.
type wanted struct {
	kind   string
	recs   []record
	start  int // records that were trimmed
	closed bool
}

// record is one record: its bytes, and the offset after it where that is known.
type record struct {
	data  string
	after twohop.Offset
}

func newFixture(t *testing.T, s Suite, kind string, timed bool) *fixture {
	f := &fixture{TB: t, t: t, suite: s, kind: kind, timed: timed, logs: map[string]*wanted{}}
	f.eng = s.Open(t)
	t.Cleanup(func() {
		if f.eng != nil {
			f.close()
		}
	})
	f.follow()
	return f
}

func (f *fixture) follow() {
	f.feed = newFeed(f, f.eng.Capabilities().Shards)
	f.eng.Follow(f.feed)
}

func (f *fixture) close() {
	if err := f.eng.Close(); err != nil {
		f.Errorf("Close: %v", err)
	}
	f.eng = nil
}

// reopen closes the engine and opens its data again.
func (f *fixture) reopen() {
	f.Helper()
	f.eng = f.suite.Reopen(f.t, f.eng)
	f.feed.stop()
	f.follow()
	f.checkAll()
}

// pass lets time pass.
func (f *fixture) pass(d time.Duration) {
	f.Helper()
	if !f.timed {
		f.Fatal("a case with time in it runs in a bubble")
	}
	time.Sleep(d) //nolint:forbidigo // in a bubble
}

// finish checks every channel a last time, and what the feed gave away.
func (f *fixture) finish() {
	f.Helper()
	f.checkAll()
	f.feed.unchanged(f)
}

// batch encodes records as the channel of kind has them.
func batch(kind string, recs ...string) (data []byte, ends []uint32) {
	for _, r := range recs {
		data = append(data, encode(kind, r)...)
		ends = append(ends, uint32(len(data)))
	}
	return data, ends
}

func encode(kind, rec string) string {
	if kind == json {
		return `"` + rec + `",`
	}
	return rec
}

// spec is a channel of the case's kind with initial records.
func (f *fixture) spec(recs ...string) *twohop.Spec {
	s := &twohop.Spec{ContentType: f.kind}
	s.Data, s.Ends = batch(f.kind, recs...)
	return s
}

// create makes a channel that must not be there yet.
func (f *fixture) create(name string, spec *twohop.Spec) twohop.Info {
	f.Helper()
	info, created, err := f.eng.Create(f.Context(), name, spec)
	if err != nil || !created {
		f.Fatalf("Create(%q) = created %v, %v; want a new channel", name, created, err)
	}
	w := &wanted{kind: info.ContentType, closed: spec.Closed}
	if spec.Fork != nil {
		w.recs = f.walk(name) // the case compares it with what it should inherit
	} else {
		w.add(spec.Data, spec.Ends, info.Tail)
	}
	f.logs[name] = w
	f.check(name)
	return info
}

// channel makes a channel of the case's kind and appends records one by one.
func (f *fixture) channel(name string, recs ...string) {
	f.Helper()
	f.create(name, f.spec())
	for _, r := range recs {
		f.append(name, r)
	}
}

func (w *wanted) add(data []byte, ends []uint32, after twohop.Offset) {
	from := uint32(0)
	for i, end := range ends {
		r := record{data: string(data[from:end])}
		if i == len(ends)-1 {
			r.after = after
		}
		w.recs = append(w.recs, r)
		from = end
	}
}

// appendOf is an append of records to a channel of the case's kind.
func (f *fixture) appendOf(name string, recs ...string) *twohop.Append {
	a := &twohop.Append{Channel: name, ContentType: f.kind}
	if len(recs) > 0 {
		a.Data, a.Ends = batch(f.kind, recs...)
	}
	return a
}

// send appends and waits for the answer.
func (f *fixture) send(a *twohop.Append) (twohop.Ack, error) {
	f.Helper()
	return f.sendIn(f.Context(), a)
}

func (f *fixture) sendIn(ctx context.Context, a *twohop.Append) (ack twohop.Ack, err error) {
	f.Helper()
	answered := make(chan struct{})
	var told twohop.Offset
	f.eng.Append(ctx, a, func(k twohop.Ack, e error) {
		ack, err = k, e
		told = f.feed.tailOf(a.Channel)
		close(answered) // a second call panics
	})
	<-answered
	if err == nil && !ack.Duplicate && told.Compare(ack.Offset) < 0 {
		f.Errorf("%s: done with offset %s, but the feed was only told up to %s", a.Channel, ack.Offset, told)
	}
	return ack, err
}

// must carries out an append that has to be accepted as a new one.
func (f *fixture) must(a *twohop.Append) twohop.Ack {
	f.Helper()
	ack, err := f.send(a)
	if err != nil || ack.Duplicate {
		f.Fatalf("Append to %s = %+v, %v; want a new append", a.Channel, ack, err)
	}
	w := f.logs[a.Channel]
	if w == nil {
		w = &wanted{kind: f.kind}
		f.logs[a.Channel] = w
	}
	w.add(a.Data, a.Ends, ack.Offset)
	w.closed = w.closed || a.Close
	f.check(a.Channel)
	return ack
}

func (f *fixture) append(name string, recs ...string) twohop.Ack {
	f.Helper()
	return f.must(f.appendOf(name, recs...))
}

// refused carries out an append that must be refused and change nothing.
func (f *fixture) refused(a *twohop.Append, code twohop.Code) {
	f.Helper()
	_ = f.refusal(a, code)
}

// refusal is refused for a case that wants to know more of the error.
func (f *fixture) refusal(a *twohop.Append, code twohop.Code) *twohop.Error {
	f.Helper()
	ack, err := f.send(a)
	if err == nil {
		f.Fatalf("Append to %s = %+v; want the error %s", a.Channel, ack, code)
	}
	e := f.wantError(err, code)
	if f.logs[a.Channel] != nil {
		f.check(a.Channel)
	}
	return e
}

// repeated carries out an append that must be found to be a duplicate.
func (f *fixture) repeated(a *twohop.Append, want twohop.Offset) twohop.Ack {
	f.Helper()
	ack, err := f.send(a)
	if err != nil || !ack.Duplicate || ack.Offset != want {
		f.Fatalf("repeated Append to %s = %+v, %v; want a duplicate at %s", a.Channel, ack, err, want)
	}
	f.check(a.Channel)
	return ack
}

func (f *fixture) wantCode(err error, code twohop.Code) {
	f.Helper()
	_ = f.wantError(err, code)
}

func (f *fixture) wantError(err error, code twohop.Code) *twohop.Error {
	f.Helper()
	e, ok := errors.AsType[*twohop.Error](err)
	if !ok {
		f.Fatalf("error %v (%T), want code %s", err, err, code)
	}
	if e.Code != code {
		f.Fatalf("error %v, want code %s", err, code)
	}
	if e.Message == "" || e.Hint == "" {
		f.Errorf("the error %s says not what went wrong or what to do: %+v", code, e)
	}
	return e
}

func (f *fixture) info(name string) twohop.Info {
	f.Helper()
	info, err := f.eng.Info(f.Context(), name)
	if err != nil {
		f.Fatalf("Info(%q): %v", name, err)
	}
	return info
}

func (f *fixture) read(name string, from twohop.Offset, maxBytes int) twohop.Batch {
	f.Helper()
	b, err := f.eng.Read(f.Context(), name, from, maxBytes)
	if err != nil {
		f.Fatalf("Read(%q, %s, %d): %v", name, from, maxBytes, err)
	}
	return b
}

// pages reads to the tail in pages of maxBytes and checks each of them.
func (f *fixture) pages(name string, from twohop.Offset, maxBytes int) (recs []record) {
	f.Helper()
	first := true
	for {
		b := f.read(name, from, maxBytes)
		if b.From != from && (!first || !from.IsZero()) {
			f.Fatalf("Read(%q, %s, %d) begins at %s", name, from, maxBytes, b.From)
		}
		f.checkBatch(name, &b, maxBytes)
		if b.Len() == 0 {
			return recs
		}
		for i := range b.Len() {
			recs = append(recs, record{data: string(b.Record(i))})
		}
		recs[len(recs)-1].after = b.Next
		from, first = b.Next, false
	}
}

func (f *fixture) checkBatch(name string, b *twohop.Batch, maxBytes int) {
	f.Helper()
	switch n := b.Len(); {
	case n == 0:
		if b.Next != b.From || len(b.Data) != 0 {
			f.Fatalf("%s: an empty batch from %s to %s with %d bytes", name, b.From, b.Next, len(b.Data))
		}
	case int(b.Ends[n-1]) != len(b.Data) || !slices.IsSorted(b.Ends):
		f.Fatalf("%s: %d bytes with ends %v", name, len(b.Data), b.Ends)
	case n > 1 && len(b.Data) > maxBytes:
		f.Fatalf("%s: %d records of %d bytes, more than the %d asked for", name, n, len(b.Data), maxBytes)
	case b.Next.String() <= b.From.String():
		f.Fatalf("%s: a batch from %s to %s", name, b.From, b.Next)
	}
}

// walk reads a channel record by record, so that it learns all offsets.
func (f *fixture) walk(name string) []record {
	f.Helper()
	return f.pages(name, twohop.Offset{}, 0)
}

func (f *fixture) checkAll() {
	f.Helper()
	for name := range f.logs {
		f.check(name)
	}
}

// check reads a whole channel and compares it with what it must hold.
func (f *fixture) check(name string) {
	f.Helper()
	w := f.logs[name]
	info := f.info(name)
	got := f.walk(name)
	want := w.recs[w.start:]
	if err := same(got, want); err != nil {
		f.Fatalf("%s: %v\n got %q\nwant %q", name, err, datas(got), datas(want))
	}
	at := info.Start
	for i, r := range got {
		if r.after.Compare(at) <= 0 || r.after.String() <= at.String() {
			f.Fatalf("%s: the offset %s of record %d does not sort after %s", name, r.after, i, at)
		}
		at = r.after
	}
	if at != info.Tail {
		f.Fatalf("%s: the records end at %s, the tail is %s", name, at, info.Tail)
	}
	if b := f.read(name, twohop.Offset{}, huge); b.From != info.Start {
		f.Fatalf("%s: the zero offset reads from %s, the start is %s", name, b.From, info.Start)
	}
	if joined := strings.Join(datas(f.pages(name, twohop.Offset{}, huge)), ""); joined != strings.Join(datas(want), "") {
		f.Fatalf("%s: read in large pages it holds %q, want %q", name, joined, datas(want))
	}
	if info.Closed != w.closed || info.Name != name || !twohop.SameContentType(info.ContentType, w.kind) {
		f.Fatalf("%s: Info = %+v, want closed %v, content type %s", name, info, w.closed, w.kind)
	}
	if !slices.Contains(f.eng.Capabilities().Levels, info.Level) {
		f.Fatalf("%s: level %s is not among the capabilities", name, info.Level)
	}
	f.feed.check(f, name, info, got)
	for i := range got { // offsets never change: the next check compares them
		w.recs[w.start+i].after = got[i].after
	}
}

func same(got, want []record) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].data != want[i].data {
			return fmt.Errorf("record %d is %q, want %q", i, got[i].data, want[i].data)
		}
		if a, b := got[i].after, want[i].after; a != b && !a.IsZero() && !b.IsZero() {
			return fmt.Errorf("record %d ends at %s, want %s", i, a, b)
		}
	}
	return nil
}

func datas(recs []record) []string {
	s := make([]string, len(recs))
	for i, r := range recs {
		s[i] = r.data
	}
	return s
}

// holds checks that a channel holds these records.
func (f *fixture) holds(name string, recs ...string) {
	f.Helper()
	want := make([]string, len(recs))
	for i, r := range recs {
		want[i] = encode(f.kind, r)
	}
	if got := datas(f.walk(name)); !slices.Equal(got, want) {
		f.Fatalf("%s holds %q, want %q", name, got, want)
	}
}

// remove deletes a channel; forks may still need it.
func (f *fixture) remove(name string) {
	f.Helper()
	if err := f.eng.Delete(f.Context(), name); err != nil {
		f.Fatalf("Delete(%q): %v", name, err)
	}
	delete(f.logs, name)
	f.feed.awaitDeleted(f, name)
}

// absent checks that every way to a channel says that it is not there.
func (f *fixture) absent(name string, code twohop.Code) {
	f.Helper()
	ctx := f.Context()
	_, err := f.eng.Info(ctx, name)
	f.wantCode(err, code)
	_, err = f.eng.Read(ctx, name, twohop.Offset{}, huge)
	f.wantCode(err, code)
	_, err = f.eng.Last(ctx, name, 1)
	f.wantCode(err, code)
	_, err = f.send(f.appendOf(name, "x"))
	f.wantCode(err, code)
	f.wantCode(f.eng.Delete(ctx, name), code)
	if names, err := f.eng.List(ctx, "**", "", 1000); err != nil || slices.Contains(names, name) {
		f.Fatalf("List = %q, %v; want it without %q", names, err, name)
	}
}
