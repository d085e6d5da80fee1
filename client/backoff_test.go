package client

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoffDoublesUpToItsBound(t *testing.T) {
	b := backoff{min: 100 * time.Millisecond, max: time.Second}
	for _, want := range []time.Duration{100, 200, 400, 800, 1000, 1000, 1000} {
		if got := b.bound(); got != want*time.Millisecond {
			t.Errorf("after %d failures the bound is %v, want %v ms", b.fails, got, want)
		}
		b.next(0)
	}
	b.fails = 1 << 20 // a server that was away for months
	if got := b.bound(); got != time.Second {
		t.Errorf("the bound is %v", got)
	}
	b.reset()
	if got := b.bound(); got != 100*time.Millisecond {
		t.Errorf("after a success the bound is %v", got)
	}
}

func TestBackoffHasFullJitter(t *testing.T) {
	const n = 10_000
	b := backoff{min: time.Second, max: time.Second}
	var quarters [4]int
	for range n {
		d := b.next(0)
		if d < 0 || d > time.Second {
			t.Fatalf("waits %v", d)
		}
		quarters[min(3, d/(250*time.Millisecond))]++
	}
	for i, q := range quarters {
		if q < n/5 || q > n*3/10 {
			t.Errorf("%d of %d waits are in quarter %d", q, n, i)
		}
	}
}

func TestBackoffAddsToRetryAfter(t *testing.T) {
	b := backoff{min: time.Second, max: time.Second}
	for range 100 {
		if d := b.next(10 * time.Second); d < 10*time.Second || d > 11*time.Second {
			t.Fatalf("waits %v", d)
		}
		if d := b.next(time.Hour); d > maxRetryAfter+time.Second {
			t.Fatalf("waits %v", d)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(v string, want time.Duration) {
			t.Helper()
			if got := retryAfter(http.Header{"Retry-After": {v}}); got != want {
				t.Errorf("%q is %v, want %v", v, got, want)
			}
		}
		f("", 0)
		f("7", 7*time.Second)
		f("-7", 0)
		f("soon", 0)
		f("99999999999", 0)
		f(time.Now().Add(90*time.Second).UTC().Format(http.TimeFormat), 90*time.Second)
		f(time.Now().Add(-90*time.Second).UTC().Format(http.TimeFormat), 0)
	})
}
