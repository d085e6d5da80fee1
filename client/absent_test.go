package client

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Who begins now with a channel that is not there yet gets all of it: it comes
// after the answer that there is none.
func TestNowInAnAbsentChannelIsItsStart(t *testing.T) {
	overAll(t, func(t *testing.T, f *many, c *Conn) {
		g := follow(t, c, "a", ChannelOptions{From: Now(), Wait: true})
		time.AfterFunc(5*time.Second+time.Millisecond, func() {
			f.add("a", "1", "2")
			f.end("a")
		})
		if got, err := rest(t.Context(), g); got != "1;2;" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "")
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			if !f.mu.exists {
				w.WriteHeader(http.StatusNotFound)
				_, _ = io.WriteString(w, `{"code":"not_found","message":"m","hint":"h"}`)
			}
			return !f.mu.exists
		}
		time.AfterFunc(5*time.Second, func() {
			f.mu.Lock()
			f.mu.contentType = "application/json"
			f.mu.Unlock()
			f.add("1", "2")
			f.end()
		})
		var got strings.Builder
		for e, err := range c.Follow(t.Context(), "c", FollowOptions{From: Now(), Wait: true}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range e.Records {
				got.WriteString(string(r) + ";")
			}
		}
		if got.String() != "1;2;" {
			t.Errorf("got %q", got.String())
		}
	})
}

// A channel that is not there makes requests for all the others, so they become
// few; and it is found all the same.
func TestAbsentChannelsAreLookedForLessAndLess(t *testing.T) {
	for _, transport := range []Transport{SSE, LongPoll, Poll} {
		t.Run(transport.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, cl := newMany(t)
				c := cl.Connect(t.Context(), ConnOptions{Transport: transport, PollInterval: time.Minute})
				defer c.Close()
				f.add("here", "1")
				follow(t, c, "here", ChannelOptions{})
				none := follow(t, c, "none", ChannelOptions{Wait: true})
				<-time.After(2 * time.Minute)
				if n := len(f.asked()); n > 50 {
					t.Errorf("%d requests in two minutes", n)
				}
				f.add("none", "1")
				f.end("none")
				if got, err := rest(t.Context(), none); got != "1;" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			})
		})
	}
}

// A channel that was looked for at the pace of polls is looked for at once by
// another transport.
func TestAbsentChannelAfterAChangeOfTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		c := cl.Connect(t.Context(), ConnOptions{Transport: Poll, PollInterval: time.Hour})
		defer c.Close()
		f.add("here", "1")
		follow(t, c, "here", ChannelOptions{})
		none := follow(t, c, "none", ChannelOptions{Wait: true})
		<-time.After(time.Minute)
		f.add("none", "1")
		f.end("none")
		c.SetTransport(WebSocket)
		begun := time.Now()
		if got, err := rest(t.Context(), none); got != "1;" || err != nil || time.Since(begun) > 10*time.Second {
			t.Errorf("got %q, %v after %v", got, err, time.Since(begun))
		}
	})
}
