package disklog

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"twohop"
	"twohop/internal/engine"
)

func openAt(t testing.TB, fs vfs.FS, opts Options) *Engine {
	t.Helper()
	opts.FS = fs
	e, err := Open("data", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() }) // closing twice is allowed
	return e
}

func shut(t testing.TB, e *Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// records makes the Data and Ends of some records.
func records(recs ...string) (data []byte, ends []uint32) {
	for _, r := range recs {
		data = append(data, r...)
		ends = append(ends, uint32(len(data))) //nolint:gosec // small
	}
	return data, ends
}

func mustCreate(t testing.TB, e engine.Engine, name string, spec twohop.Spec, recs ...string) twohop.Info {
	t.Helper()
	spec.Data, spec.Ends = records(recs...)
	info, _, err := e.Create(context.Background(), name, &spec)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func tryAppend(e engine.Engine, a twohop.Append, recs ...string) (ack twohop.Ack, err error) {
	a.Data, a.Ends = records(recs...)
	done := make(chan struct{})
	e.Append(context.Background(), &a, func(k twohop.Ack, failed error) {
		ack, err = k, failed
		close(done)
	})
	<-done
	return ack, err
}

func mustAppend(t testing.TB, e engine.Engine, name string, recs ...string) twohop.Ack {
	t.Helper()
	ack, err := tryAppend(e, twohop.Append{Channel: name}, recs...)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// readAll reads a channel from an offset to the tail, page by page.
func readAll(t testing.TB, e engine.Engine, name string, from twohop.Offset, page int) []string {
	t.Helper()
	var all []string
	for {
		b, err := e.Read(context.Background(), name, from, page)
		if err != nil {
			t.Fatal(err)
		}
		if b.Len() == 0 {
			return all
		}
		for i := range b.Len() {
			all = append(all, string(b.Record(i)))
		}
		from = b.Next
	}
}
