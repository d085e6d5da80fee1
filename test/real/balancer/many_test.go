//go:build real

package balancer_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"twohop/client"
	"twohop/test/rig"
)

// TestManyChannels follows channels over one connection, which is a WebSocket
// where the balancer passes it on, and else SSE; with nothing lost on the way
// there.
func TestManyChannels(t *testing.T) {
	binary := rig.Build(t)
	for _, of := range setups {
		t.Run(of.name, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t, of, startServer(t, binary, settings))
			want := client.WebSocket
			if of.noSockets {
				want = client.SSE
			}
			if got := followMany(t, p.url); got != want {
				t.Errorf("the connection is over %v, want %v", got, want)
			}
		})
	}
}

// followMany publishes to channels while it follows them, and returns the
// transport.
func followMany(t *testing.T, url string) client.Transport {
	t.Helper()
	const channels, each = 6, 100
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := client.New(url, impatient)
	if err != nil {
		t.Fatal(err)
	}
	conn := c.Connect(ctx, client.ConnOptions{})
	defer conn.Close()
	var work sync.WaitGroup
	for i := range channels {
		name := fmt.Sprintf("many/%d", i)
		if _, err := c.Create(ctx, name, client.CreateOptions{ContentType: "application/json"}); err != nil {
			t.Fatal(err)
		}
		f, err := conn.Follow(name, client.ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		work.Go(func() {
			for n := range each {
				if _, err := c.Publish(ctx, name, fmt.Append(nil, n), client.PublishOptions{ContentType: "application/json"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
		work.Go(func() {
			n := 0
			for e, err := range f.Events(ctx) {
				if err != nil || e.Reset != nil {
					t.Errorf("%s: %v, %v", name, err, e.Reset)
					return
				}
				for _, r := range e.Records {
					if string(r) != fmt.Sprint(n) {
						t.Errorf("%s: got %s, want %d", name, r, n)
						return
					}
					n++
				}
				if n == each {
					return
				}
			}
		})
	}
	work.Wait()
	return conn.Status().Transport
}
