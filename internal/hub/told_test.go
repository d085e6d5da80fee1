package hub

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"twohop"
	"twohop/internal/engine/memlog"
)

// Changed and Deleted are told all that who follows channels has to know, by
// the time the answer is there.
func TestToldOfChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memlog.Open(memlog.Options{})
		t.Cleanup(func() { _ = e.Close() })
		type news struct {
			Channel string
			Tail    twohop.Offset // zero when it was deleted
		}
		var got []news
		h := newTester(t, e, Options{
			Changed: func(channel string, tail twohop.Offset) { got = append(got, news{channel, tail}) },
			Deleted: func(channel string) { got = append(got, news{Channel: channel}) },
		})
		told := func(want ...news) {
			t.Helper()
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			got = nil
		}
		h.create("a")
		told()
		tail := h.append("a", "1")
		told(news{"a", tail})
		spec := &twohop.Spec{Fork: &twohop.Fork{Source: "a"}}
		info, _, err := h.Create(t.Context(), "b", spec)
		if err != nil || info.Tail != tail {
			t.Fatalf("forking: %+v, %v", info, err)
		}
		told(news{"b", tail})
		if _, _, err := h.Create(t.Context(), "b", spec); err != nil {
			t.Fatal(err)
		}
		told() // it was there
		if err := h.Delete(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		told(news{Channel: "b"})
		if _, _, err := h.Create(t.Context(), "short", &twohop.Spec{TTL: time.Second}); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		told(news{Channel: "short"})
	})
}
