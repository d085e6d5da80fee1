//go:build real

package balancer_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"twohop/client"
)

const (
	records = 2000
	pace    = 3 * time.Millisecond // slow enough for all restarts to fall into it
)

// TestBalancerRestarts replaces each balancer three times while clients publish
// and follow through it.
func TestBalancerRestarts(t *testing.T) {
	binary := build(t)
	for _, of := range setups {
		t.Run(of.name, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t, of, startServer(t, binary, settings))
			flow(t, p.url, "seats/a", "application/json", p.replace)
		})
	}
}

// TestServerRestarts kills the server three times behind each balancer while
// clients publish and follow through it.
func TestServerRestarts(t *testing.T) {
	binary := build(t)
	for _, of := range setups {
		t.Run(of.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, binary, settings)
			flow(t, startProxy(t, of, s).url, "text/a", "text/plain", s.restart)
		})
	}
}

// flow publishes records through a balancer while something is broken three
// times, and wants every follower to have got them as they were published.
func flow(t *testing.T, url, channel, contentType string, interrupt func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := client.New(url, impatient)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(ctx, channel, client.CreateOptions{ContentType: contentType}); err != nil {
		t.Fatal(err)
	}
	var followers []*follower
	for _, transport := range []client.Transport{client.SSE, client.LongPoll, client.Poll, client.Auto} {
		followers = append(followers, follow(ctx, t, url, channel, transport))
	}

	want := pour(ctx, t, c, channel, contentType, interrupt)
	if err := c.CloseChannel(ctx, channel); err != nil {
		t.Fatal(err)
	}
	for _, f := range followers {
		<-f.done
		if got := f.text(); f.err != nil || got != want {
			t.Errorf("%v ended with %v after %d bytes, differing from the %d published at byte %d", f.transport, f.err, len(got), len(want), firstDifference(got, want))
		}
		asked := f.asked()
		t.Logf("%v asked %v", f.transport, asked)
		// Once after the start, and once more after it was interrupted.
		if live := asked["sse"]; f.transport == client.SSE && live < 2 {
			t.Errorf("SSE was not interrupted")
		}
	}
}

// impatient clients try again soon.
var impatient = client.Options{BackoffMin: 50 * time.Millisecond, BackoffMax: 500 * time.Millisecond}

// pour publishes the records, and returns all of them as text.
func pour(ctx context.Context, t *testing.T, c *client.Client, channel, contentType string, interrupt func()) string {
	t.Helper()
	p, err := c.NewPublisher(ctx, channel, client.PublisherOptions{ContentType: contentType, Lines: contentType == "text/plain", MaxInFlight: 3})
	if err != nil {
		t.Fatal(err)
	}
	var interrupts sync.WaitGroup
	tick := time.NewTicker(pace)
	defer tick.Stop()
	var all strings.Builder
	for n := range records {
		if n%(records/4) == 0 && n > 0 {
			interrupts.Wait()
			interrupts.Go(interrupt)
		}
		line := fmt.Sprintf("{\"n\":%d}\n", n)
		all.WriteString(line)
		if contentType != "text/plain" {
			line = strings.TrimSpace(line)
		}
		if err := p.Publish(ctx, []byte(line)); err != nil {
			t.Fatal(err)
		}
		<-tick.C
	}
	interrupts.Wait()
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// follower collects what a client is given.
type follower struct {
	transport client.Transport
	done      chan struct{} // closed when it has ended
	err       error         // why, if not because the channel was closed; to be read after done

	mu       sync.Mutex // guards what the follower and its test share
	got      strings.Builder
	requests map[string]int // by their parameter live
}

// follow starts a follower that ends with its channel or the context, and before
// the test does.
func follow(ctx context.Context, t *testing.T, url, channel string, transport client.Transport) *follower {
	t.Helper()
	f := &follower{transport: transport, done: make(chan struct{}), requests: map[string]int{}}
	options := impatient
	options.HTTPClient = &http.Client{Transport: f}
	c, err := client.New(url, options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	t.Cleanup(func() {
		cancel()
		<-f.done
	})
	go func() {
		defer close(f.done)
		for event, err := range c.Follow(ctx, channel, client.FollowOptions{Transport: transport, PollInterval: 50 * time.Millisecond}) {
			if err != nil {
				f.err = err
				return
			}
			f.take(event)
		}
	}()
	return f
}

func (f *follower) take(e client.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, record := range e.Records {
		f.got.Write(record)
		if e.JSON {
			f.got.WriteByte('\n')
		}
	}
	if e.Reset != nil {
		fmt.Fprintf(&f.got, "reset: %v\n", e.Reset)
	}
}

// RoundTrip implements http.RoundTripper.
func (f *follower) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.requests[r.URL.Query().Get("live")]++
	f.mu.Unlock()
	return http.DefaultTransport.RoundTrip(r)
}

func (f *follower) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got.String()
}

// asked is how many requests there were of each transport.
func (f *follower) asked() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[string]int{}
	for live, n := range f.requests {
		all[live] = n
	}
	return all
}

func firstDifference(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
