package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"twohop"
)

// publishAll publishes records and closes.
func publishAll(t *testing.T, c *Client, o PublisherOptions, records []string) error {
	t.Helper()
	p, err := c.NewPublisher(t.Context(), "a/b", o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := p.Publish(t.Context(), []byte(r)); err != nil {
			return errors.Join(err, p.Close(t.Context()))
		}
	}
	return p.Close(t.Context())
}

func numbered(n int, format string) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf(format, i))
	}
	return out
}

func TestPublisherPublishesInOrder(t *testing.T) {
	f := func(contentType, format string, o PublisherOptions) {
		t.Helper()
		o.ContentType = contentType
		for _, o.MaxInFlight = range []int{1, 5} {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFake(t, contentType)
				want := numbered(1000, format)
				var acked int
				o.OnAck = func(a Ack) {
					acked += a.Records
					if a.Level != twohop.LevelDisk.String() || a.Offset != offsetOf(acked) {
						t.Errorf("ack %+v after %d records", a, acked)
					}
				}
				if err := publishAll(t, c, o, want); err != nil {
					t.Error(err)
				}
				if d := cmp.Diff(want, f.content()); d != "" || acked != 1000 {
					t.Errorf("%d acknowledged, %s", acked, d)
				}
			})
		}
	}
	f("text/plain", "line %d\n", PublisherOptions{Lines: true, MaxBatchBytes: 100})
	f("text/plain", "line %d\n", PublisherOptions{Lines: true, MaxBatchRecords: 7})
	f("text/plain", "no line %d", PublisherOptions{})
	f("application/json", `{"n":%d}`, PublisherOptions{MaxBatchBytes: 100})
}

// TestPublisherOverConnectionsThatBreak breaks connections in the request and
// in the answer: nothing is lost, and nothing is there twice.
func TestPublisherOverConnectionsThatBreak(t *testing.T) {
	for _, inFlight := range []int{1, 5} {
		for k := range 250 {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFake(t, "text/plain")
				f.cut = func(n int) int {
					if n%2 == 0 {
						return k // of the answer: at 0 none of it arrives
					}
					return -1
				}
				posts := 0
				f.before = func(_ http.ResponseWriter, _ *http.Request) bool {
					if posts++; posts%3 == 0 {
						panic(http.ErrAbortHandler) // before it takes effect
					}
					return false
				}
				if inFlight > 1 {
					f.before = nil
				}
				want := numbered(40, "%d\n")
				err := publishAll(t, c, PublisherOptions{ContentType: "text/plain", Lines: true, MaxBatchRecords: 3, MaxInFlight: inFlight}, want)
				if d := cmp.Diff(want, f.content()); d != "" || err != nil {
					t.Fatalf("cut after %d bytes: %v\n%s", k, err, d)
				}
			})
			if t.Failed() {
				return
			}
		}
	}
}

// TestPublisherBatchesUnderLoad: what comes while a request is under way goes
// out together in the next one.
func TestPublisherBatchesUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain")
		f.before = func(http.ResponseWriter, *http.Request) bool {
			<-time.After(time.Second)
			return false
		}
		p, err := c.NewPublisher(t.Context(), "a/b", PublisherOptions{ContentType: "text/plain", Lines: true})
		if err != nil {
			t.Fatal(err)
		}
		publish := func(r string) {
			if err := p.Publish(t.Context(), []byte(r)); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		publish("0\n") // sent at once
		for i := range 100 {
			publish(fmt.Sprintf("%d\n", i+1))
		}
		begun := time.Now()
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(begun); f.mu.posts != 2 || d != 2*time.Second {
			t.Errorf("%d requests in %v, want 2 in 2 s", f.mu.posts, d)
		}
	})
}

func TestPublisherLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain")
		begun := time.Now()
		var waited []time.Duration
		f.before = func(http.ResponseWriter, *http.Request) bool {
			waited = append(waited, time.Since(begun))
			return false
		}
		p, err := c.NewPublisher(t.Context(), "a/b", PublisherOptions{ContentType: "text/plain", Lines: true, Linger: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := p.Publish(t.Context(), []byte("x\n")); err != nil {
				t.Error(err)
			}
			<-time.After(20 * time.Millisecond)
		}
		if err := p.Publish(t.Context(), []byte("x\n")); err != nil {
			t.Error(err)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([]time.Duration{50 * time.Millisecond, 60 * time.Millisecond}, waited); d != "" {
			t.Errorf("the linger, and what Close sends:\n%s", d)
		}
	})
}

// TestPublisherStops: what fills no batch is left to a publisher that gets all.
func TestPublisherStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain")
		o := PublisherOptions{ProducerID: "p", ContentType: "text/plain", Lines: true, FixedBatches: true, MaxBatchRecords: 3}
		want := numbered(8, "%d\n")
		start := func(records []string) *Publisher {
			p, err := c.NewPublisher(t.Context(), "a/b", o)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				if err := p.Publish(t.Context(), []byte(r)); err != nil {
					t.Error(err)
				}
			}
			return p
		}
		p := start(want[:5])
		if n, err := p.Stop(t.Context()); n != 2 || err != nil || p.Pending() != 0 {
			t.Errorf("%d were given up, %d are pending, %v", n, p.Pending(), err)
		}
		if d := cmp.Diff(want[:3], f.content()); d != "" {
			t.Error(d)
		}
		if err := start(want).Close(t.Context()); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(want, f.content()); d != "" {
			t.Error(d)
		}

		// What somebody flushes is not given up.
		p = start(numbered(10, "%d\n"))
		flushed := make(chan error)
		go func() { flushed <- p.Flush(t.Context()) }()
		synctest.Wait()
		if n, err := p.Stop(t.Context()); n != 0 || err != nil || <-flushed != nil {
			t.Errorf("%d were given up, %v", n, err)
		}
	})
}

// TestPublisherMakesFixedBatches: however records come, they make the same
// requests, so a whole run can be repeated.
func TestPublisherMakesFixedBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain")
		o := PublisherOptions{ProducerID: "p", ContentType: "text/plain", Lines: true, FixedBatches: true, MaxBatchRecords: 3, MaxInFlight: 5}
		want := numbered(10, "%d\n")
		for run := range 3 {
			p, err := c.NewPublisher(t.Context(), "a/b", o)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range want {
				if i%(run+2) == 0 {
					<-time.After(time.Minute) // batches that are not full wait
				}
				if err := p.Publish(t.Context(), []byte(r)); err != nil {
					t.Error(err)
				}
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if d := cmp.Diff(want, f.content()); d != "" || f.mu.posts != 4 {
				t.Fatalf("run %d: %d requests took effect, want 4\n%s", run, f.mu.posts, d)
			}
		}
	})
}

func TestPublisherClaimsItsID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain")
		f.mu.producers["p"] = [2]uint64{5, 17}
		o := PublisherOptions{ProducerID: "p", ContentType: "text/plain", Lines: true}
		if err := publishAll(t, c, o, []string{"1\n"}); !IsCode(err, twohop.CodeProducerEpoch) {
			t.Errorf("without AutoClaim: %v", err)
		}
		o.AutoClaim = true
		if err := publishAll(t, c, o, []string{"1\n", "2\n"}); err != nil || f.mu.producers["p"][0] != 6 {
			t.Errorf("%v, epoch %d", err, f.mu.producers["p"][0])
		}
		if d := cmp.Diff([]string{"1\n", "2\n"}, f.content()); d != "" {
			t.Error(d)
		}
	})
}

// TestPublisherClaimsItsIDWhenTheServerIsThere: that it was not before is no
// doubt about what the server did.
func TestPublisherClaimsItsIDWhenTheServerIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain")
		f.mu.producers["p"] = [2]uint64{4, 7}
		f.listener.setDown(true)
		time.AfterFunc(time.Minute, func() { f.listener.setDown(false) })
		if err := publishAll(t, c, PublisherOptions{ProducerID: "p", AutoClaim: true}, []string{"1", "2"}); err != nil {
			t.Error(err)
		}
		if state := f.mu.producers["p"]; state != [2]uint64{5, 1} {
			t.Errorf("epoch and sequence number are %v", state)
		}
	})
}

func TestPublisherCreatesItsChannel(t *testing.T) {
	for _, inFlight := range []int{1, 5} {
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "")
			o := PublisherOptions{ContentType: "text/plain", Lines: true, MaxBatchRecords: 1, MaxInFlight: inFlight}
			if err := publishAll(t, c, o, []string{"1\n"}); !IsCode(err, twohop.CodeNotFound) {
				t.Errorf("without Create: %v", err)
			}
			o.Create = &CreateOptions{}
			posts := 0
			f.before = func(_ http.ResponseWriter, r *http.Request) bool {
				f.mu.Lock()
				defer f.mu.Unlock()
				if r.Method == http.MethodPost {
					posts++
				}
				if posts == 8 { // the server has lost all that it kept in memory
					f.mu.exists, f.mu.records, f.mu.producers = false, nil, map[string][2]uint64{}
				}
				return false
			}
			if err := publishAll(t, c, o, numbered(20, "%d\n")); err != nil {
				t.Fatal(err)
			}
			got := f.content()
			want := numbered(20, "%d\n")
			if len(got) == 0 || len(got) > 20 || cmp.Diff(want[20-len(got):], got) != "" {
				t.Errorf("in the new channel is %q", got)
			}
		})
	}
}

// TestPublisherIsNotMisledByABalancer: its 404 does not mean that the channel is
// lost, so what follows must not be taken for repetitions.
func TestPublisherIsNotMisledByABalancer(t *testing.T) {
	f := func(what string, inFlight int, extensions string, misled ...int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "")
			requests := 0
			f.before = func(w http.ResponseWriter, _ *http.Request) bool {
				f.mu.Lock()
				defer f.mu.Unlock()
				if requests++; slices.Contains(misled, requests) {
					http.Error(w, "default backend - 404", http.StatusNotFound)
					return true
				}
				if extensions != "" {
					w.Header().Set("Stream-Extensions", extensions)
				}
				return false
			}
			want := numbered(20, "%d\n")
			o := PublisherOptions{ContentType: "text/plain", Lines: true, MaxBatchRecords: 1, MaxInFlight: inFlight, Create: &CreateOptions{}}
			err := publishAll(t, c, o, want)
			if d := cmp.Diff(want, f.content()); d != "" || err != nil {
				t.Errorf("%s: %v\n%s", what, err, d)
			}
		})
	}
	for _, inFlight := range []int{1, 5} {
		f("a publish", inFlight, "", 10)
		f("a publish, and the PUT after it", inFlight, "", 10, 11)
		f("a publish to twohop", inFlight, "sse-id", 10, 11, 12)
	}
}

// TestPublisherIsPatientWithAChannelThatDoesNotLast: it may have expired when it
// is created.
func TestPublisherIsPatientWithAChannelThatDoesNotLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "")
		begun, requests := time.Now(), 0
		f.before = func(_ http.ResponseWriter, r *http.Request) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			requests++
			if r.Method == http.MethodPost && time.Since(begun) < time.Minute && requests < 1000 {
				f.mu.exists = false
			}
			return false
		}
		told := 0
		o := PublisherOptions{Create: &CreateOptions{}, OnRetry: func(error, time.Duration) { told++ }}
		err := publishAll(t, c, o, []string{"1"})
		if d := cmp.Diff([]string{"1"}, f.content()); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
		if requests < 60 || requests > 400 || told < requests/2-2 {
			t.Errorf("%d requests in a minute, of which %d were told", requests, told)
		}
	})
}

// TestPublisherFindsItsChannelMadeAnew: by another publisher, or by a PUT whose
// answer was lost. What the server has forgotten is numbered anew.
func TestPublisherFindsItsChannelMadeAnew(t *testing.T) {
	f := func(what string, lose func(f *fake, w http.ResponseWriter, r *http.Request)) {
		t.Helper()
		for _, inFlight := range []int{1, 5} {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFake(t, "text/plain")
				f.before = func(w http.ResponseWriter, r *http.Request) bool {
					f.mu.Lock()
					defer f.mu.Unlock()
					lose(f, w, r)
					return false
				}
				o := PublisherOptions{ContentType: "text/plain", Lines: true, MaxBatchRecords: 1, MaxInFlight: inFlight, Create: &CreateOptions{}}
				if err := publishAll(t, c, o, numbered(20, "%d\n")); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				got := f.content()
				want := numbered(20, "%d\n")
				if len(got) == 0 || len(got) == 20 || cmp.Diff(want[20-len(got):], got) != "" {
					t.Errorf("%s: in the new channel is %q", what, got)
				}
			})
		}
	}
	forget := func(f *fake) { f.mu.records, f.mu.producers = nil, map[string][2]uint64{} }
	f("another publisher", func(f *fake, _ http.ResponseWriter, r *http.Request) {
		if len(f.mu.requests) == 8 {
			forget(f)
		}
	})
	f("a lost answer", func(f *fake, w http.ResponseWriter, r *http.Request) {
		switch {
		case len(f.mu.requests) == 8:
			forget(f)
			f.mu.exists = false
		case r.Method == http.MethodPut && !f.mu.exists:
			f.mu.exists = true
			panic(http.ErrAbortHandler)
		}
	})
}

// TestPublisherDoubtsDuplicates: what the channel has under its numbers may be
// other records.
func TestPublisherDoubtsDuplicates(t *testing.T) {
	f := func(what string, o PublisherOptions, want twohop.Code, before func(*fake, *http.Request)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "text/plain")
			f.mu.producers["p"] = [2]uint64{5, 3}
			f.before = func(_ http.ResponseWriter, r *http.Request) bool { before(f, r); return false }
			o.ContentType, o.Lines, o.MaxBatchRecords = "text/plain", true, 1
			err := publishAll(t, c, o, numbered(10, "%d\n"))
			if want == "" && err != nil || want != "" && !IsCode(err, want) {
				t.Errorf("%s: %v", what, err)
			}
			if d := cmp.Diff(numbered(10, "%d\n"), f.content()); want == "" && d != "" {
				t.Errorf("%s: %s", what, d)
			}
		})
	}
	f("of another with the same id", PublisherOptions{}, twohop.CodeProducerSeq, func(f *fake, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.mu.posts == 4 {
			f.mu.producers[r.Header.Get("Producer-Id")] = [2]uint64{0, 100}
		}
	})
	f("of another that claims the same epoch", PublisherOptions{ProducerID: "p", AutoClaim: true}, twohop.CodeProducerSeq, func(f *fake, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if r.Header.Get("Producer-Epoch") == "6" {
			f.mu.producers["p"] = [2]uint64{6, 0}
		}
	})
	f("of a proxy that sends twice", PublisherOptions{}, "", func(f *fake, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		f.publish(httptest.NewRecorder(), r)
		r.Body = io.NopCloser(bytes.NewReader(body))
	})
}

func TestPublisherEndsWhenItIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain")
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Stream-Closed", "true")
			w.WriteHeader(http.StatusConflict)
			return true
		}
		p, err := c.NewPublisher(t.Context(), "a/b", PublisherOptions{ContentType: "text/plain", Lines: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(t.Context(), []byte("x\n")); err != nil {
			t.Error(err)
		}
		<-p.Done()
		if err := p.Publish(t.Context(), []byte("y\n")); !IsCode(err, twohop.CodeClosed) {
			t.Errorf("Publish: %v", err)
		}
		if err := p.Close(t.Context()); !IsCode(err, twohop.CodeClosed) || p.Pending() != 1 {
			t.Errorf("Close: %v with %d pending", err, p.Pending())
		}
	})
}

// TestPublisherRefusesWhatIsNoRecord: it would spoil all that is in its batch.
func TestPublisherRefusesWhatIsNoRecord(t *testing.T) {
	f := func(contentType string, lines bool, want twohop.Code, records ...string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, contentType)
			p, err := c.NewPublisher(t.Context(), "a/b", PublisherOptions{ContentType: contentType, Lines: lines, Linger: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			for _, record := range append([]string{"1\n"}, records...) {
				if err := p.Publish(t.Context(), []byte(record)); record != "1\n" && (!IsCode(err, want) || !strings.Contains(err.Error(), "a/b")) {
					t.Errorf("%q: %v, want %s", record, err, want)
				}
			}
			if err := p.Publish(t.Context(), []byte("2\n")); err != nil {
				t.Error(err)
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if got := len(f.content()); got != 2 {
				t.Errorf("%q are there, want two", f.content())
			}
		})
	}
	f("application/json", false, twohop.CodeInvalidJSON, "", " ", "x", "1,2", "1],[2", `{"a":1}{"a":2}`, "\xff", "01")
	f("text/plain", true, twohop.CodeEmptyBody, "")
	f("text/plain", false, twohop.CodeEmptyBody, "")
}

// TestPublisherKeepsLinesApart: also those without line breaks.
func TestPublisherKeepsLinesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain")
		want := []string{"1\n", "2", "3", "4\n", "5\n", "6"}
		if err := publishAll(t, c, PublisherOptions{ContentType: "text/plain", Lines: true, Linger: time.Second}, want); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(want, f.content()); d != "" {
			t.Error(d)
		}
	})
}

// TestPublisherGivesUpWithItsContext: the server is away, and Close does not
// wait for ever.
func TestPublisherGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain")
		f.listener.setDown(true)
		p, err := c.NewPublisher(t.Context(), "a/b", PublisherOptions{ContentType: "text/plain", Lines: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(t.Context(), []byte("x\n")); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || p.Pending() != 1 {
			t.Errorf("%v with %d pending", err, p.Pending())
		}
	})
}

// TestPublisherBoundsMemory: a publisher whose server is away takes so much and
// no more.
func TestPublisherBoundsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain")
		f.listener.setDown(true)
		p, err := c.NewPublisher(t.Context(), "a/b", PublisherOptions{ContentType: "text/plain", Lines: true, MaxBatchRecords: 10})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n := 0
		for ; err == nil; n++ {
			err = p.Publish(ctx, []byte("x\n"))
		}
		if n > 10*(maxQueue+1)+1 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d records were taken, %v", n, err)
		}
		_ = p.Close(ctx) // gives up
	})
}

// TestPublishWithoutAnAnswer: the error tells whether the publish may have taken
// effect.
func TestPublishWithoutAnAnswer(t *testing.T) {
	f := func(what string, want twohop.Code, cause error, key string, answer func(http.ResponseWriter, *http.Request)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f, c := newFake(t, "text/plain")
			if answer == nil {
				f.listener.setDown(true)
			} else {
				f.before = func(w http.ResponseWriter, r *http.Request) bool { answer(w, r); return true }
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := c.Publish(ctx, "a/b", []byte("x"), PublishOptions{IdempotencyKey: key})
			if !IsCode(err, want) || cause != nil && !errors.Is(err, cause) {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	status := func(n int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n); _, _ = io.WriteString(w, body) }
	}
	broken := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	f("broken", twohop.CodeUnknownOutcome, nil, "", broken)
	f("broken until the context ends", twohop.CodeUnknownOutcome, context.DeadlineExceeded, "k", broken)
	f("silent", twohop.CodeUnknownOutcome, nil, "", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then it hears of the end
		<-r.Context().Done()
	})
	f("a proxy's word", twohop.CodeUnknownOutcome, nil, "", status(http.StatusBadGateway, "bad gateway"))
	f("the server's word", twohop.CodeStorageFull, nil, "", status(http.StatusInsufficientStorage, `{"code":"storage_full","message":"m","hint":"h"}`))
	f("nobody there", twohop.CodeUnavailable, nil, "", nil)

	synctest.Test(t, func(t *testing.T) {
		_, c := newFake(t, "text/plain")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Publish(ctx, "a/b", []byte("x"), PublishOptions{}); err != context.Canceled { //nolint:errorlint // and nothing about it
			t.Errorf("never sent: %v", err)
		}
	})
}

// A read that is given up can take down its connection with all that was sent
// on it since, so nothing else is.
func TestReadsHaveConnectionsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain", "a")
		for range 2 {
			for _, err := range c.Follow(t.Context(), "a/b", FollowOptions{Transport: Poll}) {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if _, err := c.Publish(t.Context(), "a/b", []byte("x"), PublishOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if n := f.listener.dialed(); n != 2 {
			t.Errorf("two reads and two publishes, one after the other, took %d connections", n)
		}
	})
}

func TestPublishOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, "text/plain")
		var got http.Header
		tries := 0
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			got = r.Header.Clone()
			b, _ := io.ReadAll(r.Body)
			if tries++; tries%3 != 0 {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Stream-Next-Offset", offsetOf(9))
			w.Header().Set("Stream-Readers", fmt.Sprint(len(b)))
			w.WriteHeader(http.StatusNoContent)
			return true
		}
		if _, err := c.Publish(t.Context(), "a/b", []byte("xy"), PublishOptions{}); err == nil || tries != 1 {
			t.Errorf("without a key there are %d tries, %v", tries, err)
		}
		tries = 0
		ack, err := c.Publish(t.Context(), "a/b", []byte("xy"), PublishOptions{IdempotencyKey: "k", IfMatch: "1_2", Lines: true, Close: true})
		if want := (Ack{Offset: offsetOf(9), Readers: 2}); err != nil || ack != want || tries != 3 {
			t.Errorf("%+v, %v after %d tries", ack, err, tries)
		}
		for name, want := range map[string]string{
			"Idempotency-Key": "k", "If-Match": `"1_2"`, "Stream-Records": "lines", "Stream-Closed": "true", "Content-Type": "application/octet-stream",
		} {
			if got.Get(name) != want {
				t.Errorf("%s: %q", name, got.Get(name))
			}
		}
	})
}

func TestChannelAddresses(t *testing.T) {
	c, err := New("http://h:1/base/", Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := func(channel, want string) {
		t.Helper()
		if got, err := c.URL(channel); err != nil || got != want {
			t.Errorf("%q is at %q, %v", channel, got, err)
		}
	}
	f("logs/app", "http://h:1/base/v1/stream/logs/app")
	f("a b/ü?#%", "http://h:1/base/v1/stream/a%20b/%C3%BC%3F%23%25")
	for _, bad := range []string{"", "/", "a//b", "..", "a/../b", "\x00", strings.Repeat("x", maxName+1)} {
		if got, err := c.URL(bad); err == nil {
			t.Errorf("%q is at %q", bad, got)
		}
	}
	for _, bad := range []string{"", "h:1", "ftp://h", "http://", "http://h?x=1"} {
		if _, err := New(bad, Options{}); err == nil {
			t.Errorf("%q is taken for a server", bad)
		}
	}
}

func TestNewRefusesOptions(t *testing.T) {
	for _, bad := range []Options{
		{HTTPClient: &http.Client{Timeout: time.Minute}},
		{BackoffMin: 2 * time.Second, BackoffMax: time.Second},
	} {
		if _, err := New("http://h:1", bad); !IsCode(err, twohop.CodeInvalidRequest) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
