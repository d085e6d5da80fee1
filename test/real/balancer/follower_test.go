//go:build real

package balancer_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"twohop/client"
)

// impatient clients try again soon.
var impatient = client.Options{BackoffMin: 50 * time.Millisecond, BackoffMax: 500 * time.Millisecond}

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
	return maps.Clone(f.requests)
}
