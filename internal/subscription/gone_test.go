package subscription

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
)

// A subscription to channels that come and go keeps no links to those that went.
func TestLinksOfDeletedChannelsGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		h.answers(200, `{"done":true}`)
		m, _ := f.nodeWith(t, h, Options{MaxStreams: 2})
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		for i := range 3 {
			name := fmt.Sprintf("events/%d", i)
			f.put(t, name, `1`)
			synctest.Wait()
			f.remove(t, name)
			synctest.Wait()
			if l := links(t, m, "s"); len(l) != 0 {
				t.Fatalf("links %v", l)
			}
		}
		if n := len(h.all()); n != 3 {
			t.Errorf("%d hooks for 3 channels", n)
		}
		// What is stored still has the last channel: no deletion is worth a write.
		if st := f.kept(t, "s"); len(st.Links) != 1 || st.Generation != 3 {
			t.Errorf("stored: %+v", st)
		}
		n := 0
		f.fault(func(*twohop.Append) (bool, error) { n++; return false, nil })
		f.put(t, "events/9")
		f.remove(t, "events/9")
		synctest.Wait()
		if n != 0 {
			t.Errorf("%d writes for channels that held nothing", n)
		}
	})
}

// Explicit links stay, and the channel is followed from its beginning when it
// is back, also if it is back before the subscription looks.
func TestExplicitLinkOutlivesItsChannel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		h.answers(200, `{"done":true}`)
		m, _ := f.node(t, h)
		f.put(t, "m", `1`, `2`)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(obj{"streams": []string{"m"}}))
		before := acked(t, m, "s", "m")
		f.remove(t, "m")
		synctest.Wait()
		if got := acked(t, m, "s", "m"); got != before {
			t.Errorf("acked %s, want %s", got, before)
		}
		f.put(t, "m", `1`)
		synctest.Wait()
		f.put(t, "events/a", `1`)
		synctest.Wait()
		for i, name := range []string{"m", "events/a"} {
			m.mu.Lock() // so that the subscription sees both at a time
			f.remove(t, name)
			f.put(t, name, `1`)
			m.mu.Unlock()
			synctest.Wait()
			got := h.all()
			if len(got) != 3+i {
				t.Fatalf("%s: %d hooks", name, len(got))
			}
			for _, s := range got[2+i].body.Streams {
				if s.Path == name && (!s.Acked.IsZero() || s.Tail.Pos != 1) {
					t.Errorf("told %+v", s)
				}
			}
		}
	})
}

// A channel that is made anew as a fork of an older log can be acknowledged.
func TestRecreatedInAnOlderEpoch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, _ := f.node(t, nil)
		f.put(t, "wake/pool")
		f.put(t, "m", `1`, `2`, `3`)
		want(t, m, 201, "PUT", "subscriptions/p", "", pullConfig(obj{"streams": []string{"m"}}))
		m.mu.Lock() // so that the subscription sees both at a time
		f.remove(t, "m")
		f.epoch = 7
		f.put(t, "m", `1`)
		m.mu.Unlock()
		synctest.Wait()
		l := claim(t, m, "p", "w")
		told := l.streams["m"]
		if told["acked_offset"] != zero || told["has_pending"] != true {
			t.Errorf("told %v", told)
		}
		out := want(t, m, 200, "POST", "subscriptions/p/ack", l.token, l.body(true, "m", told["tail_offset"]))
		if out["next_wake"] != false {
			t.Errorf("%v", out)
		}
	})
}

// A deletion that could not be looked into is looked into later.
func TestDeletedWhileTheStoreFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		h.answers(200, `{"done":true}`)
		m, _ := f.node(t, h)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		f.put(t, "events/a", `1`)
		f.put(t, "events/b", `1`)
		synctest.Wait()
		f.fails(&twohop.Error{Code: twohop.CodeUnavailable})
		f.remove(t, "events/a")
		tail := f.post(t, "events/b", `2`)
		time.Sleep(time.Second / 2)
		f.fails(nil)
		time.Sleep(time.Minute)
		if l := links(t, m, "s"); len(l) != 1 || l["events/b"] != tail {
			t.Errorf("links %v", l)
		}
	})
}

// What is told of a channel adds up until the subscription takes it.
func TestMarksAddUp(t *testing.T) {
	m := New(newStore(), Options{})
	s := newSub(m, "s")
	m.watched.Store(1)
	f := func(n, want mark) {
		t.Helper()
		if n.deleted {
			m.Deleted("a")
		} else {
			m.Changed("a", n.tail)
		}
		s.tellMark("a", n)
		if at, in := m.marks.channels["a"], s.inbox.marks["a"]; at != want || in != want {
			t.Errorf("%+v and %+v, want %+v", at, in, want)
		}
	}
	one, two := twohop.Offset{Epoch: 1, Pos: 1}, twohop.Offset{Epoch: 2, Pos: 1}
	f(mark{tail: one}, mark{tail: one})
	f(mark{deleted: true}, mark{deleted: true})
	f(mark{tail: two}, mark{tail: two, deleted: true})
	f(mark{deleted: true}, mark{deleted: true})
}

// The link to a channel that is gone when the subscription asks for it ends,
// also if nothing comes to be written.
func TestGoneWhenAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		m, _ := f.nodeWith(t, h, Options{MaxStreams: 2})
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		for i := range 3 {
			m.Changed(fmt.Sprintf("events/gone-%d", i), twohop.Offset{Epoch: 1, Pos: 1})
			synctest.Wait()
		}
		if l := links(t, m, "s"); len(l) != 0 {
			t.Errorf("links %v", l)
		}
	})
}

// A subscription that is full looks for links that are over before it leaves a
// channel out, but not for each one that it leaves out.
func TestFullSubscription(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		h.answers(200, `{"done":true}`)
		m, _ := f.nodeWith(t, h, Options{MaxStreams: 2})
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		for _, name := range []string{"events/1", "events/2"} {
			f.put(t, name, `1`)
			synctest.Wait()
			f.mute = true // this node is not told of the deletion
			f.remove(t, name)
			f.mute = false
		}
		f.put(t, "events/3", `1`)
		synctest.Wait()
		if n, l := len(h.all()), links(t, m, "s"); n != 3 || len(l) != 1 {
			t.Fatalf("%d hooks, links %v", n, l)
		}

		f.put(t, "events/4", `1`)
		synctest.Wait()
		asked := 0
		f.asked = func(name string) {
			if name == "events/3" || name == "events/4" {
				asked++
			}
		}
		for i := range 50 {
			f.put(t, fmt.Sprintf("events/over-%d", i), `1`)
			synctest.Wait()
		}
		if n := len(h.all()); n != 4 || asked != 2 {
			t.Fatalf("%d hooks, %d times asked", n, asked)
		}
		f.remove(t, "events/3")
		time.Sleep(crowdPause)
		synctest.Wait()
		got := h.all()
		if len(got) != 5 {
			t.Fatalf("%d hooks after there was room", len(got))
		}
		if l := links(t, m, "s"); len(l) != 2 || l["events/4"] == "" {
			t.Errorf("links %v", l)
		}
	})
}

// What a pattern matches beyond the channels that may be linked is not listed.
func TestListingEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		h.answers(200, `{"done":true}`)
		m, _ := f.nodeWith(t, h, Options{MaxStreams: 2})
		f.put(t, "events/0")
		f.put(t, "events/1")
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		for i := range 3 * listPage {
			f.put(t, fmt.Sprintf("events/over-%d", i))
		}
		synctest.Wait()
		before := f.pages
		want(t, m, 400, "PUT", "subscriptions/wide", "", webhookConfig(nil))
		if n := f.pages - before; n != 1 {
			t.Errorf("%d pages were listed to refuse a subscription", n)
		}
		before = f.pages
		m.Recheck()
		synctest.Wait()
		if n := f.pages - before; n != 1 {
			t.Errorf("a subscription that is full listed %d pages", n)
		}
		f.post(t, "events/1", `1`)
		synctest.Wait()
		if n := len(h.all()); n != 1 {
			t.Errorf("%d hooks", n)
		}
	})
}

// That a channel was deleted while a worker had it is not the worker's fault.
func TestAckOfDeletedChannel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, stop := f.node(t, nil)
		f.put(t, "wake/pool")
		want(t, m, 201, "PUT", "subscriptions/p", "", pullConfig(nil))
		f.put(t, "events/a", `1`)
		f.put(t, "events/b", `1`)
		synctest.Wait()
		l := claim(t, m, "p", "w")
		f.remove(t, "events/a")
		f.remove(t, "events/b")
		synctest.Wait()
		ack := "subscriptions/p/ack"
		want(t, m, 200, "POST", ack, l.token, l.body(false, "events/a", l.streams["events/a"]["tail_offset"]))
		refused(t, m, 409, "INVALID_OFFSET", ack, l.token, l.body(false, "events/c", zero))
		stop()
		m, _ = f.node(t, nil)
		want(t, m, 200, "POST", ack, l.token, l.body(true, "events/b", l.streams["events/b"]["tail_offset"]))
		if l := links(t, m, "p"); len(l) != 0 {
			t.Errorf("links %v", l)
		}
		f.put(t, "events/c", `1`)
		synctest.Wait()
		l = claim(t, m, "p", "w")
		refused(t, m, 409, "INVALID_OFFSET", ack, l.token, l.body(true, "events/a", zero)) // that was the wake before
	})
}

// A request that was given up shares nothing with what it left behind. This
// finds something only under the race detector.
func TestGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, _ := f.node(t, nil)
		f.put(t, "wake/pool")
		want(t, m, 201, "PUT", "subscriptions/p", "", pullConfig(obj{"lease_ttl_ms": 60_000}))
		f.put(t, "events/a", `1`)
		synctest.Wait()
		s, err := m.find("p")
		if err != nil {
			t.Fatal(err)
		}
		st := f.kept(t, "p")
		k, err := m.keyring(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		token, err := k.mint("p", st.Generation, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		body := func() (*workerRequest, error) {
			return &workerRequest{WakeID: st.Wake.ID, Generation: st.Generation}, nil
		}
		f.asked = func(name string) {
			if strings.HasPrefix(name, stateChannels) {
				time.Sleep(time.Second) // no Go channel: it would order what must not need it
			}
		}
		for _, op := range []struct {
			name string
			run  func(context.Context) (any, error)
		}{
			{"get", func(ctx context.Context) (any, error) { return s.get(ctx) }},
			{"confirm", func(ctx context.Context) (any, error) { return s.confirm(ctx, st.Hash, st.Base) }},
			{"claim", func(ctx context.Context) (any, error) { return s.claim(ctx, "w") }},
			{"worked", func(ctx context.Context) (any, error) { return s.worked(ctx, typePullWake, token, body) }},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
			if v, err := op.run(ctx); err == nil {
				t.Errorf("%s: %v", op.name, v)
			}
			cancel()
			time.Sleep(time.Second)
		}
		if st := f.kept(t, "p"); st.Wake == nil || st.Wake.Holder != "w" {
			t.Errorf("what was given up was not carried out: %+v", st.Wake)
		}
	})
}
