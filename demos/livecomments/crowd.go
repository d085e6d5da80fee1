package livecomments

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"twohop/client"
)

// crowd is many viewers, each a reader of the comments over a connection of its
// own. It is safe for concurrent use; Close waits for all of them.
type crowd struct {
	client *client.Client
	ctx    context.Context //nolint:containedctx // of all viewers: cancelled by Close
	cancel context.CancelFunc
	done   sync.WaitGroup

	connected  atomic.Int64 // viewers with a response that goes on just now
	reconnects atomic.Uint64

	mu      sync.Mutex // guards what follows; held for a few words
	viewers []*viewer
	conns   map[*conn]struct{} // open ones
	gone    tally              // what viewers counted who left
	drop    *drop              // the last one, nil before the first
	drops   int                // how many there were
}

// tally adds up what viewers counted.
type tally struct{ Records, Missing, Twice uint64 }

func (t *tally) add(o tally) {
	t.Records += o.Records
	t.Missing += o.Missing
	t.Twice += o.Twice
}

// drop is one time at which all connections were cut.
type drop struct {
	id     int
	at     time.Time
	cut    int             // viewers that were connected
	back   []time.Duration // how long each one took that is connected again, in order
	missed uint64          // records that they then read first
}

// The viewers' waits before they connect again are random up to reconnectIn at
// first, so that they do not come back all at once.
const (
	reconnectIn  = 2 * time.Second
	reconnectMax = 8 * time.Second
	joinWithin   = 1500 * time.Millisecond
)

// viewerBudget is how late a viewer may be given a comment: nobody reads faster.
const viewerBudget = 500 * time.Millisecond

func newCrowd(ctx context.Context, url string) (*crowd, error) {
	c := &crowd{conns: map[*conn]struct{}{}}
	c.ctx, c.cancel = context.WithCancel(ctx)
	var err error
	c.client, err = client.New(url, client.Options{
		HTTPClient: &http.Client{Transport: &counted{c, &http.Transport{
			DialContext: c.dial, MaxIdleConnsPerHost: MaxViewers, DisableCompression: true, ResponseHeaderTimeout: 30 * time.Second,
		}}},
		BackoffMin: reconnectIn, BackoffMax: reconnectMax,
	})
	return c, err
}

// viewer is one of the crowd.
type viewer struct {
	cancel context.CancelFunc
	seen   sequence
	away   bool // its connection broke, and nothing came since

	counted struct { // what others may look at
		sync.Mutex
		tally
	}
}

// resize lets viewers come or go until there are n.
func (c *crowd) resize(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	for len(c.viewers) < n {
		ctx, cancel := context.WithCancel(c.ctx)
		v := &viewer{cancel: cancel}
		c.viewers = append(c.viewers, v)
		c.done.Go(func() { c.watch(ctx, v) })
	}
	for _, v := range c.viewers[n:] {
		v.cancel()
		v.counted.Lock()
		c.gone.add(v.counted.tally)
		v.counted.Unlock()
	}
	c.viewers = slices.Delete(c.viewers, n, len(c.viewers))
}

// watch is a viewer's life.
func (c *crowd) watch(ctx context.Context, v *viewer) {
	late := time.NewTimer(rand.N(joinWithin)) //nolint:gosec // jitter, not a secret
	defer late.Stop()
	select {
	case <-late.C:
	case <-ctx.Done():
		return
	}
	for event, err := range c.client.Follow(ctx, comments, client.FollowOptions{
		From: client.Now(), Transport: client.SSE, ContentType: "application/json", Wait: true, Budget: viewerBudget,
		OnRetry: func(error, time.Duration) {
			v.away = true
			c.reconnects.Add(1)
		},
	}) {
		if err != nil {
			return // the context's: every other failure is tried again
		}
		v.take(c, event)
	}
}

// take counts what came. A record that a reset says is lost is missing.
func (v *viewer) take(c *crowd, event client.Event) {
	for _, record := range event.Records {
		v.seen.take(record)
	}
	if event.Reset != nil {
		v.seen.missing += event.Reset.Missed
		v.seen.last = nil // counted just now; not again by the numbers
	}
	if v.away && len(event.Records) > 0 {
		v.away = false
		c.caughtUp(uint64(len(event.Records)))
	}
	v.counted.Lock()
	v.counted.tally = tally{v.seen.records, v.seen.missing, v.seen.twice}
	v.counted.Unlock()
}

// Drop cuts every connection at once, without a word, and says how many viewers
// that hits. Drops are numbered from 1.
func (c *crowd) Drop() (id, cut int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	c.drop = &drop{id: c.drops, at: time.Now(), cut: int(c.connected.Load())}
	for k := range c.conns {
		k.cut()
	}
	clear(c.conns)
	return c.drop.id, c.drop.cut
}

// caughtUp counts what a viewer read first after it was away.
func (c *crowd) caughtUp(records uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drop != nil {
		c.drop.missed += records
	}
}

// count is what all viewers counted, those who left included.
func (c *crowd) count() tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := c.gone
	for _, v := range c.viewers {
		v.counted.Lock()
		sum.add(v.counted.tally)
		v.counted.Unlock()
	}
	return sum
}

// Close ends all viewers and waits for them.
func (c *crowd) Close() {
	c.cancel()
	c.done.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.conns { // idle ones
		k.cut()
	}
	clear(c.conns)
}

// counted counts the responses that go on: a viewer is connected from the
// server's answer to the end of it.
type counted struct {
	c    *crowd
	next http.RoundTripper
}

func (t *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.next.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		return answer, err
	}
	t.c.joined()
	answer.Body = &body{ReadCloser: answer.Body, left: sync.OnceFunc(func() { t.c.connected.Add(-1) })}
	return answer, nil
}

func (c *crowd) joined() {
	c.connected.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.drop; d != nil && len(d.back) < d.cut {
		d.back = append(d.back, time.Since(d.at))
	}
}

type body struct {
	io.ReadCloser
	left func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.left()
	}
	return n, err
}

func (b *body) Close() error {
	b.left()
	return b.ReadCloser.Close()
}

// conn is a connection that the crowd can cut.
type conn struct {
	*net.TCPConn
	crowd *crowd
}

func (c *crowd) dial(ctx context.Context, network, address string) (net.Conn, error) {
	made, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	k := &conn{made.(*net.TCPConn), c} //nolint:forcetypeassert // of http:// addresses
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[k] = struct{}{}
	return k, nil
}

func (k *conn) Close() error {
	k.crowd.mu.Lock()
	delete(k.crowd.conns, k)
	k.crowd.mu.Unlock()
	return k.TCPConn.Close()
}

// cut ends the connection as a lost network does: with a reset, and nothing
// said before.
func (k *conn) cut() {
	_ = k.SetLinger(0) // at worst it ends more politely
	_ = k.TCPConn.Close()
}
