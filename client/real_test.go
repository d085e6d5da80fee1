package client_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"twohop"
	"twohop/client"
	"twohop/server"
)

const jsonType = "application/json"

// serverAt runs a real server on a directory and an address until stopped.
func serverAt(t *testing.T, dir, listen string) (addr string, stop func()) {
	t.Helper()
	config := server.DefaultConfig()
	config.Listen, config.Engine, config.Data = listen, "disk", dir
	config.Drain, config.LongPoll, config.SSE.Retry = time.Second, 2*time.Second, 100*time.Millisecond
	s, err := server.New(server.Options{Config: &config, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for late := time.After(10 * time.Second); s.Addr() == nil; {
		select {
		case err := <-ended:
			t.Fatalf("the server ended: %v", err)
		case <-late:
			t.Fatal("the server does not serve")
		case <-time.After(time.Millisecond):
		}
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return s.Addr().String(), stop
}

// publishAll publishes numbers from 0 on to channels in turn, some and then until
// told to stop, and closes them. It returns how many each got.
func publishAll(t *testing.T, c *client.Client, channels []string, every time.Duration, stop <-chan struct{}) int {
	t.Helper()
	publishers := map[string]*client.Publisher{}
	for _, name := range channels {
		p, err := c.NewPublisher(t.Context(), name, client.PublisherOptions{ContentType: jsonType})
		if err != nil {
			t.Error(err)
			return 0
		}
		publishers[name] = p
	}
	n := 0
	const least = 20
	for tick := time.NewTicker(every); ; n++ {
		until := stop
		if n < least {
			until = nil
		}
		select {
		case <-until:
			for name, p := range publishers {
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if err := c.CloseChannel(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
			return n
		case <-tick.C:
		}
		for _, p := range publishers {
			if err := p.Publish(t.Context(), strconv.AppendInt(nil, int64(n), 10)); err != nil {
				t.Error(err)
				return n
			}
		}
	}
}

// counts follows channels to their ends, and fails where a number is missing,
// comes twice or out of order.
func counts(t *testing.T, c *client.Conn, channels []string) map[string]int {
	t.Helper()
	got := map[string]int{}
	for _, name := range channels {
		if _, err := c.Follow(name, client.ChannelOptions{}); err != nil {
			t.Error(err)
		}
	}
	ended := 0
	for e, err := range c.Events(t.Context()) {
		if err != nil || e.Reset != nil {
			t.Errorf("%s: %v, %v", e.Channel, err, e.Reset)
			break
		}
		for _, r := range e.Records {
			if want := strconv.Itoa(got[e.Channel]); string(r) != want {
				t.Errorf("%s: got %s, want %s", e.Channel, r, want)
				return got
			}
			got[e.Channel]++
		}
		if e.Closed {
			if ended++; ended == len(channels) {
				break
			}
		}
	}
	return got
}

func named(prefix string, n int) (channels []string) {
	for i := range n {
		channels = append(channels, fmt.Sprintf("%s/%d", prefix, i))
	}
	return channels
}

func newClient(t *testing.T, address string) *client.Client {
	t.Helper()
	c, err := client.New(address, client.Options{BackoffMin: 5 * time.Millisecond, BackoffMax: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func createAll(t *testing.T, c *client.Client, channels []string) {
	t.Helper()
	for _, name := range channels {
		if _, err := c.Create(t.Context(), name, client.CreateOptions{ContentType: jsonType}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConnOverRestarts restarts the server on its disk, over each transport,
// while channels are published to: drains are obeyed, nothing is lost or
// doubled.
func TestConnOverRestarts(t *testing.T) {
	for _, transport := range []client.Transport{client.WebSocket, client.SSE, client.LongPoll, client.Poll} {
		t.Run(transport.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			addr, halt := serverAt(t, dir, "127.0.0.1:0")
			c := newClient(t, "http://"+addr)
			channels := named("restart", 4)
			createAll(t, c, channels)
			stop := make(chan struct{})
			var published int
			var work sync.WaitGroup
			work.Go(func() { published = publishAll(t, c, channels, 2*time.Millisecond, stop) })
			n := c.Connect(t.Context(), client.ConnOptions{Transport: transport, PollInterval: 20 * time.Millisecond})
			defer n.Close()
			const restarts = 3
			work.Go(func() {
				defer close(stop)
				for range restarts {
					for n.Status().State != client.Open {
						<-time.After(time.Millisecond)
					}
					<-time.After(50 * time.Millisecond)
					halt()
					_, halt = serverAt(t, dir, addr)
				}
			})
			got := counts(t, n, channels)
			work.Wait()
			for _, name := range channels {
				if got[name] != published || published == 0 {
					t.Errorf("%s: %d of %d records came", name, got[name], published)
				}
			}
			if s := n.Status(); s.Reconnects < restarts || s.Transport != transport {
				t.Errorf("%d restarts: %v", restarts, s)
			}
		})
	}
}

// TestConnRefusedOneChannel: what is wrong with how one channel is followed ends
// that alone, on each transport and whatever the server makes of the others.
func TestConnRefusedOneChannel(t *testing.T) {
	addr, _ := serverAt(t, t.TempDir(), "127.0.0.1:0")
	c := newClient(t, "http://"+addr)
	createAll(t, c, []string{"good", "bad"})
	for _, transport := range []client.Transport{client.WebSocket, client.SSE, client.LongPoll, client.Poll} {
		for _, wrong := range []client.ChannelOptions{{From: client.At("garbage")}, {From: client.Tail(2_000_000)}, {Budget: 10 * time.Minute}} {
			t.Run(fmt.Sprint(transport, wrong), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				n := c.Connect(ctx, client.ConnOptions{Transport: transport, PollInterval: 20 * time.Millisecond})
				defer n.Close()
				if _, err := n.Follow("bad", wrong); err != nil {
					t.Fatal(err)
				}
				if _, err := n.Follow("good", client.ChannelOptions{From: client.Now()}); err != nil {
					t.Fatal(err)
				}
				refused, reached := false, false
				for e, err := range n.Events(ctx) {
					switch {
					case e.Channel == "bad" && err != nil:
						if refused = true; !client.IsCode(err, twohop.CodeInvalidOffset) && !client.IsCode(err, twohop.CodeInvalidParameter) {
							t.Errorf("refused with %v", err)
						}
					case err != nil:
						t.Fatalf("%s: %v", e.Channel, err)
					case len(e.Records) > 0:
						return
					}
					reached = reached || e.Channel == "good"
					if refused && reached {
						if _, err := c.Publish(ctx, "good", []byte("1"), client.PublishOptions{ContentType: jsonType}); err != nil {
							t.Fatal(err)
						}
					}
				}
				t.Error("the events ended")
			})
		}
	}
}

// proxy stands before a server, and handles what differs from any other
// request with odd, if that wants to.
func proxy(t *testing.T, addr string, odd func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	pass.FlushInterval = -1
	pass.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if odd(w, r) {
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
	})
	return p.URL
}

// noUpgrade is a proxy's way to pass on a request without what makes it a
// WebSocket's.
func noUpgrade(_ http.ResponseWriter, r *http.Request) bool {
	r.Header.Del("Upgrade")
	r.Header.Set("Connection", "close")
	return false
}

// holdsBack keeps a response until it is whole, as proxies do that buffer.
func holdsBack(addr string) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		out := r.Clone(r.Context())
		out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", addr
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			return true
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return true
		}
		maps.Copy(w.Header(), resp.Header)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(body)
		return true
	}
}

// TestAutoThroughProxies: what the path does not let through is found out, and
// something else serves.
func TestAutoThroughProxies(t *testing.T) {
	addr, _ := serverAt(t, t.TempDir(), "127.0.0.1:0")
	f := func(name string, odd func(w http.ResponseWriter, r *http.Request) bool, want client.Transport) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, proxy(t, addr, odd))
			channels := named(name, 3)
			createAll(t, c, channels)
			stop := make(chan struct{})
			var published int
			var work sync.WaitGroup
			work.Go(func() { published = publishAll(t, newClient(t, "http://"+addr), channels, 5*time.Millisecond, stop) })
			settled := sync.OnceFunc(func() { close(stop) })
			n := c.Connect(t.Context(), client.ConnOptions{OnStatus: func(s client.Status) {
				if s.State == client.Open && s.Transport == want {
					settled()
				}
			}})
			defer n.Close()
			late := time.AfterFunc(20*time.Second, func() {
				t.Errorf("it never settled: %v", n.Status())
				settled()
			})
			defer late.Stop()
			got := counts(t, n, channels)
			work.Wait()
			for _, name := range channels {
				if got[name] != published || published == 0 {
					t.Errorf("%s: %d of %d records came", name, got[name], published)
				}
			}
		})
	}
	f("nothing in the way", func(http.ResponseWriter, *http.Request) bool { return false }, client.WebSocket)
	f("no upgrade", noUpgrade, client.SSE)
	f("forbidden", func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Upgrade") == "" {
			return false
		}
		http.Error(w, "no", http.StatusForbidden)
		return true
	}, client.SSE)
	f("cut off", func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Upgrade") != "" {
			panic(http.ErrAbortHandler)
		}
		return false
	}, client.SSE)
	f("buffered", func(w http.ResponseWriter, r *http.Request) bool {
		return noUpgrade(w, r) || holdsBack(addr)(w, r)
	}, client.LongPoll)
}

// TestFollowThroughAProxyThatBuffers does so with one channel.
func TestFollowThroughAProxyThatBuffers(t *testing.T) {
	addr, _ := serverAt(t, t.TempDir(), "127.0.0.1:0")
	c := newClient(t, proxy(t, addr, holdsBack(addr)))
	createAll(t, c, []string{"a"})
	stop := make(chan struct{})
	var published int
	var work sync.WaitGroup
	work.Go(func() {
		published = publishAll(t, newClient(t, "http://"+addr), []string{"a"}, 5*time.Millisecond, stop)
	})
	got, begun := 0, time.Now()
	done := sync.OnceFunc(func() { close(stop) })
	for e, err := range c.Follow(t.Context(), "a", client.FollowOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range e.Records {
			if string(r) != strconv.Itoa(got) {
				t.Fatalf("got %s, want %d", r, got)
			}
			got++
		}
		if time.Since(begun) > 3*time.Second {
			done()
		}
	}
	if work.Wait(); got != published || got == 0 {
		t.Errorf("%d of %d records came", got, published)
	}
}
