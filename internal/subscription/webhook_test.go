package subscription

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
)

const zero = "0000000000000000_0000000000000000"

func callback(h hook, done bool, offsets ...string) obj {
	acks := []obj{}
	for i := 0; i < len(offsets); i += 2 {
		acks = append(acks, obj{"stream": offsets[i], "offset": offsets[i+1]})
	}
	return obj{"wake_id": h.body.WakeID, "generation": h.body.Generation, "acks": acks, "done": done}
}

func TestWebhookCreateConfirmDelete(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, _ := f.node(t, &hooks{})
		cfg := webhookConfig(obj{"wake_stream": "ignored", "streams": []string{"b", "/a/", "b"}, "description": "d", "unknown": 1})
		made := want(t, m, 201, "PUT", "subscriptions/s1", "", cfg)
		hook := made["webhook"].(map[string]any)
		signing := hook["signing"].(map[string]any)
		if signing["jwks_url"] != "http://events.example/v1/stream/__ds/jwks.json" || signing["alg"] != "ed25519" {
			t.Errorf("signing %v", signing)
		}
		if made["wake_stream"] != nil || made["status"] != "active" || made["created_at"] != "2000-01-01T00:00:00.000Z" {
			t.Errorf("made %v", made)
		}
		cfg["streams"] = []string{"a", "b"} // normalized it is the same
		want(t, m, 200, "PUT", "subscriptions/s1", "", cfg)
		if got := want(t, m, 200, "GET", "subscriptions/s1", "", nil); fmt.Sprint(got) != fmt.Sprint(made) {
			t.Errorf("GET %v, PUT %v", got, made)
		}
		changes := obj{"lease_ttl_ms": 2000, "pattern": "x", "description": "e", "streams": []string{"a"}, "webhook": obj{"url": "http://localhost/x"}}
		for field, v := range changes {
			cfg := webhookConfig(obj{"streams": []string{"a", "b"}, "description": "d"})
			cfg[field] = v
			if out := want(t, m, 409, "PUT", "subscriptions/s1", "", cfg); code(out) != "SUBSCRIPTION_ALREADY_EXISTS" || out["code"] != "subscription_exists" {
				t.Errorf("%s: %v", field, out)
			}
		}
		want(t, m, 204, "DELETE", "subscriptions/s1", "", nil)
		want(t, m, 204, "DELETE", "subscriptions/s1", "", nil)
		if out := want(t, m, 404, "GET", "subscriptions/s1", "", nil); code(out) != "SUBSCRIPTION_NOT_FOUND" {
			t.Errorf("%v", out)
		}
		want(t, m, 201, "PUT", "subscriptions/s1", "", cfg)
	})
}

func TestWebhookDoneAcksTheSnapshot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		m, _ := f.node(t, h)
		f.put(t, "events/old", `1`, `2`)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		synctest.Wait()
		if n := len(h.all()); n != 0 {
			t.Fatalf("%d wakes for what was there before", n)
		}
		// While the worker is busy a record comes that its wake does not tell of.
		h.answer = func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				f.post(t, "events/new", `2`)
			}
			return reply(200, `{"done":true}`), nil
		}
		f.put(t, "events/new", `1`)
		synctest.Wait()
		got := h.all()
		if len(got) != 2 {
			t.Fatalf("%d wakes, want 2", len(got))
		}
		first, second := got[0].body, got[1].body
		if first.Generation != 1 || second.Generation != 2 || first.WakeID == second.WakeID {
			t.Errorf("wakes %+v, %+v", first, second)
		}
		if first.CallbackURL != "http://events.example/v1/stream/__ds/subscriptions/s/callback" {
			t.Errorf("callback_url %s", first.CallbackURL)
		}
		find := func(n notification, path string) streamInfo {
			for _, s := range n.Streams {
				if s.Path == path {
					return s
				}
			}
			t.Fatalf("%s is not told of: %+v", path, n)
			return streamInfo{}
		}
		if s := find(first, "events/new"); s.Acked.String() != zero || s.Tail.Pos != 1 || !*s.HasPending || s.LinkType != "glob" {
			t.Errorf("first told %+v", s)
		}
		if s := find(second, "events/new"); s.Acked.Pos != 1 || s.Tail.Pos != 2 || !*s.HasPending {
			t.Errorf("second told %+v", s)
		}
		if s := find(first, "events/old"); s.Acked.Pos != 2 || *s.HasPending {
			t.Errorf("old told %+v", s)
		}
		if at := acked(t, m, "s", "events/new"); !strings.HasSuffix(at, "2") {
			t.Errorf("acked %s", at)
		}
	})
}

func TestWebhookSignature(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		m, _ := f.node(t, h)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		f.put(t, "events/a", `1`)
		synctest.Wait()
		got := h.all()[0]
		rec := send(t, m, "GET", "jwks.json", "", nil)
		if rec.Header().Get("Content-Type") != "application/jwk-set+json" || rec.Header().Get("Cache-Control") != "public, max-age=300" {
			t.Errorf("headers %v", rec.Header())
		}
		var set struct{ Keys []map[string]string }
		if err := json.Unmarshal(rec.Body.Bytes(), &set); err != nil || len(set.Keys) != 1 {
			t.Fatalf("%s: %v", rec.Body, err)
		}
		key := set.Keys[0]
		if key["kty"] != "OKP" || key["crv"] != "Ed25519" || key["use"] != "sig" || key["alg"] != "EdDSA" {
			t.Errorf("key %v", key)
		}
		parts := strings.Split(got.header.Get("Webhook-Signature"), ",")
		if len(parts) != 3 || parts[0] != fmt.Sprintf("t=%d", got.at.Unix()) || parts[1] != "kid="+key["kid"] {
			t.Fatalf("signature %v", parts)
		}
		x, err1 := b64.DecodeString(key["x"])
		sig, err2 := b64.DecodeString(strings.TrimPrefix(parts[2], "ed25519="))
		signed := append([]byte(strings.TrimPrefix(parts[0], "t=")+"."), got.raw...)
		if err1 != nil || err2 != nil || !ed25519.Verify(x, signed, sig) {
			t.Errorf("the signature does not hold")
		}
	})
}

func TestWebhookCallback(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		m, _ := f.node(t, h)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		want(t, m, 201, "PUT", "subscriptions/other", "", webhookConfig(obj{"pattern": "x"}))
		f.put(t, "events/a", `1`, `2`)
		synctest.Wait()
		w := h.all()[0]
		tail := w.body.Streams[0].Tail.String()
		cb := "subscriptions/s/callback"
		refuse := func(status int, ds, path, token string, body any) {
			t.Helper()
			if out := want(t, m, status, "POST", path, token, body); code(out) != ds || out["hint"] == "" {
				t.Errorf("%v, want %s", out, ds)
			}
		}
		refuse(401, "TOKEN_INVALID", cb, "", callback(w, true))
		refuse(401, "TOKEN_INVALID", cb, w.body.Token+"x", callback(w, true))
		refuse(401, "TOKEN_INVALID", "subscriptions/other/callback", w.body.Token, callback(w, true))
		refuse(404, "SUBSCRIPTION_NOT_FOUND", "subscriptions/none/callback", w.body.Token, callback(w, true))
		refuse(400, "INVALID_REQUEST", "subscriptions/s/ack", w.body.Token, callback(w, true))
		refuse(400, "INVALID_REQUEST", cb, w.body.Token, obj{"done": true})
		refuse(409, "FENCED", cb, w.body.Token, obj{"wake_id": w.body.WakeID, "generation": 2})
		refuse(409, "FENCED", cb, w.body.Token, obj{"wake_id": "w_x", "generation": 1})
		refuse(409, "INVALID_OFFSET", cb, w.body.Token, callback(w, true, "events/none", tail))
		refuse(409, "INVALID_OFFSET", cb, w.body.Token, callback(w, true, "events/a", "-1"))
		refuse(409, "INVALID_OFFSET", cb, w.body.Token, callback(w, true, "events/a", "9000000000000000_0000000000000001"))
		if at := acked(t, m, "s", "events/a"); at != zero {
			t.Fatalf("a refused callback moved the cursor to %s", at)
		}

		// Heartbeats keep the lease of a second for three.
		for range 5 {
			time.Sleep(600 * time.Millisecond)
			want(t, m, 200, "POST", cb, w.body.Token, callback(w, false))
		}
		out := want(t, m, 200, "POST", cb, w.body.Token, callback(w, true, "events/a", tail))
		if fmt.Sprint(out) != "map[next_wake:false ok:true]" {
			t.Errorf("answer %v", out)
		}
		if at := acked(t, m, "s", "events/a"); at != tail {
			t.Errorf("acked %s, want %s", at, tail)
		}
		refuse(409, "FENCED", cb, w.body.Token, callback(w, true, "events/a", tail))
		if n := len(h.all()); n != 1 {
			t.Errorf("%d wakes", n)
		}
		f.post(t, "events/a", `3`)
		synctest.Wait()
		w2 := h.all()[1]
		refuse(409, "INVALID_OFFSET", cb, w2.body.Token, callback(w2, true, "events/a", strings.Replace(tail, "2", "1", 1)))
		refuse(409, "FENCED", cb, w.body.Token, callback(w2, true)) // the token of generation 1
		want(t, m, 204, "DELETE", "subscriptions/s", "", nil)
		refuse(404, "SUBSCRIPTION_NOT_FOUND", cb, w2.body.Token, callback(w2, true))
	})
}

func TestWebhookLeaseExpiryWakesAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		m, _ := f.node(t, h)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		f.put(t, "events/a", `1`)
		synctest.Wait()
		w := h.all()[0]
		time.Sleep(time.Second)
		synctest.Wait()
		got := h.all()
		if len(got) != 2 || got[1].body.Generation != 2 || got[1].at.Sub(got[0].at) != time.Second {
			t.Fatalf("wakes %+v", got)
		}
		if out := want(t, m, 409, "POST", "subscriptions/s/callback", w.body.Token, callback(w, true)); code(out) != "FENCED" {
			t.Errorf("%v", out)
		}
		h.answers(200, `{"done":true}`)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(h.all()); n != 3 {
			t.Fatalf("%d wakes", n)
		}
		time.Sleep(time.Hour)
		if n := len(h.all()); n != 3 {
			t.Errorf("%d wakes, though nothing is pending", n)
		}
	})
}

func TestWebhookRetriesBackOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		m, _ := f.node(t, h)
		h.answers(500, ``)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(obj{"lease_ttl_ms": 600_000}))
		f.put(t, "events/a", `1`)
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		got := h.all()
		if len(got) < 8 {
			t.Fatalf("%d attempts", len(got))
		}
		for i := 1; i < len(got); i++ {
			base := min(time.Second<<(i-1), time.Minute)
			gap := got[i].at.Sub(got[i-1].at)
			if gap < base*8/10-time.Millisecond || gap > base*12/10+time.Millisecond {
				t.Errorf("gap %d is %v, want %v with 20 %% jitter", i, gap, base)
			}
			if got[i].body.WakeID != got[0].body.WakeID || got[i].body.Generation != 1 {
				t.Errorf("attempt %d is of another wake", i)
			}
		}
		v := want(t, m, 200, "GET", "subscriptions/s", "", nil)
		if v["status"] != "failed" || v["next_attempt_at"] == nil {
			t.Errorf("%v", v)
		}
		h.answers(200, `{"done":true}`)
		time.Sleep(73 * time.Second)
		synctest.Wait()
		v = want(t, m, 200, "GET", "subscriptions/s", "", nil)
		if v["status"] != "active" || v["next_attempt_at"] != nil {
			t.Errorf("%v", v)
		}
	})
}

// A worker that takes the wake when attempts have failed has its whole lease.
func TestWebhookAcceptsARetry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		m, _ := f.node(t, h)
		h.answer = func(n int, _ *http.Request) (*http.Response, error) {
			if n < 4 {
				return reply(503, ``), nil
			}
			return reply(200, `{}`), nil
		}
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(obj{"lease_ttl_ms": 10_000}))
		f.put(t, "events/a", `1`)
		time.Sleep(9 * time.Second) // attempts at about 0, 1, 3, 7
		got := h.all()
		if len(got) != 4 {
			t.Fatalf("%d attempts", len(got))
		}
		time.Sleep(time.Until(got[3].at.Add(9 * time.Second)))
		synctest.Wait()
		w := got[3]
		want(t, m, 200, "POST", "subscriptions/s/callback", w.body.Token, callback(w, true, "events/a", w.body.Streams[0].Tail.String()))
		time.Sleep(time.Minute)
		if n := len(h.all()); n != 4 {
			t.Errorf("%d hooks, want 4", n)
		}
	})
}

// A webhook that never answers must not be called every lease: an attempt ends
// with the lease, and the next wake waits for the schedule of retries.
func TestWebhookThatHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		h := &hooks{answer: func(_ int, r *http.Request) (*http.Response, error) {
			began := time.Now()
			<-r.Context().Done()
			if took := time.Since(began); took > time.Second {
				t.Errorf("a request was kept for %v", took)
			}
			return nil, r.Context().Err()
		}}
		m, _ := f.node(t, h)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		f.put(t, "events/a", `1`)
		for i := range 30 {
			time.Sleep(time.Second)
			f.post(t, "events/a", fmt.Sprint(i)) // new records change nothing of it
		}
		synctest.Wait()
		got := h.all()
		if len(got) < 4 || len(got) > 5 {
			t.Fatalf("%d attempts in 30 s", len(got))
		}
		for i := 1; i < len(got); i++ {
			base := time.Second << (i - 1)
			gap := got[i].at.Sub(got[i-1].at) - time.Second // the lease
			if gap < base*8/10-time.Millisecond || gap > base*12/10+time.Millisecond {
				t.Errorf("gap %d is %v, want %v", i, gap, base)
			}
			if got[i].body.Generation != uint64(i+1) {
				t.Errorf("attempt %d has generation %d", i, got[i].body.Generation)
			}
		}
	})
}

func TestWebhookRedirectIsAFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		h := &hooks{answer: func(int, *http.Request) (*http.Response, error) {
			r := reply(302, ``)
			r.Header.Set("Location", "http://169.254.169.254/")
			return r, nil
		}}
		m, _ := f.node(t, h)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		f.put(t, "events/a", `1`)
		synctest.Wait()
		if n := len(h.all()); n != 1 {
			t.Errorf("%d requests", n)
		}
		if v := want(t, m, 200, "GET", "subscriptions/s", "", nil); v["status"] != "failed" {
			t.Errorf("%v", v)
		}
	})
}

// A worker that calls back while its attempt is still open has the wake.
func TestWebhookCallbackBeforeTheAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		m, _ := f.node(t, h)
		h.answer = func(_ int, r *http.Request) (*http.Response, error) {
			w := h.all()[0]
			want(t, m, 200, "POST", "subscriptions/s/callback", w.body.Token, callback(w, false))
			return nil, errors.New("the connection broke")
		}
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		f.put(t, "events/a", `1`)
		time.Sleep(900 * time.Millisecond)
		if v := want(t, m, 200, "GET", "subscriptions/s", "", nil); v["status"] != "active" || len(h.all()) != 1 {
			t.Errorf("%v", v)
		}
	})
}

// A worker that calls back when the next attempt is due has the wake, or has
// ended it: the attempt is not made any more.
func TestWebhookCallbackAtARetry(t *testing.T) {
	for _, done := range []bool{true, false} {
		t.Run(fmt.Sprintf("done %v", done), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f, h := newStore(), &hooks{}
				m, _ := f.node(t, h)
				h.answers(503, ``)
				want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(obj{"lease_ttl_ms": 60_000}))
				f.put(t, "events/a", `1`)
				synctest.Wait()
				w := h.all()[0]
				h.answers(200, `{"done":true}`)
				slow := true
				f.mu.Lock()
				f.asked = func(name string) { // it becomes due while the callback's turn asks the store
					if name == stateChannels+"s" && slow {
						slow = false
						time.Sleep(2 * time.Second)
					}
				}
				f.mu.Unlock()
				tail := w.body.Streams[0].Tail.String()
				want(t, m, 200, "POST", "subscriptions/s/callback", w.body.Token, callback(w, done, "events/a", tail))
				synctest.Wait()
				if st := f.kept(t, "s"); len(h.all()) != 1 || (st.Wake == nil) != done || st.Retries != 0 || !st.NextAttempt.IsZero() {
					t.Fatalf("%d hooks, stored: %+v", len(h.all()), st)
				}
				f.post(t, "events/a", `2`)
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := h.all(); len(got) != 2 || got[1].body.Generation != 2 {
					t.Errorf("after the next record: %d hooks", len(got))
				}
			})
		})
	}
}

func TestWebhookSurvivesARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		h.answers(503, ``)
		m, stop := f.node(t, h)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(obj{"lease_ttl_ms": 600_000}))
		kid := want(t, m, 200, "GET", "jwks.json", "", nil)
		f.put(t, "events/a", `1`)
		time.Sleep(100 * time.Second) // attempts at about 0, 1, 3, 7, 15, 31, 63
		synctest.Wait()
		v := want(t, m, 200, "GET", "subscriptions/s", "", nil)
		n := len(h.all())
		stop()

		m, _ = f.node(t, h)
		synctest.Wait()
		again := want(t, m, 200, "GET", "subscriptions/s", "", nil)
		if fmt.Sprint(again) != fmt.Sprint(v) {
			t.Errorf("after the restart %v, before %v", again, v)
		}
		if fmt.Sprint(want(t, m, 200, "GET", "jwks.json", "", nil)) != fmt.Sprint(kid) {
			t.Error("the keys changed")
		}
		next, err := time.Parse(timeForm, v["next_attempt_at"].(string))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(next) - time.Millisecond)
		synctest.Wait()
		if got := len(h.all()); got != n {
			t.Fatalf("%d attempts before the time", got-n)
		}
		h.answers(200, `{"done":true}`)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := h.all(); len(got) != n+1 || got[n].body.WakeID != got[0].body.WakeID {
			t.Errorf("%d attempts at the time", len(got)-n)
		}
		if at := acked(t, m, "s", "events/a"); at == zero {
			t.Error("done was not taken")
		}
	})
}

// What was appended while no node ran wakes when one starts.
func TestAppendsWhileDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		h.answers(200, `{"done":true}`)
		m, stop := f.node(t, h)
		f.put(t, "events/a", `1`)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		stop()
		f.post(t, "events/a", `2`)
		f.put(t, "events/b", `1`)
		m, _ = f.node(t, h)
		synctest.Wait()
		got := h.all()
		if len(got) != 1 || len(got[0].body.Streams) != 2 || got[0].body.Streams[0].Acked.Pos != 1 || !got[0].body.Streams[1].Acked.IsZero() {
			t.Fatalf("%+v", got)
		}
		if acked(t, m, "s", "events/a") == zero || acked(t, m, "s", "events/b") == zero {
			t.Error("not acknowledged")
		}
	})
}

// An attempt whose node died is made again, by whoever is there.
func TestLostAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		hang := &hooks{answer: func(_ int, r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}}
		m, stop := f.node(t, hang)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(obj{"lease_ttl_ms": 600_000}))
		f.put(t, "events/a", `1`)
		synctest.Wait()
		stop()
		h := &hooks{}
		h.answers(200, `{"done":true}`)
		f.node(t, h)
		time.Sleep(29 * time.Second)
		if n := len(h.all()); n != 0 {
			t.Fatalf("%d attempts while the first may be under way", n)
		}
		time.Sleep(4 * time.Second)
		if got := h.all(); len(got) != 1 || got[0].body.WakeID != hang.all()[0].body.WakeID {
			t.Errorf("%d attempts", len(got))
		}
	})
}

func TestRecreatedChannelIsPendingFromItsStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		h.answers(200, `{"done":true}`)
		m, _ := f.node(t, h)
		f.put(t, "manual/a", `1`, `2`)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(obj{"streams": []string{"manual/a"}}))
		f.put(t, "events/g", `1`)
		synctest.Wait()
		for _, name := range []string{"manual/a", "events/g"} {
			n := len(h.all())
			if err := f.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if got := len(h.all()); got != n {
				t.Fatalf("%s: deleting woke %d times", name, got-n)
			}
			f.put(t, name, `1`)
			synctest.Wait()
			got := h.all()
			if len(got) != n+1 {
				t.Fatalf("%s: %d wakes", name, len(got)-n)
			}
			for _, s := range got[n].body.Streams {
				if s.Path == name && (!s.Acked.IsZero() || !*s.HasPending) {
					t.Errorf("told %+v", s)
				}
			}
		}
	})
}

// A channel that was deleted while its records were pending must not wake for
// ever.
func TestDeletedWhilePending(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		m, _ := f.node(t, h)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(obj{"streams": []string{"m"}}))
		f.put(t, "events/a", `1`)
		f.put(t, "m", `1`)
		synctest.Wait()
		for _, name := range []string{"events/a", "m"} {
			if err := f.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		n := len(h.all())
		time.Sleep(time.Hour)
		if got := len(h.all()); got != n {
			t.Errorf("%d wakes for channels that are gone", got-n)
		}
		w := h.all()[n-1]
		want(t, m, 409, "POST", "subscriptions/s/callback", w.body.Token, callback(w, true))
	})
}

func TestServerChannelsWakeNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		m, _ := f.node(t, h)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(obj{"pattern": "**"}))
		f.put(t, "$presence/x", `1`)
		f.put(t, "__ds/x", `1`)
		m.Recheck()
		time.Sleep(time.Minute)
		if n := len(h.all()); n != 0 {
			t.Errorf("%d wakes", n)
		}
	})
}

func TestRecheckFindsWhatTheFeedLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		h.answers(200, `{"done":true}`)
		m, _ := f.node(t, h)
		f.put(t, "events/a", `1`)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		f.mute = true
		f.post(t, "events/a", `2`)
		f.put(t, "events/b", `1`)
		synctest.Wait()
		if n := len(h.all()); n != 0 {
			t.Fatalf("%d wakes", n)
		}
		m.Recheck()
		synctest.Wait()
		if got := h.all(); len(got) != 1 || len(got[0].body.Streams) != 2 {
			t.Errorf("%+v", got)
		}
	})
}

// An append whose outcome is unknown, and which took effect, is not done twice
// nor taken for another node's.
func TestUnknownOutcome(t *testing.T) {
	for _, carried := range []bool{true, false} {
		t.Run(fmt.Sprint(carried), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f, h := newStore(), &hooks{}
				m, _ := f.node(t, h)
				want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
				f.put(t, "events/a", `1`)
				synctest.Wait()
				w := h.all()[0]
				failed := false
				f.fault(func(*twohop.Append) (bool, error) {
					if failed {
						return false, nil
					}
					failed = true
					return carried, &twohop.Error{Code: twohop.CodeUnknownOutcome}
				})
				tail := w.body.Streams[0].Tail.String()
				out := want(t, m, 200, "POST", "subscriptions/s/callback", w.body.Token, callback(w, true, "events/a", tail))
				if out["next_wake"] != false || acked(t, m, "s", "events/a") != tail || !failed {
					t.Errorf("%v", out)
				}
				time.Sleep(time.Minute)
				if n := len(h.all()); n != 1 {
					t.Errorf("%d wakes", n)
				}
			})
		})
	}
}

// Nothing is acknowledged that was not written; once the store is back the
// subscription goes on by itself.
func TestStoreFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		m, _ := f.node(t, h)
		want(t, m, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		full := func(*twohop.Append) (bool, error) { return false, &twohop.Error{Code: twohop.CodeStorageFull} }
		f.put(t, "events/a", `1`)
		synctest.Wait()
		w := h.all()[0]
		f.fault(full)
		tail := w.body.Streams[0].Tail.String()
		out := want(t, m, 507, "POST", "subscriptions/s/callback", w.body.Token, callback(w, true, "events/a", tail))
		if out["code"] != "storage_full" || acked(t, m, "s", "events/a") != zero {
			t.Errorf("%v", out)
		}
		time.Sleep(10 * time.Second)
		if n := len(h.all()); n != 1 {
			t.Errorf("%d wakes that were not written", n)
		}
		f.fault(nil)
		h.answers(200, `{"done":true}`)
		time.Sleep(time.Minute)
		if acked(t, m, "s", "events/a") != tail {
			t.Error("it did not go on")
		}
	})
}
