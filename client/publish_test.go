package client

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"twohop"
)

// losing makes a server lose its answer to the first publish, whose key it knows
// for five minutes.
func losing(f *fake, lose func(http.ResponseWriter)) {
	var first time.Time
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		if time.Since(first) >= 5*time.Minute {
			body, _ := io.ReadAll(r.Body)
			f.add(string(body))
		}
		if first.IsZero() {
			first = time.Now()
			lose(w)
			return true
		}
		w.Header().Set("Stream-Next-Offset", offsetOf(1))
		w.WriteHeader(http.StatusNoContent)
		return true
	}
}

// TestKeyedPublishEndsBeforeItsKeyDoes: a server that has forgotten the key would
// take another try for another publish.
func TestKeyedPublishEndsBeforeItsKeyDoes(t *testing.T) {
	o := PublishOptions{ContentType: "application/json", IdempotencyKey: "k"}
	ended := func(t *testing.T, begun time.Time, err error) {
		t.Helper()
		if d := time.Since(begun); !IsCode(err, twohop.CodeUnknownOutcome) || d != keyTime {
			t.Errorf("%v after %v", err, d)
		}
	}
	loses := map[string]func(*fake, http.ResponseWriter){
		"the server is away": func(f *fake, _ http.ResponseWriter) {
			f.listener.setDown(true)
			time.AfterFunc(6*time.Minute, func() { f.listener.setDown(false) })
			panic(http.ErrAbortHandler)
		},
		"a proxy asks for patience": func(_ *fake, w http.ResponseWriter) {
			w.Header().Set("Retry-After", "300")
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	for why, lose := range loses {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFake(t, "application/json")
				losing(f, func(w http.ResponseWriter) { lose(f, w) })
				begun := time.Now()
				_, err := c.Publish(t.Context(), "c", []byte("1"), o)
				ended(t, begun, err)
				if n := len(f.content()); n != 1 {
					t.Errorf("it took effect %d times", n)
				}
			})
		})
	}
	t.Run("a WebSocket is silent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, cl := newMany(t)
			f.late = time.Hour
			f.add("a")
			c := cl.Connect(t.Context(), ConnOptions{Transport: WebSocket})
			defer c.Close()
			follow(t, c, "a", ChannelOptions{})
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			begun := time.Now()
			_, err := c.Publish(ctx, "a", []byte("1"), o)
			ended(t, begun, err)
		})
	})
}

// TestKeyedPublishThatNetHTTPRepeats: it does so where a connection breaks that
// was used before, and fails with what became of the last try alone.
func TestKeyedPublishThatNetHTTPRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "application/json")
		losing(f, func(http.ResponseWriter) {
			f.listener.setDown(true)
			panic(http.ErrAbortHandler)
		})
		o := CreateOptions{ContentType: "application/json"}
		if _, err := c.Create(t.Context(), "c", o); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := c.Publish(ctx, "c", []byte("1"), PublishOptions{ContentType: "application/json", IdempotencyKey: "k"})
		if n := len(f.content()); n != 1 || !IsCode(err, twohop.CodeUnknownOutcome) {
			t.Errorf("it took effect %d times, and the error is %v", n, err)
		}
	})
}
