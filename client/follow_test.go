package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"twohop"
)

var allTransports = []Transport{Auto, Poll, LongPoll, SSE}

// collect follows to the end and joins the records.
func collect(ctx context.Context, c *Client, o FollowOptions) (records string, events []Event, err error) {
	var b strings.Builder
	for e, err := range c.Follow(ctx, "a/b", o) {
		if err != nil {
			return b.String(), events, err
		}
		events = append(events, e)
		for _, r := range e.Records {
			b.Write(r)
			if e.JSON {
				b.WriteByte(';')
			}
		}
	}
	return b.String(), events, nil
}

func TestFollowDeliversWhatIsThereAndWhatComes(t *testing.T) {
	for _, transport := range allTransports {
		for _, contentType := range []string{"text/plain", "application/json"} {
			t.Run(transport.String()+" "+contentType, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, c := newFake(t, contentType, "1", "2", "3", "4", "5")
					time.AfterFunc(time.Minute, func() { f.add("6", "7", "8") })
					time.AfterFunc(2*time.Minute, f.end)
					got, events, err := collect(t.Context(), c, FollowOptions{Transport: transport})
					want := "12345678"
					if contentType == "application/json" {
						want = "1;2;3;4;5;6;7;8;"
					}
					if err != nil || got != want {
						t.Errorf("got %q, %v", got, err)
					}
					if last := events[len(events)-1]; !last.Closed || last.Offset != offsetOf(8) {
						t.Errorf("the last event is %+v", last)
					}
				})
			})
		}
	}
}

// Records that the caller keeps stay as they are, whatever comes after them.
func TestFollowGivesRecordsAway(t *testing.T) {
	for _, contentType := range []string{"application/json", "text/plain"} {
		for _, transport := range []Transport{Poll, LongPoll, SSE} {
			t.Run(fmt.Sprint(contentType, " over ", transport), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, c := newFake(t, contentType)
					f.pageRecords = 1
					var want strings.Builder
					for i := range 6 {
						record := strings.Repeat(fmt.Sprint(i+1), 1+i%2*100_000)
						f.add(record)
						want.WriteString(record)
					}
					f.end()
					var kept [][]byte
					for event, err := range c.Follow(t.Context(), "a", FollowOptions{Transport: transport, ContentType: contentType}) {
						if err != nil {
							t.Fatal(err)
						}
						kept = append(kept, event.Records...)
					}
					if got := string(bytes.Join(kept, nil)); got != want.String() {
						t.Errorf("%d bytes are not the %d that were published", len(got), want.Len())
					}
				})
			})
		}
	}
}

func TestFollowBeginsWhereItIsTold(t *testing.T) {
	f := func(from From, query, want string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "text/plain", "1", "2", "3")
			f.before = func(_ http.ResponseWriter, r *http.Request) bool {
				q := r.URL.Query()
				if q.Has("tail_records") || q.Has("since") { // the fake has neither
					q.Set("offset", offsetOf(2))
					r.URL.RawQuery = q.Encode()
				}
				return false
			}
			f.end()
			got, _, err := collect(t.Context(), c, FollowOptions{From: from, Transport: Poll})
			if got != want || err != nil {
				t.Errorf("%v: %q, %v", from, got, err)
			}
			if q := f.asked()[0]; q != "GET "+query {
				t.Errorf("%v: asked %q", from, q)
			}
		})
	}
	f(Start(), "offset=-1", "123")
	f(Now(), "offset=now", "")
	f(At(offsetOf(1)), "offset="+offsetOf(1), "23")
	f(Tail(1), "tail_records=1", "3")
	f(Since(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), "since=2026-01-02T03%3A04%3A05Z", "3")
}

// TestFollowCutAnywhere breaks each connection after k bytes, for every k, the
// first few or all of them: what arrives is the same.
func TestFollowCutAnywhere(t *testing.T) {
	for _, transport := range allTransports {
		for _, contentType := range []string{"text/plain", "application/json"} {
			t.Run(transport.String()+" "+contentType, func(t *testing.T) {
				for k := 0; ; k++ {
					cuts := 0
					synctest.Test(t, func(t *testing.T) { cuts = followCut(t, transport, contentType, k) })
					if cuts == 0 || t.Failed() {
						if k < 300 {
							t.Errorf("no connection was cut after %d bytes", k)
						}
						return
					}
				}
			})
		}
	}
}

// followCut follows over connections of which four in a row break after k
// bytes, and returns how many broke.
func followCut(t *testing.T, transport Transport, contentType string, k int) (cuts int) {
	f, c := newFake(t, contentType, `"a"`, `"b"`, `"c"`, `"d"`, `"e"`)
	f.cut = func(n int) int {
		if n < 4 {
			return k
		}
		return -1
	}
	f.end()
	got, _, err := collect(t.Context(), c, FollowOptions{Transport: transport})
	want := strings.Join(f.content(), "")
	if contentType == "application/json" {
		want = strings.Join(f.content(), ";") + ";"
	}
	if err != nil || got != want {
		t.Errorf("cut after %d bytes: got %q, %v", k, got, err)
	}
	return f.listener.dialed() - 1
}

func TestFollowSurvivesAServerThatIsAway(t *testing.T) {
	for _, transport := range allTransports {
		t.Run(transport.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFake(t, "text/plain", "1")
				f.listener.setDown(true)
				time.AfterFunc(time.Hour, func() { f.listener.setDown(false) })
				time.AfterFunc(2*time.Hour, f.end)
				tries := 0
				got, _, err := collect(t.Context(), c, FollowOptions{Transport: transport, OnRetry: func(_ error, d time.Duration) {
					tries++
					if d > time.Second {
						t.Errorf("try %d waits %v, longer than BackoffMax", tries, d)
					}
				}})
				if got != "1" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
				// The mean wait is half of BackoffMax.
				if tries < 6000 || tries > 9000 {
					t.Errorf("%d tries in an hour", tries)
				}
			})
		})
	}
}

func TestFollowObeysRetryAfter(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "text/plain", "1")
			begun, refused := time.Now(), 0
			f.before = func(w http.ResponseWriter, _ *http.Request) bool {
				if time.Since(begun) >= 30*time.Second {
					return false
				}
				refused++
				w.Header().Set("Retry-After", "30")
				w.WriteHeader(status)
				return true
			}
			f.end()
			if got, _, err := collect(t.Context(), c, FollowOptions{}); got != "1" || err != nil || refused != 1 {
				t.Errorf("%d: got %q, %v, refused %d times", status, got, err, refused)
			}
		})
	}
}

func TestFollowEndsWithWhatTryingDoesNotMend(t *testing.T) {
	f := func(status int, body string, want twohop.Code) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "text/plain")
			f.before = func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
				return true
			}
			if _, _, err := collect(t.Context(), c, FollowOptions{}); !IsCode(err, want) {
				t.Errorf("%d: %v", status, err)
			}
		})
	}
	f(404, "", twohop.CodeNotFound)
	f(410, "", twohop.CodeGone)
	f(400, `{"code":"invalid_offset","message":"m","hint":"h"}`, twohop.CodeInvalidOffset)
	f(403, "no", twohop.CodeInvalidRequest)
}

func TestFollowWaitsForAChannel(t *testing.T) {
	for _, transport := range allTransports {
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "")
			f.mu.contentType = "text/plain"
			looks := 0
			time.AfterFunc(time.Minute, func() { f.add("1"); f.end() })
			got, _, err := collect(t.Context(), c, FollowOptions{Transport: transport, Wait: true, OnRetry: func(err error, _ time.Duration) {
				looks++
				if !IsCode(err, twohop.CodeNotFound) {
					t.Error(err)
				}
			}})
			if got != "1" || err != nil || looks < 30 || looks > 120 {
				t.Errorf("%v: got %q, %v after %d looks", transport, got, err, looks)
			}
		})
	}
}

func TestFollowGoesOnAfterAReset(t *testing.T) {
	f := func(reason, want string, next string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "text/plain", "1", "2", "3", "4")
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Get("offset") != "old" {
					return false
				}
				w.Header().Set("Stream-Reset", reason)
				w.WriteHeader(http.StatusGone)
				_, _ = fmt.Fprintf(w, `{"code":"reset","message":"m","hint":"h","reason":%q,"start":%q,"tail":%q,"missed":7}`, reason, offsetOf(1), offsetOf(3))
				return true
			}
			f.end()
			got, events, err := collect(t.Context(), c, FollowOptions{From: At("old")})
			if got != want || err != nil {
				t.Errorf("%s: got %q, %v", reason, got, err)
			}
			wantReset := &Reset{Reason: twohop.ResetReason(reason), Start: offsetOf(1), Tail: offsetOf(3), Missed: 7}
			if d := cmp.Diff(wantReset, events[0].Reset); d != "" || events[0].Offset != next {
				t.Errorf("%s: next %s, %s", reason, events[0].Offset, d)
			}
		})
	}
	f("trimmed", "234", offsetOf(1))
	f("epoch", "234", offsetOf(1))
	f("ahead", "4", offsetOf(3))
}

// TestFollowTakesResetEvents reads resets in the middle of an SSE response.
func TestFollowTakesResetEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain", "1", "2", "3", "4")
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("live") != "sse" || r.URL.Query().Get("offset") != offsetOf(2) {
				return false
			}
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Stream-SSE-Data-Encoding", "base64")
			_, _ = fmt.Fprintf(w, "event: reset\ndata:{\"reason\":\"trimmed\",\"start\":%q,\"missed\":1}\n\n", offsetOf(3))
			_, _ = fmt.Fprintf(w, "event: data\ndata:NA==\n\nevent: news\ndata: 1\n\nevent: control\ndata:{\"streamNextOffset\":%q,\"streamClosed\":true}\n\n", offsetOf(4))
			return true
		}
		got, events, err := collect(t.Context(), c, FollowOptions{Transport: SSE})
		if got != "124" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if r := events[1].Reset; r == nil || r.Missed != 1 || events[1].Offset != offsetOf(3) {
			t.Errorf("the second event is %+v", events[1])
		}
	})
}

// TestFollowTellsOfADeletedChannel: it is told once, and of a successor the
// server says that it is another log.
func TestFollowTellsOfADeletedChannel(t *testing.T) {
	for _, transport := range allTransports {
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "text/plain", "1")
			begun := time.Now()
			f.before = func(w http.ResponseWriter, _ *http.Request) bool {
				if d := time.Since(begun); d < time.Minute || d > 2*time.Minute {
					return false
				}
				w.WriteHeader(http.StatusNotFound)
				return true
			}
			time.AfterFunc(90*time.Second, f.listener.breakAll)
			time.AfterFunc(time.Hour, f.end)
			resets := 0
			_, events, err := collect(t.Context(), c, FollowOptions{Transport: transport, Wait: true})
			for _, e := range events {
				if e.Reset != nil && e.Reset.Reason == twohop.ResetDeleted {
					resets++
				}
			}
			if resets != 1 || err != nil {
				t.Errorf("%v: told %d times, %v", transport, resets, err)
			}
		})
	}
}

func TestFollowDropsAConnectionThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain", "1")
		stuck := true
		begun := time.Now()
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("live") != "sse" || !stuck {
				return false
			}
			stuck = false
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "event: control\ndata:{\"streamNextOffset\":\""+offsetOf(1)+"\"}\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done() // no heartbeats
			return true
		}
		f.add("2")
		f.end()
		got, _, err := collect(t.Context(), c, FollowOptions{Transport: SSE, From: At(offsetOf(1)), ContentType: "text/plain"})
		if d := time.Since(begun); got != "2" || err != nil || d < 45*time.Second || d > 47*time.Second {
			t.Errorf("got %q, %v after %v", got, err, d)
		}
	})
}

func TestFollowKeepsAConnectionThatSaysHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain", "1")
		time.AfterFunc(time.Hour, f.end)
		if _, _, err := collect(t.Context(), c, FollowOptions{Transport: SSE}); err != nil {
			t.Error(err)
		}
		if n := len(f.asked()); n != 2 {
			t.Errorf("%d requests in a quiet hour, want a page and an SSE response: %q", n, f.asked())
		}
	})
}

// A server that says less often that it is there says how often.
func TestFollowKeepsAConnectionWithSlowHeartbeats(t *testing.T) {
	slow := func(w http.ResponseWriter, r *http.Request, kind, begin string) bool {
		if kind != "sse" {
			return false
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Stream-Heartbeat", "1m0s")
		for say := begin; ; say = ": \n\n" {
			_, _ = io.WriteString(w, say)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(time.Minute):
			case <-r.Context().Done():
				return true
			}
		}
	}
	t.Run("one channel", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "text/plain", "1")
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				return slow(w, r, r.URL.Query().Get("live"), "event: control\ndata:{\"streamNextOffset\":\""+offsetOf(1)+"\"}\n\n")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, _, _ = collect(ctx, c, FollowOptions{Transport: SSE, From: At(offsetOf(1)), ContentType: "text/plain"})
			if n := len(f.asked()); n != 1 {
				t.Errorf("%d requests in a quiet hour", n)
			}
		})
	})
	t.Run("many channels", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, cl := newMany(t)
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				return slow(w, r, "sse", `data:[{"type":"subscribed","channel":"a","offset":"`+offsetOf(1)+`","upToDate":true}]`+"\n\n")
			}
			c := cl.Connect(t.Context(), ConnOptions{Transport: SSE})
			defer c.Close()
			follow(t, c, "a", ChannelOptions{From: At(offsetOf(1))})
			time.Sleep(time.Hour)
			if n := len(f.asked()); n != 1 {
				t.Errorf("%d requests in a quiet hour", n)
			}
		})
	})
}

// What the server itself refuses it refuses over every transport, and says
// nothing about the path.
func TestRefusalDoesNotBlockSSE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain", "1")
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"code":"invalid_offset","message":"m","hint":"h"}`)
			return true
		}
		_, _, err := collect(t.Context(), c, FollowOptions{From: At("x"), ContentType: "text/plain"})
		if !IsCode(err, twohop.CodeInvalidOffset) || len(f.asked()) != 1 {
			t.Errorf("%v after %q", err, f.asked())
		}
		if best := c.path.best(SSE, true); best != SSE {
			t.Errorf("others take %v from now on", best)
		}
	})
}

// TestAutoFallsBackToLongPoll follows through a path that holds SSE up or does
// not have it.
func TestAutoFallsBackToLongPoll(t *testing.T) {
	f := func(what string, sse func(w http.ResponseWriter, r *http.Request)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "text/plain", "1", "2", "3")
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Get("live") != "sse" {
					return false
				}
				sse(w, r)
				return true
			}
			time.AfterFunc(time.Minute, func() { f.add("4"); f.end() })
			got, _, err := collect(t.Context(), c, FollowOptions{})
			if got != "1234" || err != nil {
				t.Errorf("%s: got %q, %v", what, got, err)
			}
		})
	}
	f("held up", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	f("refused", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotAcceptable) })
	f("not SSE", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })
	f("cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
}

// TestFollowOfAServerThatIsAboutToStop: live reads that end at once are not
// asked for again at once.
func TestFollowOfAServerThatIsAboutToStop(t *testing.T) {
	for _, transport := range []Transport{LongPoll, SSE} {
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "text/plain", "1")
			begun := time.Now()
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				live := r.URL.Query().Get("live")
				if live == "" || time.Since(begun) > 10*time.Second {
					return false
				}
				w.Header().Set("Stream-Next-Offset", offsetOf(1))
				w.Header().Set("Stream-Up-To-Date", "true")
				if live == "long-poll" {
					w.WriteHeader(http.StatusNoContent)
					return true
				}
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "event: control\ndata:{\"streamNextOffset\":\""+offsetOf(1)+"\",\"upToDate\":true}\n\n")
				return true
			}
			time.AfterFunc(time.Minute, f.end)
			if _, _, err := collect(t.Context(), c, FollowOptions{Transport: transport}); err != nil {
				t.Error(err)
			}
			if n := len(f.asked()); n > 60 {
				t.Errorf("%v: %d requests in ten seconds", transport, n)
			}
		})
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	for _, transport := range allTransports {
		synctest.Test(t, func(t *testing.T) {
			_, c := newFake(t, "text/plain", "1")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, _, err := collect(ctx, c, FollowOptions{Transport: transport}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v: %v", transport, err)
			}
		})
	}
}

// Also if more was read already.
func TestFollowEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "application/json", numbered(100, "%d")...)
		f.pageRecords = 1
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := 0
		for _, err := range c.Follow(ctx, "a", FollowOptions{Transport: SSE, ContentType: "application/json"}) {
			if n++; err == nil {
				cancel()
			} else if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if n != 2 {
			t.Errorf("%d events, want one and the context's error", n)
		}
	})
}

// A loop that panics leaves nothing behind: the bubble sees it.
func TestFollowEndsWithAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain", "1")
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("live") != "sse" {
				return false
			}
			w.WriteHeader(http.StatusNotImplemented) // so that it looks again at times
			return true
		}
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		time.AfterFunc(time.Minute, func() { f.add("2") })
		for event, err := range c.Follow(context.Background(), "a", FollowOptions{}) {
			if err != nil || event.Offset == offsetOf(2) {
				panic("in the loop")
			}
		}
	})
}

func TestFollowStopsWhenTheCallerDoes(t *testing.T) {
	for _, transport := range allTransports {
		synctest.Test(t, func(t *testing.T) {
			_, c := newFake(t, "text/plain", "1", "2", "3")
			n := 0
			for _, err := range c.Follow(t.Context(), "a/b", FollowOptions{Transport: transport}) {
				if err != nil {
					t.Error(err)
				}
				if n++; n == 2 {
					break
				}
			}
			if n != 2 {
				t.Errorf("%v: %d events", transport, n)
			}
		})
	}
}

func TestPollAsksForNewsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain", "1")
		unchanged := 0
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("ETag", `"e1"`)
			if r.Header.Get("If-None-Match") != `"e1"` {
				return false
			}
			if unchanged++; unchanged > 10 {
				return false
			}
			w.WriteHeader(http.StatusNotModified)
			return true
		}
		time.AfterFunc(30*time.Second, f.end)
		begun := time.Now()
		got, _, err := collect(t.Context(), c, FollowOptions{Transport: Poll, PollInterval: time.Second})
		if got != "1" || err != nil || unchanged < 10 {
			t.Errorf("got %q, %v, unchanged %d times in %v", got, err, unchanged, time.Since(begun))
		}
		if n := len(f.asked()); n < 27 || n > 36 {
			t.Errorf("%d polls in thirty seconds", n)
		}
	})
}

// TestFollowClimbsBack: SSE that did not get through is looked for again while
// long poll serves, and used when it does.
func TestFollowClimbsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain")
		begun := time.Now()
		looks, streams := 0, 0
		f.before = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("live") != "sse" {
				return false
			}
			if time.Since(begun) < 5*time.Minute {
				looks++
				<-r.Context().Done() // held up
				return true
			}
			streams++
			return false
		}
		var want strings.Builder
		go func() {
			for i := range 1200 {
				f.add(fmt.Sprintf("%d;", i))
				time.Sleep(time.Second)
			}
			f.end()
		}()
		for i := range 1200 {
			fmt.Fprintf(&want, "%d;", i)
		}
		got, _, err := collect(t.Context(), c, FollowOptions{})
		if got != want.String() || err != nil {
			t.Errorf("got %d of %d bytes, %v", len(got), want.Len(), err)
		}
		if looks != 2 || streams != 2 { // the last look and the stream itself
			t.Errorf("%d looks in vain, %d streams", looks, streams)
		}
		asked := f.asked()
		if last := asked[len(asked)-1]; !strings.Contains(last, "live=sse") {
			t.Errorf("the last request is %s", last)
		}
		if n := len(asked); n < 300 || n > 900 {
			t.Errorf("%d requests: it took SSE too early or too late", n)
		}
	})
}

// TestFollowFollowsAdvice of a header and of an event, to polls and back, and
// states its budget.
func TestFollowFollowsAdvice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain")
		begun := time.Now()
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("budget") != "5000ms" {
				t.Errorf("no budget in %s", r.URL)
			}
			if time.Since(begun) >= time.Minute {
				w.Header().Set("Stream-Advice", "transport=sse")
				return false
			}
			if r.URL.Query().Get("live") == "sse" {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = fmt.Fprint(w, ": hello\n\nevent: advice\ndata:{\"transport\":\"poll\",\"interval\":4000}\n\n")
				return true
			}
			return false
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _, _ = collect(ctx, c, FollowOptions{Budget: 5 * time.Second})
		}()
		time.Sleep(time.Minute)
		if n := len(f.asked()); n < 13 || n > 20 {
			t.Errorf("%d polls in a minute: %q", n, f.asked())
		}
		time.Sleep(time.Minute)
		before := len(f.asked())
		time.Sleep(time.Minute)
		if asked := f.asked(); len(asked) != before || !strings.Contains(asked[before-1], "live=sse") {
			t.Errorf("advised SSE: %q", asked[before-1:])
		}
		cancel()
		<-done
	})
}

// TestFollowObeysADrain: it comes back when it was told to.
func TestFollowObeysADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain", "1")
		begun := time.Now()
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("live") != "sse" || time.Since(begun) >= 7*time.Second {
				return false
			}
			f.add("2")
			f.end()
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = fmt.Fprintf(w, "event: control\ndata:{\"streamNextOffset\":%q}\n\nevent: drain\ndata:{\"delay\":7000}\n\n", offsetOf(1))
			return true
		}
		got, _, err := collect(t.Context(), c, FollowOptions{Transport: SSE})
		if got != "12" || err != nil || time.Since(begun) != 7*time.Second || len(f.asked()) != 3 {
			t.Errorf("got %q, %v after %v, asked %q", got, err, time.Since(begun), f.asked())
		}
	})
}

func TestAdviceOfTheWire(t *testing.T) {
	f := func(header string, want Advice) {
		t.Helper()
		if got := headerAdvice(http.Header{"Stream-Advice": {header}}); got != want {
			t.Errorf("%q is %v", header, got)
		}
	}
	f("", Advice{})
	f("transport=poll; interval=3s", Advice{Poll, 3 * time.Second})
	f("transport=poll", Advice{Poll, time.Second})
	f("transport=poll; interval=1ms", Advice{Poll, time.Second})
	f("interval=9s;transport=sse;new=1", Advice{Transport: SSE})
	f("transport=ws", Advice{Transport: WebSocket})
	f("transport=pigeon; interval=3s", Advice{})
	f("transport=auto", Advice{})
}
