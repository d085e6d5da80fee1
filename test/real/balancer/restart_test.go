//go:build real

package balancer_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"twohop/client"
	"twohop/test/rig"
)

const (
	records = 2000
	pace    = 3 * time.Millisecond // slow enough for all restarts to fall into it
)

// TestBalancerRestarts replaces each balancer three times while clients publish
// and follow through it.
func TestBalancerRestarts(t *testing.T) {
	binary := rig.Build(t)
	for _, of := range setups {
		t.Run(of.name, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t, of, startServer(t, binary, settings))
			flow(t, p.url, "seats/a", "application/json", !of.noSockets, p.replace)
		})
	}
}

// TestServerRestarts kills the server three times behind each balancer while
// clients publish and follow through it.
func TestServerRestarts(t *testing.T) {
	binary := rig.Build(t)
	for _, of := range setups {
		t.Run(of.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, binary, settings)
			flow(t, startProxy(t, of, s).url, "text/a", "text/plain", !of.noSockets, func() {
				s.Kill()
				s.Start()
			})
		})
	}
}

// flow publishes records through a balancer while something is broken three
// times, and wants every follower to have got them as they were published.
func flow(t *testing.T, url, channel, contentType string, sockets bool, interrupt func()) {
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
	transports := []client.Transport{client.SSE, client.LongPoll, client.Poll, client.Auto}
	if sockets {
		transports = append(transports, client.WebSocket)
	}
	for _, transport := range transports {
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
		if f.transport == client.SSE && f.asked()["sse"] < 2 {
			t.Error("SSE was not interrupted")
		}
	}
}

// pour publishes the records, and returns all of them as text.
func pour(ctx context.Context, t *testing.T, c *client.Client, channel, contentType string, interrupt func()) string {
	t.Helper()
	p, err := c.NewPublisher(ctx, channel, client.PublisherOptions{ContentType: contentType, Lines: contentType == "text/plain", MaxInFlight: 3})
	if err != nil {
		t.Fatal(err)
	}
	var interrupts sync.WaitGroup
	defer interrupts.Wait()
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

func firstDifference(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
