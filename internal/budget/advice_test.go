package budget_test

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"twohop/internal/budget"
)

func TestAdvise(t *testing.T) {
	for _, c := range []struct {
		budget    time.Duration
		channels  int
		publishes bool
		header    string
		json      string
	}{
		{0, 1, false, "transport=sse", `{"transport":"sse"}`},
		{250 * time.Millisecond, 1, false, "transport=sse", `{"transport":"sse"}`},
		{250 * time.Millisecond, 2, false, "transport=ws", `{"transport":"ws"}`},
		{0, 1, true, "transport=ws", `{"transport":"ws"}`},
		{2*time.Second - 1, 1, false, "transport=sse", `{"transport":"sse"}`},
		{2 * time.Second, 1, false, "transport=poll; interval=1s", `{"transport":"poll","interval":1000}`},
		{2500 * time.Millisecond, 9, true, "transport=poll; interval=1.5s", `{"transport":"poll","interval":1500}`},
		{4 * time.Second, 1, false, "transport=poll; interval=3s", `{"transport":"poll","interval":3000}`},
		{5 * time.Minute, 1, false, "transport=poll; interval=4m59s", `{"transport":"poll","interval":299000}`},
	} {
		a := budget.Advise(c.budget, c.channels, c.publishes)
		if a.String() != c.header {
			t.Errorf("%v, %d channels, publishes %v: %s, want %s", c.budget, c.channels, c.publishes, a, c.header)
		}
		if got := "{" + string(a.AppendJSON(nil)) + "}"; got != c.json {
			t.Errorf("%v: %s, want %s", c.budget, got, c.json)
		}
		if got, want := string(a.AppendSSE(nil)), "event: advice\ndata:"+c.json+"\n\n"; got != want {
			t.Errorf("%v: %q, want %q", c.budget, got, want)
		}
	}
}

func TestInForce(t *testing.T) {
	f := func(stated, want string) {
		t.Helper()
		d, err := budget.Parse(stated)
		if err != nil || d.String() != want {
			t.Errorf("of %s %v is in force, %v; want %s", stated, d, err, want)
		}
	}
	f("0s", "0s")
	f("999999ns", "0s")
	f("1ms", "1ms")
	f("99.9ms", "99ms")
	f("250ms", "250ms")
	f("100.000001ms", "100ms")
	f("999ms", "990ms")
	f("1.5s", "1.5s")
	f("1234ms", "1.2s")
	f("99.9s", "1m39s")
	f("5m", "5m0s")

	all := map[time.Duration]bool{}
	rapid.Check(t, func(t *rapid.T) {
		b := time.Duration(rapid.Int64Range(0, int64(budget.Max)).Draw(t, "budget"))
		got := budget.InForce(b)
		if got > b || b-got >= max(time.Millisecond, b/10) || budget.InForce(got) != got {
			t.Fatalf("of %v %v is in force", b, got)
		}
		all[got] = true
	})
	for b := range time.Duration(300_000) {
		all[budget.InForce(b*time.Millisecond)] = true
	}
	if len(all) > 400 {
		t.Errorf("there are %d budgets", len(all))
	}
}

// Whoever polls as advised, through a cache that keeps answers at the tail as
// long as it may, has every record within the budget.
func TestAdvisedPollsMeetTheBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := time.Duration(rapid.Int64Range(0, int64(budget.Max)).Draw(t, "budget"))
		a := budget.Advise(b, rapid.IntRange(1, 1000).Draw(t, "channels"), rapid.Bool().Draw(t, "publishes"))
		if a.Transport == budget.Poll && (a.Interval+budget.CacheAge > b || a.Interval < budget.MinInterval) {
			t.Fatalf("a budget of %v: %s", b, a)
		}
		if (a.Transport == budget.Poll) != (b >= budget.Polling) {
			t.Fatalf("a budget of %v: %s", b, a)
		}
		if !json.Valid([]byte("{" + string(a.AppendJSON(nil)) + "}")) {
			t.Fatalf("no JSON: %s", a.AppendJSON(nil))
		}
	})
}

func TestParse(t *testing.T) {
	for s, want := range map[string]time.Duration{"0s": 0, "0": 0, "250ms": 250 * time.Millisecond, "5m": 5 * time.Minute, "1m30s": 90 * time.Second} {
		if d, err := budget.Parse(s); err != nil || d != want {
			t.Errorf("%q: %v, %v", s, d, err)
		}
	}
	for _, s := range []string{"", "1", "-1s", "5m1ns", "6m", "soon", "1e3s", "NaNs"} {
		if d, err := budget.Parse(s); err == nil {
			t.Errorf("%q is taken for %v", s, d)
		}
	}
}
