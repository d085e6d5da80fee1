package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
)

var connTransports = []Transport{Auto, WebSocket, SSE, LongPoll, Poll}

// overAll runs a test in a bubble for each transport.
func overAll(t *testing.T, test func(t *testing.T, f *many, c *Conn)) {
	for _, transport := range connTransports {
		t.Run(transport.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, cl := newMany(t)
				c := cl.Connect(t.Context(), ConnOptions{Transport: transport})
				defer c.Close()
				test(t, f, c)
			})
		})
	}
}

func follow(t *testing.T, c *Conn, channel string, o ChannelOptions) *Following {
	t.Helper()
	f, err := c.Follow(channel, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// rest ranges over a channel to its end.
func rest(ctx context.Context, f *Following) (records string, err error) {
	var b strings.Builder
	for e, err := range f.Events(ctx) {
		if err != nil {
			return b.String(), err
		}
		for _, r := range e.Records {
			b.Write(r)
			b.WriteByte(';')
		}
	}
	return b.String(), nil
}

// first waits for the first event.
func first(t *testing.T, f *Following) (first Event) {
	t.Helper()
	for e, err := range f.Events(t.Context()) {
		if first = e; err != nil {
			t.Error(err)
		}
		break
	}
	return first
}

// count makes n JSON numbers, and the text that rest makes of them.
func count(n int) (records []string, want string) {
	for i := range n {
		records = append(records, fmt.Sprint(i))
		want += fmt.Sprint(i) + ";"
	}
	return records, want
}

func TestConnFollowsManyChannels(t *testing.T) {
	overAll(t, func(t *testing.T, f *many, c *Conn) {
		records, want := count(8)
		var all []*Following
		for _, name := range []string{"a", "b", "c/d"} {
			f.add(name, records[:2]...)
			all = append(all, follow(t, c, name, ChannelOptions{}))
		}
		time.AfterFunc(time.Minute, func() {
			for _, g := range all {
				f.add(g.Channel(), records[2:]...)
			}
		})
		time.AfterFunc(2*time.Minute, func() {
			for _, g := range all {
				f.end(g.Channel())
			}
		})
		for _, g := range all {
			if got, err := rest(t.Context(), g); got != want || err != nil || g.Offset() != offsetOf(8) {
				t.Errorf("%s: got %q, %v, stands at %s", g.Channel(), got, err, g.Offset())
			}
		}
	})
}

func TestConnEventsAreOfAllChannels(t *testing.T) {
	overAll(t, func(t *testing.T, f *many, c *Conn) {
		records, want := count(20)
		got := map[string]string{}
		for _, name := range []string{"a", "b"} {
			f.add(name, records...)
			f.end(name)
			follow(t, c, name, ChannelOptions{})
		}
		follow(t, c, "none", ChannelOptions{})
		ended := 0
		for e, err := range c.Events(t.Context()) {
			if err != nil {
				if e.Channel != "none" || !IsCode(err, twohop.CodeNotFound) {
					t.Errorf("%q: %v", e.Channel, err)
				}
				ended++
			}
			for _, r := range e.Records {
				got[e.Channel] += string(r) + ";"
			}
			if e.Closed {
				ended++
			}
			if ended == 3 {
				break
			}
		}
		if got["a"] != want || got["b"] != want {
			t.Errorf("got %q", got)
		}
	})
}

func TestConnFollowsMoreAndLess(t *testing.T) {
	overAll(t, func(t *testing.T, f *many, c *Conn) {
		f.add("a", "1")
		f.add("b", "2")
		a := follow(t, c, "a", ChannelOptions{})
		if _, err := c.Follow("a", ChannelOptions{}); !IsCode(err, "already_subscribed") {
			t.Errorf("followed twice: %v", err)
		}
		first(t, a)
		b := follow(t, c, "b", ChannelOptions{})
		first(t, b)
		a.Close()
		a2 := follow(t, c, "a", ChannelOptions{From: Now()})
		time.Sleep(10 * time.Second) // for a poll, too
		f.add("a", "3")
		f.end("a")
		if got, err := rest(t.Context(), a2); got != "3;" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if got, err := rest(t.Context(), a); got != "" || err != nil {
			t.Errorf("after Close: %q, %v", got, err)
		}
		f.add("b", "4")
		f.end("b")
		if got, err := rest(t.Context(), b); !strings.HasSuffix("2;4;", got) || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// TestConnFollowsHundreds: in as many messages as the server's limit takes.
func TestConnFollowsHundreds(t *testing.T) {
	overAll(t, func(t *testing.T, f *many, c *Conn) {
		const n = 500
		for i := range n {
			name := fmt.Sprintf("hundreds/%d", i)
			f.add(name, "1")
			f.end(name)
			follow(t, c, name, ChannelOptions{})
		}
		closed := map[string]bool{}
		for e, err := range c.Events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Closed {
				closed[e.Channel] = true
			}
			if len(closed) == n {
				break
			}
		}
		if c.Status().Transport == WebSocket && f.framesGot(frameSubscribe) < 2 {
			t.Error("all went into one message")
		}
	})
}

// TestConnSlowConsumer: a channel that nobody ranges over keeps a bounded part
// of itself here, holds up no other, and loses nothing.
func TestConnSlowConsumer(t *testing.T) {
	for _, transport := range connTransports {
		t.Run(transport.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, cl := newMany(t)
				c := cl.Connect(t.Context(), ConnOptions{Transport: transport, BufferBytes: 100})
				defer c.Close()
				records, want := count(2000)
				f.add("slow", "0")
				f.add("fast")
				slow := follow(t, c, "slow", ChannelOptions{})
				fast := follow(t, c, "fast", ChannelOptions{})
				go func() {
					for i := 1; i < 2000; i += 100 {
						f.add("slow", records[i:min(i+100, 2000)]...)
						f.add("fast", records[i])
						time.Sleep(time.Second)
					}
					f.end("fast")
				}()
				got, err := rest(t.Context(), fast)
				if n := strings.Count(got, ";"); n != 20 || err != nil {
					t.Errorf("%d of 20 of the fast one came, %v", n, err)
				}
				c.mu.Lock()
				if slow.bytes > 100+3*4 {
					t.Errorf("%d bytes of the slow one are kept", slow.bytes)
				}
				c.mu.Unlock()
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if got, _ := rest(ctx, slow); got != want {
					t.Errorf("the slow one got %d of %d bytes", len(got), len(want))
				}
			})
		})
	}
}

func TestConnPublishes(t *testing.T) {
	overAll(t, func(t *testing.T, f *many, c *Conn) {
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, "/v1/stream/") {
				return false
			}
			f.add("a", `"posted"`)
			w.Header().Set("Stream-Next-Offset", offsetOf(1))
			w.WriteHeader(http.StatusNoContent)
			return true
		}
		f.add("a")
		g := follow(t, c, "a", ChannelOptions{})
		synctest.Wait()
		ack, err := c.Publish(t.Context(), "a", []byte(`"<x>"`), PublishOptions{ContentType: "application/json"})
		if err != nil || ack.Offset != offsetOf(1) {
			t.Errorf("ack %+v, %v", ack, err)
		}
		want := `"posted";`
		if c.Status().Transport == WebSocket {
			want = `"<x>";`
			_, err := c.Publish(t.Context(), "none", []byte("1"), PublishOptions{ContentType: "application/json"})
			if !IsCode(err, twohop.CodeNotFound) {
				t.Errorf("to no channel: %v", err)
			}
		}
		if _, err := c.Publish(t.Context(), "a", []byte("{"), PublishOptions{ContentType: "application/json"}); !IsCode(err, twohop.CodeInvalidJSON) && c.Status().Transport == WebSocket {
			t.Errorf("of no JSON: %v", err)
		}
		f.end("a")
		if got, err := rest(t.Context(), g); got != want || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// TestConnAwaitsAcknowledgements: a connection that is no longer wanted ends when
// what was published over it is acknowledged, and takes nothing new.
func TestConnAwaitsAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		f.late = 2 * time.Second
		f.add("a")
		c := cl.Connect(t.Context(), ConnOptions{Transport: WebSocket})
		defer c.Close()
		follow(t, c, "a", ChannelOptions{})
		synctest.Wait()
		var ack Ack
		var err error
		var publishing sync.WaitGroup
		begun := time.Now()
		publishing.Go(func() {
			ack, err = c.Publish(t.Context(), "a", []byte("1"), PublishOptions{ContentType: "application/json"})
		})
		synctest.Wait()
		c.SetTransport(SSE)
		synctest.Wait()
		if s := c.Status(); s.Transport != WebSocket {
			t.Errorf("before the acknowledgement: %v", s)
		}
		publishing.Wait()
		synctest.Wait()
		if s := c.Status(); err != nil || ack.Offset != offsetOf(1) || s.Transport != SSE || time.Since(begun) != 2*time.Second {
			t.Errorf("%+v, %v after %v, %v", ack, err, time.Since(begun), s)
		}

		// One that is not answered is given up after a while, and with a key tried
		// again.
		f.late = time.Hour
		c.SetTransport(WebSocket)
		time.Sleep(time.Second)
		publishing.Go(func() {
			ack, err = c.Publish(t.Context(), "a", []byte("2"), PublishOptions{ContentType: "application/json"})
		})
		synctest.Wait()
		begun = time.Now()
		c.SetTransport(LongPoll)
		publishing.Wait()
		if !IsCode(err, twohop.CodeUnknownOutcome) || time.Since(begun) != lingerTime {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// TestConnSwitchesTransport: at any time, with nothing lost or doubled.
func TestConnSwitchesTransport(t *testing.T) {
	overAll(t, func(t *testing.T, f *many, c *Conn) {
		records, want := count(300)
		f.add("a")
		f.add("b")
		a, b := follow(t, c, "a", ChannelOptions{}), follow(t, c, "b", ChannelOptions{})
		go func() {
			for i, r := range records {
				f.add("a", r)
				f.add("b", r)
				time.Sleep(7 * time.Millisecond)
				if i%10 == 0 {
					c.SetTransport(connTransports[i/10%len(connTransports)])
				}
			}
			f.end("a")
			f.end("b")
		}()
		for _, g := range []*Following{a, b} {
			if got, err := rest(t.Context(), g); got != want || err != nil {
				t.Errorf("%s: got %q, %v", g.Channel(), got, err)
			}
		}
		for _, kind := range []string{"ws", "sse", "long-poll", "poll"} {
			if !slices.Contains(f.asked(), kind) {
				t.Errorf("%s was never used: %q", kind, f.asked())
			}
		}
	})
}

func TestConnWaitsForAChannel(t *testing.T) {
	overAll(t, func(t *testing.T, f *many, c *Conn) {
		f.add("other")
		follow(t, c, "other", ChannelOptions{})
		g := follow(t, c, "a", ChannelOptions{Wait: true})
		time.AfterFunc(time.Minute, func() { f.add("a", "1"); f.end("a") })
		if got, err := rest(t.Context(), g); got != "1;" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// TestConnTellsOfADeletedChannel: once, and goes on where it stood should the
// same log be back. Who does not wait hears that it is over.
func TestConnTellsOfADeletedChannel(t *testing.T) {
	overAll(t, func(t *testing.T, f *many, c *Conn) {
		f.add("a", "1")
		f.add("b", "1")
		waits, not := follow(t, c, "a", ChannelOptions{Wait: true}), follow(t, c, "b", ChannelOptions{})
		first(t, waits)
		time.Sleep(time.Minute)
		f.remove("a")
		f.remove("b")
		time.AfterFunc(time.Minute, func() { f.add("a", "1", "2"); f.end("a") })
		resets, got := 0, ""
		for e, err := range waits.Events(t.Context()) {
			if err != nil {
				t.Error(err)
			}
			if e.Reset != nil && e.Reset.Reason == twohop.ResetDeleted {
				resets++
			}
			for _, r := range e.Records {
				got += string(r) + ";"
			}
		}
		if resets != 1 || !strings.HasSuffix("1;2;", got) || !strings.HasSuffix(got, "2;") {
			t.Errorf("told %d times, got %q", resets, got)
		}
		if got, err := rest(t.Context(), not); got != "1;" || !IsCode(err, twohop.CodeNotFound) {
			t.Errorf("without waiting: %q, %v", got, err)
		}
	})
}

// TestConnObeysADrain: it comes back when it was told to, at its offset.
func TestConnObeysADrain(t *testing.T) {
	for _, transport := range []Transport{WebSocket, SSE, LongPoll} {
		synctest.Test(t, func(t *testing.T) {
			f, cl := newMany(t)
			c := cl.Connect(t.Context(), ConnOptions{Transport: transport})
			defer c.Close()
			f.add("a", "1")
			g := follow(t, c, "a", ChannelOptions{})
			synctest.Wait()
			asked, begun := len(f.asked()), time.Now()
			f.send(`{"type":"drain","delay":7000}`)
			synctest.Wait()
			f.add("a", "2")
			f.end("a")
			if got, err := rest(t.Context(), g); got != "1;2;" || err != nil || time.Since(begun) != 7*time.Second {
				t.Errorf("%v: got %q, %v after %v", transport, got, err, time.Since(begun))
			}
			if n := len(f.asked()) - asked; n > 2 {
				t.Errorf("%v: %d connections instead of one", transport, n)
			}
		})
	}
}

// TestConnGoesDownTheLadderAndUpAgain: what does not get through is left within
// two seconds, and used again some minutes after it does.
func TestConnGoesDownTheLadderAndUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		var noSocket, noSSE atomic.Bool
		noSocket.Store(true)
		noSSE.Store(true)
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.URL.Path == "/v1/ws" && noSocket.Load():
				w.WriteHeader(http.StatusForbidden) // a proxy that has no Upgrade
				return true
			case r.Header.Get("Accept") == "text/event-stream" && noSSE.Load():
				<-r.Context().Done() // one that buffers
				return true
			}
			return false
		}
		c := cl.Connect(t.Context(), ConnOptions{})
		defer c.Close()
		records, want := count(3600)
		f.add("a")
		g := follow(t, c, "a", ChannelOptions{})
		begun := time.Now()
		at := func(d time.Duration, transport Transport) {
			t.Helper()
			time.Sleep(time.Until(begun.Add(d)))
			if s := c.Status(); s.State != Open || s.Transport != transport {
				t.Errorf("after %v: %v", d, s)
			}
		}
		go func() {
			for _, r := range records {
				f.add("a", r)
				time.Sleep(time.Second)
			}
			f.end("a")
		}()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if got, err := rest(t.Context(), g); got != want || err != nil {
				t.Errorf("got %d of %d bytes, %v", len(got), len(want), err)
			}
		}()
		at(4*time.Second, LongPoll)
		at(2*time.Minute, LongPoll)
		noSSE.Store(false)
		at(6*time.Minute, SSE)
		noSocket.Store(false)
		at(20*time.Minute, WebSocket)
		<-done

		// What the client knows of the path, its next connection knows too.
		noSocket.Store(true)
		f.listener.breakAll()
		f.add("b", "1")
		f.end("b")
		before := len(f.asked())
		c2 := cl.Connect(t.Context(), ConnOptions{})
		defer c2.Close()
		if got, err := rest(t.Context(), follow(t, c2, "b", ChannelOptions{})); got != "1;" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		c3 := cl.Connect(t.Context(), ConnOptions{})
		defer c3.Close()
		f.add("c", "1")
		f.end("c")
		if got, err := rest(t.Context(), follow(t, c3, "c", ChannelOptions{})); got != "1;" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if asked := f.asked()[before:]; !slices.Equal(asked, []string{"ws", "sse", "sse"}) {
			t.Errorf("asked %q", asked)
		}
	})
}

// TestConnKeepsWhatGetsThroughAgain: what was blocked and is due for a look is
// not left as soon as it is there, and no longer blocked when it serves.
func TestConnKeepsWhatGetsThroughAgain(t *testing.T) {
	for _, transport := range []Transport{WebSocket, SSE} {
		synctest.Test(t, func(t *testing.T) {
			f, cl := newMany(t)
			cl.path.block(SSE)
			cl.path.block(WebSocket)
			time.Sleep(probeFirst + time.Minute)
			if transport == SSE {
				cl.path.block(WebSocket) // the look at it has failed
			}
			c := cl.Connect(t.Context(), ConnOptions{})
			defer c.Close()
			var s leaver
			c.locked(func() {
				c.begin(&s, c.pick())
				c.session = nil
			})
			if s.left {
				t.Fatalf("%v is left before it has served", transport) // and so again and again
			}
			for _, channel := range []string{"a", "b"} {
				f.add(channel, "1")
				first(t, follow(t, c, channel, ChannelOptions{}))
				time.Sleep(time.Second)
			}
			if asked := slices.Compact(f.asked()); !slices.Equal(asked, []string{transport.String()}) {
				t.Errorf("asked %q", asked)
			}
		})
	}
}

// leaver is a session that tells whether it was to leave.
type leaver struct{ left bool }

func (s *leaver) leave() { s.left = true }

func (s *leaver) publish(*publishItem) (*publishing, bool) { return nil, false }

// TestConnIsNotMisledByABalancer: its 404 does not mean that there is nothing to
// follow here.
func TestConnIsNotMisledByABalancer(t *testing.T) {
	overAll(t, func(t *testing.T, f *many, c *Conn) {
		var away atomic.Bool
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if away.Load() {
				http.NotFound(w, r)
				return true
			}
			w.Header().Set("Stream-Extensions", "ws")
			return false
		}
		f.add("a", "1")
		g := follow(t, c, "a", ChannelOptions{})
		time.Sleep(10 * time.Second)
		away.Store(true)
		f.listener.breakAll()
		time.Sleep(time.Minute)
		away.Store(false)
		f.add("a", "2")
		f.end("a")
		if got, err := rest(t.Context(), g); got != "1;2;" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// TestConnDropsAConnectionThatIsSilent: neither data nor pings.
func TestConnDropsAConnectionThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		c := cl.Connect(t.Context(), ConnOptions{Transport: WebSocket})
		defer c.Close()
		f.add("a", "1")
		g := follow(t, c, "a", ChannelOptions{})
		time.Sleep(time.Hour)
		if n := len(f.asked()); n != 1 {
			t.Errorf("%d connections in a quiet hour", n)
		}
		if n := f.framesGot("pong"); n < 100 {
			t.Errorf("%d pongs in an hour of pings", n)
		}
		f.listener.breakAll()
		time.Sleep(time.Minute)
		if n := len(f.asked()); n != 2 {
			t.Errorf("%d connections after one broke", n)
		}
		f.add("a", "2")
		f.end("a")
		if got, err := rest(t.Context(), g); got != "1;2;" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// TestConnFollowsAdvice: what suits all channels, and another one's needs count
// at once.
func TestConnFollowsAdvice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		c := cl.Connect(t.Context(), ConnOptions{})
		defer c.Close()
		f.add("a")
		f.add("b")
		a := follow(t, c, "a", ChannelOptions{Budget: 5 * time.Second})
		time.Sleep(time.Minute)
		if s := c.Status(); s.Transport != Poll || s.Advice.Interval != 4*time.Second {
			t.Errorf("%v, advice %v", s, s.Advice)
		}
		if n := len(f.asked()); n < 13 || n > 20 {
			t.Errorf("%d polls in a minute", n)
		}
		b := follow(t, c, "b", ChannelOptions{})
		time.Sleep(time.Second)
		if s := c.Status(); s.Transport != WebSocket || s.State != Open {
			t.Errorf("with a channel without a budget: %v", s)
		}
		b.Close()
		time.Sleep(time.Second)
		f.send(`{"type":"advice","channel":"a","transport":"sse"}`)
		time.Sleep(10 * time.Second)
		if s := c.Status(); s.Transport != SSE || s.State != Open {
			t.Errorf("advised SSE: %v", s)
		}
		a.Close()
	})
}

// TestConnAdviceIsForTheChannelsThatItHas: another one counts at once, and one
// that is gone no longer.
func TestConnAdviceIsForTheChannelsThatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		c := cl.Connect(t.Context(), ConnOptions{Transport: SSE})
		defer c.Close()
		serves := func(what string, transport Transport) {
			t.Helper()
			time.Sleep(10 * time.Second)
			if s := c.Status(); s.Transport != transport || s.State != Open {
				t.Errorf("%s: %v", what, s)
			}
		}
		f.add("a")
		f.add("b")
		follow(t, c, "a", ChannelOptions{Budget: 3 * time.Second})
		serves("as it is told to", SSE)
		f.send(`{"type":"advice","transport":"poll","interval":2000}`)
		synctest.Wait()
		c.SetTransport(Auto)
		serves("advised to poll", Poll)
		b := follow(t, c, "b", ChannelOptions{})
		serves("with a channel without a budget", WebSocket)
		f.send(`{"type":"advice","transport":"ws"}`)
		synctest.Wait()
		b.Close()
		f.listener.breakAll()
		serves("without it", Poll)
	})
}

func TestConnEnds(t *testing.T) {
	overAll(t, func(t *testing.T, f *many, c *Conn) {
		f.add("a", "1")
		g := follow(t, c, "a", ChannelOptions{})
		time.Sleep(time.Second)
		c.Close()
		if got, err := rest(t.Context(), g); got != "1;" || !errors.Is(err, ErrConnClosed) {
			t.Errorf("got %q, %v", got, err)
		}
		for e, err := range c.Events(t.Context()) {
			t.Errorf("an event after all was read: %+v, %v", e, err)
		}
		if _, err := c.Follow("b", ChannelOptions{}); !errors.Is(err, ErrConnClosed) {
			t.Error(err)
		}
		if _, err := c.Publish(t.Context(), "a", []byte("2"), PublishOptions{ContentType: "application/json"}); !errors.Is(err, ErrConnClosed) {
			t.Error(err)
		}
	})
}

// TestEventsEndWithTheirContext: at once, however much there is to hand out, and
// with the context's error, also where that ends the Conn.
func TestEventsEndWithTheirContext(t *testing.T) {
	for name, events := range map[string]func(context.Context, *Conn, *Following) iter.Seq2[Event, error]{
		"of a channel": func(ctx context.Context, _ *Conn, f *Following) iter.Seq2[Event, error] { return f.Events(ctx) },
		"of all":       func(ctx context.Context, c *Conn, _ *Following) iter.Seq2[Event, error] { return c.Events(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, cl := newMany(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				c := cl.Connect(ctx, ConnOptions{})
				defer c.Close()
				records, _ := count(100)
				f.add("a", records...)
				g := follow(t, c, "a", ChannelOptions{})
				time.Sleep(time.Second)
				n, end := 0, error(nil)
				for _, err := range events(ctx, c, g) {
					if end = err; err != nil {
						break
					}
					n++
					cancel()
					<-c.done
				}
				if n != 1 || !errors.Is(end, context.Canceled) {
					t.Errorf("%d events, then %v; want one, and the context's error", n, end)
				}
			})
		})
	}
}

// TestConnPublishWithoutAnAnswer: on a WebSocket too, waiting has an end.
func TestConnPublishWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		f.late = time.Hour
		f.add("a")
		c := cl.Connect(t.Context(), ConnOptions{Transport: WebSocket})
		defer c.Close()
		follow(t, c, "a", ChannelOptions{})
		time.Sleep(time.Second)
		begun := time.Now()
		_, err := c.Publish(t.Context(), "a", []byte("1"), PublishOptions{ContentType: "application/json"})
		if d := time.Since(begun); !IsCode(err, twohop.CodeUnknownOutcome) || d > time.Minute {
			t.Errorf("%v after %v", err, d)
		}
	})
}

// TestConnRefused: what trying again does not mend ends it.
func TestConnRefused(t *testing.T) {
	overAll(t, func(t *testing.T, f *many, c *Conn) {
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"code":"token_invalid","message":"m","hint":"h"}`))
			return true
		}
		g := follow(t, c, "a", ChannelOptions{})
		if _, err := rest(t.Context(), g); !IsCode(err, twohop.CodeTokenInvalid) {
			t.Error(err)
		}
	})
}

// What nobody wants any more is not on the wire, and a connection with nothing
// to carry ends without a failure.
func TestConnLeavesWhatNobodyWants(t *testing.T) {
	for _, transport := range []Transport{WebSocket, SSE, LongPoll, Poll} {
		t.Run(transport.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, cl := newMany(t)
				failures := 0
				c := cl.Connect(t.Context(), ConnOptions{Transport: transport, OnRetry: func(string, error, time.Duration) { failures++ }})
				defer c.Close()
				f.add("a", "1")
				f.add("b", "1")
				a, b := follow(t, c, "a", ChannelOptions{}), follow(t, c, "b", ChannelOptions{})
				first(t, a)
				first(t, b)
				a.Close()
				<-time.After(time.Second)
				f.add("a", "2")
				f.add("b", "2")
				first(t, b)
				<-time.After(time.Minute)
				before := c.Status().BytesIn
				f.add("a", strings.Repeat("7", 10_000))
				<-time.After(time.Minute)
				if n := c.Status().BytesIn - before; n > 5000 {
					t.Errorf("%d bytes came of a channel that was closed", n)
				}
				b.Close()
				<-time.After(4 * time.Minute)
				if s := c.Status(); s.State != Idle || failures > 0 {
					t.Errorf("it is %v after %d failures", s.State, failures)
				}
			})
		})
	}
}
