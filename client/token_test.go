package client

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"twohop"
)

// numberedTokens is a Header with another token each time.
func numberedTokens() func() http.Header {
	n := 0
	return func() http.Header {
		n++
		return http.Header{"Authorization": {fmt.Sprintf("Bearer t%d", n)}}
	}
}

// TestTokenIsRenewed: on the connection that there is, before it runs out.
func TestTokenIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		cl.opts.Header = numberedTokens()
		f.expires = 100 * time.Second
		f.add("a", "1")
		c := cl.Connect(t.Context(), ConnOptions{Transport: WebSocket})
		defer c.Close()
		g := follow(t, c, "a", ChannelOptions{})
		time.Sleep(170 * time.Second)
		f.mu.Lock()
		tokens := f.mu.tokens
		f.mu.Unlock()
		if d := cmp.Diff([]string{"t1", "t2", "t3"}, tokens); d != "" {
			t.Error(d)
		}
		f.add("a", "2")
		f.end("a")
		if got, err := rest(t.Context(), g); got != "1;2;" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if d := cmp.Diff([]string{"ws"}, f.asked()); d != "" {
			t.Errorf("it connected again:\n%s", d)
		}
	})
}

// TestTokenThatDoesNotRunOut is told once.
func TestTokenThatDoesNotRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		cl.opts.Header = numberedTokens()
		f.add("a", "1")
		c := cl.Connect(t.Context(), ConnOptions{Transport: WebSocket})
		defer c.Close()
		follow(t, c, "a", ChannelOptions{})
		time.Sleep(24 * time.Hour)
		if n := f.framesGot("token"); n != 1 {
			t.Errorf("%d tokens, want 1", n)
		}
	})
}

// TestTokenRefused: the connection is the server's to end, and what goes over it
// goes on.
func TestTokenRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, cl := newMany(t)
		cl.opts.Header = numberedTokens()
		f.expires = -1
		f.add("a", "1")
		c := cl.Connect(t.Context(), ConnOptions{Transport: WebSocket})
		defer c.Close()
		g := follow(t, c, "a", ChannelOptions{})
		time.Sleep(time.Minute)
		f.add("a", "2")
		f.end("a")
		if got, err := rest(t.Context(), g); got != "1;2;" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if d := cmp.Diff([]string{"ws"}, f.asked()); d != "" {
			t.Errorf("it connected again:\n%s", d)
		}
		if err := c.Status().LastError; !IsCode(err, twohop.CodeTokenInvalid) {
			t.Errorf("the status tells %v", err)
		}
	})
}

func TestBearer(t *testing.T) {
	f := func(value, want string) {
		t.Helper()
		if got := bearer(http.Header{"Authorization": {value}}); got != want {
			t.Errorf("%q gives %q, want %q", value, got, want)
		}
	}
	f("Bearer abc", "abc")
	f("bearer  abc", "abc")
	f("Basic abc", "")
	f("abc", "")
	f("", "")
}
