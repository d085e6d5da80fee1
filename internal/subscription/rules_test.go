package subscription

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"twohop"
)

func TestGlob(t *testing.T) {
	f := func(pattern, name string, want bool) {
		t.Helper()
		g := parseGlob(pattern)
		if got := g.matches(name); got != want {
			t.Errorf("%q matches %q: %v", pattern, name, got)
		}
		// What a pattern matches must be among what is asked of the store.
		if want && !twohop.Match(g.scope(), name) {
			t.Errorf("%q: the scope %q leaves out %q", pattern, g.scope(), name)
		}
	}
	f("events/*", "events/a", true)
	f("events/*", "events", false)
	f("events/*", "events/a/b", false)
	f("events/*", "xevents/a", false)
	f("*", "a", true)
	f("*", "a/b", false)
	f("**", "a", true)
	f("**", "a/b/c", true)
	f("a/**", "a", true)
	f("a/**", "a/b/c", true)
	f("a/**", "b", false)
	f("**/z", "z", true)
	f("**/z", "a/b/z", true)
	f("**/z", "a/b/zz", false)
	f("a/**/z", "a/z", true)
	f("a/**/z", "a/b/z/z", true)
	f("a/**/m/**/z", "a/m/z", true)
	f("a/**/m/**/z", "a/x/m/y/m/z", true)
	f("a/**/m/**/z", "a/x/y/z", false)
	f("**/**", "a", true)
	f("*/**", "a", true)
	f("a/*/c", "a/b/c", true)
	f("a/*/c", "a/b/d", false)
	f("users/u-*", "users/u-1", true)
	f("users/u-*", "users/v-1", false)
	f("users/*-*-x", "users/a-b-x", true)
	f("users/*-x-*", "users/a-b-x", false)
	f("users/a*a", "users/a", false)
	f("users/a*a", "users/aa", true)
	f("exact/name", "exact/name", true)
	f("exact/name", "exact/names", false)
	f("what?", "what?", true)
	f("what?", "whats", false)
	f("a[1]", "a[1]", true)
	f("a[1]", "a1", false)
	f(`a\b`, `a\b`, true)
	f("", "a", false)
}

// A pattern that a client chose must not cost more than its length times the
// name's.
func TestGlobIsCheap(t *testing.T) {
	pattern, name := "**", "a"
	for len(pattern) < 250 {
		pattern += "/a/**"
		name += "/a/a"
	}
	if parseGlob(pattern + "/b").matches(name + "/a/a/a/a/a/a") {
		t.Error("it matches")
	}
}

func TestIndex(t *testing.T) {
	x := newIndex()
	a, b, c := &sub{id: "a"}, &sub{id: "b"}, &sub{id: "c"}
	find := func(name string) map[string]int {
		got := map[string]int{}
		x.find(name, func(s *sub) { got[s.id]++ })
		return got
	}
	x.set(a, entry{pattern: "e/*", streams: []string{"e/1", "m"}, wakeStream: "w"})
	x.set(b, entry{pattern: "e/*", wakeStream: "w"})
	x.set(c, entry{streams: []string{"m"}})
	for name, want := range map[string]map[string]int{
		"e/1": {"a": 1, "b": 1}, "e/2": {"a": 1, "b": 1}, "m": {"a": 1, "c": 1}, "x": {},
	} {
		if d := cmp.Diff(want, find(name)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	x.set(a, entry{streams: []string{"x"}})
	if d := cmp.Diff(map[string]int{"b": 1}, find("e/1")); d != "" || x.wakes["w"] != 1 {
		t.Error(d, x.wakes)
	}
	for _, s := range []*sub{a, b, c} {
		x.remove(s)
		x.remove(s)
	}
	if len(x.entries)+len(x.exact)+len(x.patterns)+len(x.wakes) != 0 {
		t.Errorf("something is left: %+v", x)
	}
}

func TestBackoff(t *testing.T) {
	f := func(n int, jitter float64, want time.Duration) {
		t.Helper()
		if got := backoff(n, jitter); got != want {
			t.Errorf("backoff(%d, %v) = %v, want %v", n, jitter, got, want)
		}
	}
	f(1, 0, time.Second)
	f(2, 0, 2*time.Second)
	f(6, 0, 32*time.Second)
	f(7, 0, time.Minute)
	f(5000, 0, time.Minute)
	f(1, -1, 800*time.Millisecond)
	f(1, 1, 1200*time.Millisecond)
}

func TestBehind(t *testing.T) {
	f := func(acked, tail twohop.Offset, want bool) {
		t.Helper()
		if got := behind(acked, tail); got != want {
			t.Errorf("behind(%s, %s) = %v", acked, tail, got)
		}
	}
	o := func(epoch, pos uint64) twohop.Offset { return twohop.Offset{Epoch: epoch, Pos: pos} }
	f(o(0, 0), o(0, 0), false)
	f(o(0, 0), o(5, 1), true)
	f(o(5, 1), o(5, 1), false)
	f(o(5, 1), o(5, 2), true)
	f(o(5, 9), o(5, 2), false)
	f(o(5, 9), o(6, 1), true) // re-created
	f(o(6, 9), o(5, 1), true) // re-created as a fork of something older
	f(o(5, 9), o(0, 0), false)
}

func TestLapse(t *testing.T) {
	at := time.UnixMilli(1_000_000)
	state := func(kind string) *state {
		st := &state{Config: config{Type: kind, LeaseMS: 10_000}, Links: map[string]link{}}
		st.issue(at, "a")
		return st
	}
	pull := state(typePullWake)
	if pull.lapse(at.Add(time.Hour), 0) || !pull.due().IsZero() {
		t.Error("a wake that nobody claimed lapsed")
	}
	pull.Wake.LeaseUntil = at.Add(time.Second)
	if pull.lapse(at.Add(999*time.Millisecond), 0) || !pull.lapse(at.Add(time.Second), 0) || pull.Wake != nil || pull.Retries != 0 {
		t.Errorf("%+v", pull)
	}

	hook := state(typeWebhook)
	hook.attempt(at, time.Minute, nil)
	if !hook.Wake.AttemptUntil.Equal(hook.Wake.LeaseUntil) {
		t.Error("an attempt outlives the lease")
	}
	if !hook.lapse(at.Add(10*time.Second), 0) || hook.Wake != nil || hook.Retries != 1 || !hook.due().Equal(at.Add(11*time.Second)) {
		t.Errorf("%+v", hook)
	}

	lost := state(typeWebhook)
	lost.attempt(at, time.Second, nil)
	if !lost.due().Equal(at.Add(time.Second + lostGrace)) {
		t.Errorf("due %v", lost.due())
	}
	if !lost.lapse(lost.due(), 0) || lost.Wake == nil || !lost.NextAttempt.Equal(at.Add(2*time.Second+lostGrace)) {
		t.Errorf("%+v", lost)
	}
}

func TestFence(t *testing.T) {
	at := time.UnixMilli(1_000_000)
	st := &state{Config: config{Type: typePullWake, LeaseMS: 1000}, Generation: 6}
	f := func(name string, r workerRequest, token uint64, now time.Time, want bool) {
		t.Helper()
		if err := st.fence(&r, token, now); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("no wake", workerRequest{Generation: 6}, 6, at, false)
	st.issue(at, "a")
	right := workerRequest{Generation: 7, WakeID: st.Wake.ID}
	f("not claimed", right, 7, at, false)
	st.Wake.LeaseUntil = at.Add(time.Second)
	f("right", right, 7, at.Add(999*time.Millisecond), true)
	f("too late", right, 7, at.Add(time.Second), false)
	f("token of another generation", right, 6, at, false)
	f("another generation", workerRequest{Generation: 6, WakeID: st.Wake.ID}, 7, at, false)
	f("another wake", workerRequest{Generation: 7, WakeID: "w_x"}, 7, at, false)
}

// What one wake tells is bounded, and what is pending comes first.
func TestToldIsBounded(t *testing.T) {
	st := &state{Links: map[string]link{}}
	tails := map[string]twohop.Offset{}
	for i := range 3 * maxTold {
		name := string([]byte{'a' + byte(i%26), 'a' + byte(i/26%26), 'a' + byte(i/676)})
		st.Links[name] = link{}
		if i%6 == 0 {
			tails[name] = twohop.Offset{Epoch: 1, Pos: 1}
		}
	}
	list := st.told(tails)
	pending := 0
	for _, s := range list {
		if *s.HasPending {
			pending++
		}
	}
	if len(list) != maxTold || pending != len(tails) {
		t.Errorf("%d told, %d of %d pending", len(list), pending, len(tails))
	}
}

func testKeys(fill byte) *keys {
	k := keyRecord{Seed: make([]byte, 32), Token: make([]byte, 32)}
	for i := range k.Seed {
		k.Seed[i], k.Token[i] = fill, fill
	}
	return newKeys(k)
}

func TestToken(t *testing.T) {
	k, now := testKeys(1), time.UnixMilli(1_000_000_000)
	token, err := k.mint("s", 7, now)
	if err != nil {
		t.Fatal(err)
	}
	if gen, err := k.check(token, "s", now.Add(tokenLife-time.Second)); gen != 7 || err != nil {
		t.Errorf("%d, %v", gen, err)
	}
	if _, err := k.check(token, "s", now.Add(tokenLife)); codeOf(err) != twohop.CodeTokenExpired {
		t.Errorf("expired: %v", err)
	}
	bad := func(name string, k *keys, token, sub string) {
		t.Helper()
		if _, err := k.check(token, sub, now); codeOf(err) != twohop.CodeTokenInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad("another subscription", k, token, "t")
	bad("another key", testKeys(2), token, "s")
	bad("empty", k, "", "s")
	bad("header only", k, tokenHeader, "s")
	bad("no algorithm", k, b64.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))+token[len(tokenHeader)-1:], "s")
	for i := range token {
		changed := []byte(token)
		changed[i] ^= 1
		bad("changed", k, string(changed), "s")
	}
}

func FuzzToken(f *testing.F) {
	k, now := testKeys(1), time.UnixMilli(1_000_000_000)
	good, err := k.mint("s", 7, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(tokenHeader + "e30." + good[len(good)-43:])
	f.Add(tokenHeader + ".")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := k.check(token, "s", now); err == nil && token != good {
			t.Errorf("%q is taken for a token", token)
		}
	})
}

func FuzzWorkerRequest(f *testing.F) {
	f.Add([]byte(`{"wake_id":"w","generation":1,"acks":[{"stream":"a","offset":"x"}],"done":true}`))
	f.Add([]byte(`{"wake_id":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parseWorker(raw)
		if (r == nil) == (err == nil) {
			t.Errorf("%v, %v", r, err)
		}
		if e := codeOf(err); err != nil && e != twohop.CodeInvalidJSON && e != twohop.CodeInvalidRequest {
			t.Errorf("%v", err)
		}
	})
}
