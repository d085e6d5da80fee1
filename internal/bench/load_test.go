package bench

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// piped is the work of one publisher whose server takes a time for each request.
// It runs in a bubble; 0 is a request that is never answered.
func piped(t *testing.T, l *load, takes func(request int) time.Duration) *part {
	t.Helper()
	mine, servers := net.Pipe()
	go func() {
		requests := bufio.NewReader(servers)
		for n := 1; ; n++ {
			r, err := http.ReadRequest(requests)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body) // all of it is there
			d := takes(n)
			if d == 0 {
				return
			}
			time.Sleep(d)
			_, _ = io.WriteString(servers, "HTTP/1.1 204 No Content\r\n\r\n") // the publisher notices
		}
	}()
	at, err := newTarget(t.Context(), "http://127.0.0.1", nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{target: at, ctx: t.Context(), in: make([]byte, 4096)}
	p.use(mine)
	t.Cleanup(func() {
		p.close()
		servers.Close()
	})
	return &part{publisher: p, load: l, of: 1, clock: clock{time.Now()}, channels: []*channel{{name: "c"}}, acks: newHistogram()}
}

func always(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

// TestStallsAreNotForgiven publishes at a rate to a server that stalls until
// after the end. What was due before is sent, and counts from when it was due.
func TestStallsAreNotForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := piped(t, &load{rate: 10, size: 128, bulk: 1, lasts: 2 * time.Second, records: 1000}, func(n int) time.Duration {
			if n == 3 {
				return 5 * time.Second
			}
			return time.Millisecond
		})
		if err := p.run(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		acks := percentilesOf(p.acks)
		if p.records != 21 || p.overdue != 0 {
			t.Errorf("%d records, %d overdue; 21 were due", p.records, p.overdue)
		}
		if acks.Max < 4990 || acks.Max > 5010 || acks.P50 < 3900 || acks.P50 > 4500 {
			t.Errorf("a stall of 5s at 0.2s counts as %+v", acks)
		}
		if took := time.Duration(p.clock.now()); took < 5200*time.Millisecond || took > 5250*time.Millisecond {
			t.Errorf("the load took %s", took)
		}
	})
}

// TestRatesThatAreTooHigh publishes to a server that takes a second for each
// record, where ten are due.
func TestRatesThatAreTooHigh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &load{rate: 10, size: 128, bulk: 1, lasts: 2 * time.Second, records: 1000}
		p := piped(t, l, always(time.Second+time.Millisecond))
		err := p.run(t.Context(), 0)
		if took := time.Duration(p.clock.now()); err != nil || took < 17*time.Second || took > 18*time.Second+20*time.Millisecond {
			t.Errorf("the load took %s: %v", took, err)
		}
		if p.records != 17 || p.overdue != 4 {
			t.Errorf("%d records, %d overdue; 21 were due", p.records, p.overdue)
		}
		var f Figure
		f.took(l, &loaded{acks: p.acks, records: p.records, overdue: p.overdue})
		if f.Faults.Overdue != 4 || !f.Faults.Any() || f.Faults.Summary() != "records could not be published in time: 4 of the records that were due in 2s were not acknowledged, not even 15s later" {
			t.Errorf("the figure's faults are %+v", f.Faults)
		}
	})
}

// TestServersThatHang ends loads that get no answer.
func TestServersThatHang(t *testing.T) {
	f := func(rate float64, overdue int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			p := piped(t, &load{rate: rate, size: 128, bulk: 1, lasts: 2 * time.Second, records: 1000}, always(0))
			err := p.run(t.Context(), 0)
			if took := time.Duration(p.clock.now()); !errors.Is(err, os.ErrDeadlineExceeded) || took != 2*time.Second+patience {
				t.Errorf("the load ended after %s: %v", took, err)
			}
			if p.overdue != overdue {
				t.Errorf("%d records are overdue, want %d", p.overdue, overdue)
			}
		})
	}
	f(10, 21)
	f(0, 0)
}

// TestLoadsWithoutARateEnd publishes as fast as acknowledged, slowly.
func TestLoadsWithoutARateEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := piped(t, &load{size: 128, bulk: 1, lasts: 2 * time.Second, records: 1000}, always(1500*time.Millisecond))
		if err := p.run(t.Context(), 0); err != nil || p.records != 2 || p.overdue != 0 {
			t.Errorf("%d records, %d overdue, %v; want 2", p.records, p.overdue, err)
		}
	})
}

// TestRatesHoldAheadOfAnswers publishes at a rate, several requests at a time.
func TestRatesHoldAheadOfAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := piped(t, &load{rate: 8, size: 128, bulk: 1, depth: 4, lasts: 2 * time.Second, records: 1000}, always(time.Millisecond))
		if err := p.run(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if p.records != 20 { // four at once, five times within two seconds
			t.Errorf("%d records in 2s, want 20", p.records)
		}
	})
}

// TestLoadsThatAreFullSayIt publishes until a figure has all that it may have.
func TestLoadsThatAreFullSayIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for records, bounded := range map[int]bool{5: true, 21: false, 1000: false} {
			l := &load{rate: 10, size: 128, bulk: 1, lasts: 2 * time.Second, records: records}
			p := piped(t, l, always(time.Millisecond))
			if err := p.run(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			var f Figure
			f.took(l, &loaded{acks: p.acks, records: p.records, full: !p.goesOnAfter(p.records), ended: p.clock.now()})
			if f.Bounded != bounded {
				t.Errorf("%d of at most %d records in %v, bounded: %v", p.records, records, time.Duration(p.clock.now()), f.Bounded)
			}
			f.Seconds = 0.5
			var b strings.Builder
			(&Result{Figures: []*Figure{&f}}).remarks(&b)
			if strings.Contains(b.String(), "Ended early") != bounded {
				t.Errorf("at most %d records: %s", records, &b)
			}
		}
	})
}
