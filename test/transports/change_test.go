package transports

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"twohop/client"
)

const (
	changes  = 1000
	channels = 5
	pause    = 2 * time.Millisecond // between publishes: hundreds a second
	tooLong  = 2 * time.Minute      // for all of it
)

// TestThousandChanges changes a connection's transport a thousand times, at
// random moments, while all its channels are published to: nothing is lost,
// doubled or out of order.
func TestThousandChanges(t *testing.T) {
	for _, engine := range []string{"memory", "disk"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			changeUnderLoad(t, start(t, engine, servings[0]))
		})
	}
}

func changeUnderLoad(t *testing.T, n *node) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's choices

	ctx, cancel := context.WithTimeout(t.Context(), tooLong)
	defer cancel() // also by who fails: nobody waits for it
	c := n.Connect(ctx, client.ConnOptions{Transport: client.SSE, PollInterval: pollEvery})
	defer c.Close()
	stop := make(chan struct{})
	fail := func(format string, args ...any) {
		t.Errorf(format, args...)
		cancel()
	}
	var work sync.WaitGroup
	var published, got [channels]int
	for i := range channels {
		name := fmt.Sprintf("changes/%d", i)
		n.create(name, jsonType)
		f, err := c.Follow(name, client.ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		work.Go(func() {
			for tick := time.NewTicker(pause); ; published[i]++ {
				select {
				case <-stop:
					if err := n.CloseChannel(ctx, name); err != nil {
						fail("closing %s: %v", name, err)
					}
					return
				case <-tick.C:
				}
				if _, err := n.Publish(ctx, name, strconv.AppendInt(nil, int64(published[i]), 10), client.PublishOptions{ContentType: jsonType}); err != nil {
					fail("publishing %d to %s: %v", published[i], name, err)
					return
				}
			}
		})
		work.Go(func() {
			for e, err := range f.Events(ctx) {
				if err != nil || e.Reset != nil {
					fail("%s after %d records: %v, %v; the connection: %+v", name, got[i], err, e.Reset, c.Status())
					return
				}
				for _, r := range e.Records {
					if string(r) != strconv.Itoa(got[i]) {
						fail("%s: got %s, want %d", name, r, got[i])
						return
					}
					got[i]++
				}
			}
		})
	}
	used := map[client.Transport]int{}
	for range changes {
		next := []client.Transport{client.WebSocket, client.SSE, client.LongPoll, client.Poll}[random.IntN(4)]
		c.SetTransport(next)
		<-time.After(time.Duration(random.IntN(20)) * time.Millisecond)
		if s := c.Status(); s.State == client.Open {
			used[s.Transport]++
		}
	}
	close(stop)
	work.Wait()
	if published != got {
		t.Errorf("published %v, got %v", published, got)
	}
	for _, transport := range []client.Transport{client.WebSocket, client.SSE, client.LongPoll, client.Poll} {
		if used[transport] < changes/50 {
			t.Errorf("%v was in use after %d changes only: %v", transport, used[transport], used)
		}
	}
	t.Logf("%v records over %v", got, used)
}
