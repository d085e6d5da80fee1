package subscription

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
)

// lease is what a claim gave.
type lease struct {
	token, wake string
	generation  float64
	streams     map[string]map[string]any
}

func claim(t *testing.T, m *Manager, id, worker string) lease {
	t.Helper()
	out := want(t, m, 200, "POST", "subscriptions/"+id+"/claim", "", obj{"worker": worker})
	l := lease{out["token"].(string), out["wake_id"].(string), out["generation"].(float64), map[string]map[string]any{}}
	for _, s := range out["streams"].([]any) {
		s := s.(map[string]any)
		l.streams[s["path"].(string)] = s
	}
	if out["lease_ttl_ms"] != 1000.0 {
		t.Errorf("claim %v", out)
	}
	return l
}

func (l lease) body(done bool, offsets ...any) obj {
	acks := []obj{}
	for i := 0; i < len(offsets); i += 2 {
		acks = append(acks, obj{"stream": offsets[i], "offset": offsets[i+1]})
	}
	return obj{"wake_id": l.wake, "generation": l.generation, "acks": acks, "done": done}
}

func refused(t *testing.T, m *Manager, status int, ds, path, token string, body any) map[string]any {
	t.Helper()
	out := want(t, m, status, "POST", path, token, body)
	if code(out) != ds || out["code"] == "" || out["message"] == "" || out["hint"] == "" {
		t.Errorf("%s: %v, want %s", path, out, ds)
	}
	return out
}

func TestPullWake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, _ := f.node(t, nil)
		f.put(t, "wake/pool")
		want(t, m, 201, "PUT", "subscriptions/p", "", pullConfig(nil))
		refused(t, m, 409, "NO_PENDING_WORK", "subscriptions/p/claim", "", obj{"worker": "w1"})
		f.put(t, "events/a", `1`)
		f.post(t, "events/a", `2`)
		synctest.Wait()
		ev := f.events(t, "wake/pool")
		if len(ev) != 1 || ev[0] != (wakeEvent{"wake", "p", "events/a", 1, time.Now().UnixMilli()}) {
			t.Fatalf("events %+v", ev)
		}
		l := claim(t, m, "p", "w1")
		s := l.streams["events/a"]
		if l.generation != 1 || s["has_pending"] != true || s["acked_offset"] != zero || s["link_type"] != "glob" {
			t.Errorf("claim %+v", l)
		}
		out := refused(t, m, 409, "ALREADY_CLAIMED", "subscriptions/p/claim", "", obj{"worker": "w2"})
		if e := out["error"].(map[string]any); e["current_holder"] != "w1" || e["generation"] != 1.0 {
			t.Errorf("%v", e)
		}
		refused(t, m, 400, "INVALID_REQUEST", "subscriptions/p/callback", l.token, l.body(true))
		refused(t, m, 401, "TOKEN_INVALID", "subscriptions/p/ack", "", l.body(true))
		refused(t, m, 401, "TOKEN_INVALID", "subscriptions/p/release", "nonsense", l.body(true))

		ack := "subscriptions/p/ack"
		for range 4 { // heartbeats
			time.Sleep(900 * time.Millisecond)
			if out := want(t, m, 200, "POST", ack, l.token, l.body(false)); out["next_wake"] != false {
				t.Errorf("%v", out)
			}
		}
		newTail := f.post(t, "events/a", `3`)
		if out := want(t, m, 200, "POST", ack, l.token, l.body(true, "events/a", s["tail_offset"])); out["next_wake"] != true {
			t.Errorf("%v", out)
		}
		refused(t, m, 409, "FENCED", ack, l.token, l.body(true))
		refused(t, m, 409, "FENCED", "subscriptions/p/release", l.token, l.body(true))
		synctest.Wait()
		if ev := f.events(t, "wake/pool"); len(ev) != 2 || ev[1].Generation != 2 {
			t.Errorf("events %+v", ev)
		}
		l2 := claim(t, m, "p", "w2")
		want(t, m, 204, "POST", "subscriptions/p/release", l2.token, l2.body(false))
		synctest.Wait()
		if ev := f.events(t, "wake/pool"); len(ev) != 3 || ev[2].Generation != 3 {
			t.Errorf("after the release: events %+v", ev)
		}
		l3 := claim(t, m, "p", "w1")
		refused(t, m, 409, "FENCED", ack, l2.token, l3.body(true))
		if out := want(t, m, 200, "POST", ack, l3.token, l3.body(true, "events/a", newTail)); out["next_wake"] != false {
			t.Errorf("%v", out)
		}
		if at := acked(t, m, "p", "events/a"); at != newTail {
			t.Errorf("acked %s, want %s", at, newTail)
		}
	})
}

// A claim right after an append finds it, whether or not a wake was made.
func TestClaimSeesTheAppendBeforeIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, _ := f.node(t, nil)
		f.put(t, "wake/pool")
		want(t, m, 201, "PUT", "subscriptions/p", "", pullConfig(nil))
		f.put(t, "events/a", `1`)
		for i := range 50 {
			l := claim(t, m, "p", "w")
			if l.generation != float64(i+1) {
				t.Fatalf("generation %v", l.generation)
			}
			want(t, m, 200, "POST", "subscriptions/p/ack", l.token, l.body(true, "events/a", l.streams["events/a"]["tail_offset"]))
			f.post(t, "events/a", `2`)
		}
		synctest.Wait()
		if n := len(f.events(t, "wake/pool")); n != 51 {
			t.Errorf("%d events for 51 wakes", n)
		}
	})
}

func TestPullLeaseExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, _ := f.node(t, nil)
		f.put(t, "wake/pool")
		want(t, m, 201, "PUT", "subscriptions/p", "", pullConfig(nil))
		f.put(t, "events/a", `1`)
		time.Sleep(time.Hour) // a wake that nobody claims has no lease
		if n := len(f.events(t, "wake/pool")); n != 1 {
			t.Fatalf("%d events", n)
		}
		l := claim(t, m, "p", "w1")
		time.Sleep(time.Second)
		synctest.Wait()
		refused(t, m, 409, "FENCED", "subscriptions/p/ack", l.token, l.body(true, "events/a", l.streams["events/a"]["tail_offset"]))
		if ev := f.events(t, "wake/pool"); len(ev) != 2 || ev[1].Generation != 2 {
			t.Errorf("events %+v", ev)
		}
		if l := claim(t, m, "p", "w2"); l.generation != 2 {
			t.Errorf("%+v", l)
		}
	})
}

func TestPullSurvivesARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, stop := f.node(t, nil)
		f.put(t, "wake/pool")
		want(t, m, 201, "PUT", "subscriptions/p", "", pullConfig(nil))
		f.put(t, "events/a", `1`)
		synctest.Wait() // a node that stops before the event of a claimed wake leaves none
		l := claim(t, m, "p", "w1")
		stop()
		m, stop = f.node(t, nil)
		refused(t, m, 409, "ALREADY_CLAIMED", "subscriptions/p/claim", "", obj{"worker": "w2"})
		time.Sleep(500 * time.Millisecond)
		want(t, m, 200, "POST", "subscriptions/p/ack", l.token, l.body(false)) // the token holds
		stop()
		m, _ = f.node(t, nil)
		time.Sleep(999 * time.Millisecond)
		refused(t, m, 409, "ALREADY_CLAIMED", "subscriptions/p/claim", "", obj{"worker": "w2"})
		time.Sleep(time.Millisecond)
		if l := claim(t, m, "p", "w2"); l.generation != 2 {
			t.Errorf("%+v", l)
		}
		synctest.Wait()
		if n := len(f.events(t, "wake/pool")); n != 2 {
			t.Errorf("%d events", n)
		}
	})
}

// The wake waits for its channel, and is announced once.
func TestWakeStreamComesLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, _ := f.node(t, nil)
		want(t, m, 201, "PUT", "subscriptions/p", "", pullConfig(nil))
		f.put(t, "events/a", `1`)
		time.Sleep(10 * time.Minute)
		f.put(t, "wake/pool")
		time.Sleep(73 * time.Second)
		if ev := f.events(t, "wake/pool"); len(ev) != 1 || ev[0].Generation != 1 {
			t.Errorf("events %+v", ev)
		}
	})
}

// An event of which nobody knows whether it was written is written once.
func TestUnknownAnnouncement(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, _ := f.node(t, nil)
		f.put(t, "wake/pool")
		want(t, m, 201, "PUT", "subscriptions/p", "", pullConfig(nil))
		tries := 0
		f.fault(func(a *twohop.Append) (bool, error) {
			if a.Channel != "wake/pool" {
				return false, nil
			}
			if tries++; tries < 4 {
				return tries == 2, &twohop.Error{Code: twohop.CodeUnknownOutcome}
			}
			return false, nil
		})
		f.put(t, "events/a", `1`)
		time.Sleep(time.Minute)
		if n := len(f.events(t, "wake/pool")); n != 1 || tries != 4 {
			t.Errorf("%d events after %d tries", n, tries)
		}
	})
}

// An append between the look at a channel's tail and the link to it wakes.
func TestAppendsWhileLinking(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, _ := f.node(t, nil)
		f.put(t, "wake/pool")
		f.put(t, "manual/a", `1`)
		f.put(t, "events/a", `1`)
		f.afterInfo(t, "events/a")
		want(t, m, 201, "PUT", "subscriptions/p", "", pullConfig(nil))
		synctest.Wait()
		if ev := f.events(t, "wake/pool"); len(ev) != 1 || ev[0].Stream != "events/a" {
			t.Fatalf("created: events %+v", ev)
		}
		l := claim(t, m, "p", "w")
		want(t, m, 200, "POST", "subscriptions/p/ack", l.token, l.body(true, "events/a", l.streams["events/a"]["tail_offset"]))
		f.afterInfo(t, "manual/a")
		want(t, m, 204, "POST", "subscriptions/p/streams", "", obj{"streams": []string{"manual/a"}})
		synctest.Wait()
		if ev := f.events(t, "wake/pool"); len(ev) != 2 || ev[1].Stream != "manual/a" {
			t.Fatalf("linked: events %+v", ev)
		}
	})
}

// A node that dies between the write of a wake and its event leaves the event
// to the others.
func TestAnotherNodeAnnounces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		f.put(t, "wake/pool")
		m1, stop1 := f.node(t, nil)
		want(t, m1, 201, "PUT", "subscriptions/p", "", pullConfig(nil))
		f.fault(func(a *twohop.Append) (bool, error) {
			if a.Channel == "wake/pool" {
				return false, &twohop.Error{Code: twohop.CodeUnavailable}
			}
			return false, nil
		})
		f.put(t, "events/a", `1`)
		synctest.Wait()
		stop1()
		f.fault(nil)
		f.node(t, nil)
		time.Sleep(announceGrace - 100*time.Millisecond)
		if n := len(f.events(t, "wake/pool")); n != 0 {
			t.Fatalf("%d events", n)
		}
		time.Sleep(200 * time.Millisecond)
		if ev := f.events(t, "wake/pool"); len(ev) != 1 || ev[0].Generation != 1 {
			t.Errorf("events %+v", ev)
		}
	})
}

func TestTwoNodesOneWinner(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		f.put(t, "wake/pool")
		m1, _ := f.node(t, nil)
		m2, _ := f.node(t, nil)
		want(t, m1, 201, "PUT", "subscriptions/p", "", pullConfig(nil))
		want(t, m2, 200, "PUT", "subscriptions/p", "", pullConfig(nil))
		f.put(t, "events/a", `1`)
		for round := range 20 {
			var won, lost atomic.Int32
			var winner sync.Map
			var wg sync.WaitGroup
			for i := range 10 {
				m := []*Manager{m1, m2}[i%2]
				wg.Go(func() {
					status, out := do(t, m, "POST", "subscriptions/p/claim", "", obj{"worker": fmt.Sprint(i)})
					switch {
					case status == 200:
						won.Add(1)
						winner.Store("out", out)
					case code(out) == "ALREADY_CLAIMED":
						lost.Add(1)
					default:
						t.Errorf("claim: %d %v", status, out)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 || lost.Load() != 9 {
				t.Fatalf("round %d: %d won, %d lost", round, won.Load(), lost.Load())
			}
			out, _ := winner.Load("out")
			o := out.(map[string]any)
			if o["generation"] != float64(round+1) {
				t.Errorf("round %d: generation %v", round, o["generation"])
			}
			tail := f.post(t, "events/a", `2`)
			// The answer to any node counts, and each sees it at once.
			m := []*Manager{m2, m1}[round%2]
			body := obj{"wake_id": o["wake_id"], "generation": o["generation"], "done": true, "acks": []obj{{"path": "events/a", "offset": tail}}}
			want(t, m, 200, "POST", "subscriptions/p/ack", o["token"].(string), body)
			f.post(t, "events/a", `3`)
		}
		synctest.Wait()
		if n := len(f.events(t, "wake/pool")); n != 21 {
			t.Errorf("%d events for 21 wakes", n)
		}
	})
}

func TestTwoNodesOneWebhook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, h := newStore(), &hooks{}
		h.answers(200, `{"done":true}`)
		m1, _ := f.node(t, h)
		m2, _ := f.node(t, h)
		want(t, m1, 201, "PUT", "subscriptions/s", "", webhookConfig(nil))
		for i := range 20 {
			f.put(t, fmt.Sprintf("events/%d", i), `1`)
			synctest.Wait()
		}
		if n := len(h.all()); n != 20 {
			t.Errorf("%d deliveries of 20 wakes", n)
		}
		want(t, m2, 204, "DELETE", "subscriptions/s", "", nil)
		want(t, m1, 404, "GET", "subscriptions/s", "", nil)
		f.put(t, "events/x", `1`)
		time.Sleep(time.Minute)
		if n := len(h.all()); n != 20 {
			t.Errorf("%d deliveries after the deletion", n-20)
		}
	})
}

// Two subscriptions to everything must not wake each other by their wake events.
func TestWakeStreamsWakeNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, _ := f.node(t, nil)
		f.put(t, "wake/1", `{}`)
		f.put(t, "wake/2", `{}`)
		want(t, m, 201, "PUT", "subscriptions/p1", "", pullConfig(obj{"pattern": "**", "wake_stream": "wake/1"}))
		want(t, m, 201, "PUT", "subscriptions/p2", "", pullConfig(obj{"pattern": "**", "wake_stream": "wake/2"}))
		f.put(t, "events/a", `1`)
		synctest.Wait()
		for _, id := range []string{"p1", "p2"} {
			l := claim(t, m, id, "w")
			out := want(t, m, 200, "POST", "subscriptions/"+id+"/ack", l.token, l.body(true, "events/a", l.streams["events/a"]["tail_offset"]))
			if out["next_wake"] != false {
				t.Errorf("%s: %v", id, out)
			}
		}
		time.Sleep(time.Minute)
		if a, b := len(f.events(t, "wake/1")), len(f.events(t, "wake/2")); a != 2 || b != 2 {
			t.Errorf("%d and %d events", a-1, b-1)
		}
	})
}

func TestExplicitStreams(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, _ := f.node(t, nil)
		f.put(t, "wake/pool")
		f.put(t, "events/a", `1`)
		f.put(t, "manual/b", `1`, `2`)
		want(t, m, 201, "PUT", "subscriptions/p", "", pullConfig(obj{"streams": []string{"manual/none"}}))
		streams := "subscriptions/p/streams"
		want(t, m, 204, "POST", streams, "", obj{"streams": []string{"manual/b", "events/a"}})
		want(t, m, 204, "POST", streams, "", obj{"streams": []string{"manual/b"}})
		kinds := func() string {
			var s strings.Builder
			for _, l := range want(t, m, 200, "GET", "subscriptions/p", "", nil)["streams"].([]any) {
				l := l.(map[string]any)
				fmt.Fprintf(&s, "%s=%s@%s ", l["path"], l["link_type"], l["acked_offset"].(string)[32:])
			}
			return s.String()
		}
		if got := kinds(); got != "events/a=explicit@1 manual/b=explicit@2 manual/none=explicit@0 " {
			t.Errorf("links %s", got)
		}
		want(t, m, 200, "PUT", "subscriptions/p", "", pullConfig(obj{"streams": []string{"manual/none"}})) // membership is no configuration
		f.post(t, "manual/b", `3`)
		synctest.Wait()
		if ev := f.events(t, "wake/pool"); len(ev) != 1 || ev[0].Stream != "manual/b" {
			t.Errorf("events %+v", ev)
		}
		for _, path := range []string{"manual%2Fb", "manual/b", "events/a", "nothing"} {
			want(t, m, 204, "DELETE", streams+"/"+path, "", nil)
		}
		if got := kinds(); got != "events/a=glob@1 manual/none=explicit@0 " {
			t.Errorf("links %s", got)
		}
		l := claim(t, m, "p", "w")
		refused(t, m, 409, "INVALID_OFFSET", "subscriptions/p/ack", l.token, l.body(true, "manual/b", zero))
		if out := want(t, m, 200, "POST", "subscriptions/p/ack", l.token, l.body(true)); out["next_wake"] != false {
			t.Errorf("%v", out)
		}
		f.post(t, "manual/b", `4`)
		f.put(t, "manual/none", `1`)
		synctest.Wait()
		if ev := f.events(t, "wake/pool"); len(ev) != 2 || ev[1].Stream != "manual/none" {
			t.Errorf("events %+v", ev)
		}
		want(t, m, 404, "POST", "subscriptions/x/streams", "", obj{"streams": []string{"a"}})
		want(t, m, 400, "POST", streams, "", obj{"streams": []string{"wake/pool"}})
		want(t, m, 400, "POST", streams, "", obj{"streams": []string{}})
	})
}

func TestWakeStreamMustBeJSON(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m, _ := f.node(t, nil)
		if _, _, err := f.Create(t.Context(), "wake/text", &twohop.Spec{ContentType: "text/plain"}); err != nil {
			t.Fatal(err)
		}
		want(t, m, 400, "PUT", "subscriptions/p", "", pullConfig(obj{"wake_stream": "wake/text"}))
	})
}

// Stop in the midst of everything leaves no goroutine, which the bubble checks,
// and no request hanging.
func TestStopWhileBusy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		f.put(t, "wake/pool")
		m, stop := f.node(t, nil)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for n := range 20 {
					id := fmt.Sprintf("subscriptions/p%d", (i+n)%3)
					do(t, m, "PUT", id, "", pullConfig(nil))
					f.post(t, "wake/pool", `0`)
					do(t, m, "POST", id+"/claim", "", obj{"worker": "w"})
					do(t, m, "DELETE", id, "", nil)
				}
			})
		}
		wg.Go(stop)
		wg.Wait()
		if out := want(t, m, 503, "GET", "subscriptions/p0", "", nil); out["code"] != "unavailable" {
			t.Errorf("%v", out)
		}
	})
}

func TestCreateDeleteRace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newStore()
		m1, _ := f.node(t, nil)
		m2, _ := f.node(t, nil)
		var made, confirmed, deleted atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			m := []*Manager{m1, m2}[i%2]
			wg.Go(func() {
				for range 25 {
					switch status, out := do(t, m, "PUT", "subscriptions/p", "", pullConfig(nil)); status {
					case 201:
						made.Add(1)
					case 200:
						confirmed.Add(1)
					default:
						t.Errorf("PUT: %d %v", status, out)
					}
					if i < 2 {
						want(t, m, 204, "DELETE", "subscriptions/p", "", nil)
						deleted.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if made.Load() < 1 || made.Load() > deleted.Load()+1 {
			t.Errorf("%d made, %d confirmed, %d deleted", made.Load(), confirmed.Load(), deleted.Load())
		}
	})
}
