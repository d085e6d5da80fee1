package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"twohop"
)

// changing are the calls that change something.
var changing = map[string]func(context.Context, *Client) error{
	"publish": func(ctx context.Context, c *Client) error {
		_, err := c.Publish(ctx, "a/b", []byte("x"), PublishOptions{})
		return err
	},
	"create": func(ctx context.Context, c *Client) error {
		_, err := c.Create(ctx, "a/b", CreateOptions{})
		return err
	},
	"delete": func(ctx context.Context, c *Client) error { return c.Delete(ctx, "a/b") },
	"close":  func(ctx context.Context, c *Client) error { return c.CloseChannel(ctx, "a/b") },
}

// TestRedirects: a redirect that would make another method of a request is an
// error that says where it leads.
func TestRedirects(t *testing.T) {
	for name, call := range changing {
		for _, status := range []int{301, 302, 303, 307, 308} {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFake(t, "")
				var got []string
				f.before = func(w http.ResponseWriter, r *http.Request) bool {
					got = append(got, r.Method+" "+r.Host)
					if r.Host == "fake" {
						http.Redirect(w, r, "http://other"+r.URL.Path, status)
						return true
					}
					w.Header().Set("Stream-Next-Offset", offsetOf(1))
					w.WriteHeader(http.StatusNoContent)
					return true
				}
				err := call(t.Context(), c)
				switch {
				case status >= 307:
					if err != nil || len(got) != 2 || got[1] != strings.Replace(got[0], "fake", "other", 1) {
						t.Errorf("%s, %d: %v, requests %q", name, status, err, got)
					}
				case !IsCode(err, twohop.CodeInvalidRequest) || !strings.Contains(err.Error(), "http://other/v1/stream/a/b") || len(got) != 1:
					t.Errorf("%s, %d: %v, requests %q", name, status, err, got)
				}
			})
		}
	}
}

// TestRedirectsAreTheCallersToo: what its HTTP client says of redirects holds,
// and the client stays as it is.
func TestRedirectsAreTheCallersToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fakes := newFake(t, "text/plain")
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path+"/x", http.StatusTemporaryRedirect)
			return true
		}
		errOwn := errors.New("no further")
		tries := 0
		h := &http.Client{Transport: fakes.opts.HTTPClient.Transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			if tries++; tries == 3 {
				return errOwn
			}
			return nil
		}}
		c, err := New("http://fake", Options{HTTPClient: h})
		if err != nil {
			t.Fatal(err)
		}
		defer c.calls.CloseIdleConnections()
		if err := c.Delete(t.Context(), "a/b"); !errors.Is(err, errOwn) || tries != 3 {
			t.Errorf("%v after %d redirects", err, tries)
		}
		if err := h.CheckRedirect(nil, nil); err != nil || tries != 4 {
			t.Error("the caller's client was changed")
		}
		if err := fakes.Delete(t.Context(), "a/b"); err == nil || !strings.Contains(err.Error(), "10 redirects") {
			t.Errorf("without end: %v", err)
		}
	})
}

// page is what a proxy may answer to anything.
func page(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<html>log in")
}

// TestAnswersOfSomethingElse: that an answer is a success does not make it one
// of a server of channels.
func TestAnswersOfSomethingElse(t *testing.T) {
	for name, call := range changing {
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "text/plain")
			f.before = func(w http.ResponseWriter, _ *http.Request) bool { page(w); return true }
			want := twohop.CodeUnavailable
			if name == "publish" {
				want = twohop.CodeUnknownOutcome
			}
			if err := call(t.Context(), c); !IsCode(err, want) {
				t.Errorf("%s: %v", name, err)
			}
			if info, err := c.Head(t.Context(), "a/b"); !IsCode(err, twohop.CodeUnavailable) {
				t.Errorf("HEAD: %+v, %v", info, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "")
		requests := 0
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			if requests++; requests%3 != 0 {
				page(w)
				return true
			}
			return false
		}
		want := numbered(10, "%d\n")
		o := PublisherOptions{ContentType: "text/plain", Lines: true, MaxBatchRecords: 1, Create: &CreateOptions{}}
		err := publishAll(t, c, o, want)
		if d := cmp.Diff(want, f.content()); d != "" || err != nil {
			t.Errorf("a Publisher: %v\n%s", err, d)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a producer repeats what is long ago
		f, c := newFake(t, "text/plain")
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Producer-Seq", "100")
			w.Header().Set("Stream-Duplicate", "true")
			w.WriteHeader(http.StatusNoContent)
			return true
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		p, err := c.NewPublisher(ctx, "a/b", PublisherOptions{ProducerID: "p"})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.Publish(ctx, []byte("x")), p.Close(ctx)); err != nil {
			t.Error(err)
		}
	})
}

// What cannot be sent is told at once: no other try mends it.
func TestHeadersThatCannotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := newFake(t, "application/json")
		c.opts.Header = func() http.Header { return http.Header{"Authorization": {"Bearer token\n"}} }
		wrong := func(what string, err error) {
			t.Helper()
			if !IsCode(err, twohop.CodeInvalidHeader) {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, err := c.Publish(t.Context(), "c", []byte("1"), PublishOptions{ContentType: "application/json", IdempotencyKey: "k"})
		wrong("publish", err)
		for _, err := range c.Follow(t.Context(), "c", FollowOptions{}) {
			wrong("follow", err)
		}
		for _, transport := range connTransports {
			conn := c.Connect(t.Context(), ConnOptions{Transport: transport})
			_, err := rest(t.Context(), follow(t, conn, "c", ChannelOptions{}))
			wrong(transport.String(), err)
			conn.Close()
		}
	})
}

// An error that says that nobody knows is no proof that nothing happened.
func TestKeyedPublishOfUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "application/json")
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"code":"unknown_outcome","message":"m","hint":"h"}`)
			return true
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := c.Publish(ctx, "c", []byte("1"), PublishOptions{ContentType: "application/json", IdempotencyKey: "k"})
		if !IsCode(err, twohop.CodeUnknownOutcome) {
			t.Errorf("got %v", err)
		}
	})
}
