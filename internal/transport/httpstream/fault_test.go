package httpstream_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/hub"
)

// faultyEngine is an engine whose feed breaks and whose reads take their time,
// when a test says so.
type faultyEngine struct {
	engine.Engine
	sink    engine.Sink
	reading chan struct{}                // is sent to when a read begins
	read    atomic.Pointer[func() error] // ends it; nil has no effect
	append  atomic.Pointer[error]        // what every append ends with
	hold    chan struct{}                // if not nil, appends wait for it
}

func (e *faultyEngine) Follow(s engine.Sink) {
	e.sink = s
	e.Engine.Follow(s)
}

func (e *faultyEngine) Read(ctx context.Context, name string, from twohop.Offset, maxBytes int) (twohop.Batch, error) {
	if read := e.read.Load(); read != nil {
		e.reading <- struct{}{}
		if err := (*read)(); err != nil {
			return twohop.Batch{}, err
		}
	}
	return e.Engine.Read(ctx, name, from, maxBytes)
}

func (e *faultyEngine) Append(ctx context.Context, a *twohop.Append, done func(twohop.Ack, error)) {
	if err := e.append.Load(); err != nil {
		done(twohop.Ack{}, *err)
		return
	}
	if e.hold != nil {
		go func() {
			<-e.hold
			e.Engine.Append(ctx, a, done)
		}()
		return
	}
	e.Engine.Append(ctx, a, done)
}

// When the feed breaks, live responses end in good order and the next ones go on.
func TestBrokenFeed(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		e := &faultyEngine{}
		s := serve(t, m, setup{engine: e})
		tail := s.letters(2)[2]
		answer := make(chan reply)
		go func() {
			r, err := s.try("GET", "stream/c?live=long-poll&offset="+tail, "")
			if err != nil {
				t.Error(err)
			}
			answer <- r
		}()
		f := s.follow("c", "offset="+tail)
		f.say(s, "control")
		s.settle("c", 2)
		e.sink.Event(0, &engine.Event{Kind: engine.Broken})
		if r := <-answer; r.status != 204 || r.next() != tail || r.get("Stream-Up-To-Date") != "true" || r.get("Stream-Cursor") == "" {
			t.Errorf("the long poll got %d %v", r.status, r.header)
		}
		f.ends(s)
		f = s.follow("c", "offset="+tail)
		f.say(s, "control")
		s.publish("c", asText, "x")
		if e := f.say(s, "data"); e.data != "x" {
			t.Errorf("got %+v", e)
		}
	}, all...)
}

// A reader that is catching up when the server drains gets its page, and the end.
func TestDrainWhileCatchingUp(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		gate := make(chan struct{})
		e := &faultyEngine{reading: make(chan struct{}, 10)}
		s := serve(t, m, setup{engine: e, hub: hub.Options{PageBytes: 2, TailBytes: 1}})
		s.letters(6)
		// From the second page on: the first is read before the response begins.
		passed := make(chan struct{}, 1)
		passed <- struct{}{}
		read := func() error {
			select {
			case <-passed:
			case <-gate:
			}
			return nil
		}
		e.read.Store(&read)
		f := s.follow("c", "offset=-1")
		if e := f.say(s, "data"); e.data != "ab" {
			t.Fatalf("got %+v", e)
		}
		f.say(s, "control")
		<-e.reading
		<-e.reading
		s.handler.Drain()
		s.expect(s.read("none", "offset=-1"), 404, "not_found") // the loops have heard of it
		close(gate)
		var got strings.Builder
		for {
			e, err := f.next()
			if err != nil {
				if err.Error() != "EOF" {
					t.Errorf("the response ends with %v", err)
				}
				break
			}
			if e.name == "data" {
				got.WriteString(e.data)
			}
		}
		if got.String() == "" || len(got.String()) > 4 || got.String() != "cdef"[:len(got.String())] {
			t.Errorf("while it was drained the reader got %q", got.String())
		}
	}, all...)
}

// A poll counts as a reader for as long as the engine reads for it.
func TestPollsAreCounted(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		e := &faultyEngine{reading: make(chan struct{}, 10)}
		s := serve(t, m, setup{engine: e, hub: hub.Options{PageBytes: 2, TailBytes: 1}})
		s.letters(6)
		gate := make(chan struct{})
		read := func() error {
			<-gate
			return nil
		}
		e.read.Store(&read)
		answer := make(chan reply)
		go func() {
			r, err := s.try("GET", "stream/c?offset=-1", "")
			if err != nil {
				t.Error(err)
			}
			answer <- r
		}()
		<-e.reading
		polls := func(want int64) {
			t.Helper()
			n := &s.handler.Stats().Polls
			for end := time.Now().Add(patience); n.Load() != want; pause(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d polls, want %d", n.Load(), want)
				}
			}
		}
		polls(1) // on a loop, when the one look at the engine has led to the next
		close(gate)
		if r := <-answer; r.body != "ab" {
			t.Errorf("got %d %q", r.status, r.body)
		}
		polls(0)
	}, all...)
}

// Why the engine refuses an append is told in the one form, its cause is not.
func TestEngineFailures(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		e := &faultyEngine{}
		s := serve(t, m, setup{engine: e})
		s.letters(1)
		for _, c := range []struct {
			err    error
			status int
			code   string
			retry  string
		}{
			{&twohop.Error{Code: twohop.CodeStorageFull, Message: "m", Hint: "h"}, 507, "storage_full", "1"},
			{&twohop.Error{Code: twohop.CodeStorageFailed, Message: "m", Hint: "h", Err: errors.New("secret")}, 503, "storage_failed", ""},
			{&twohop.Error{Code: twohop.CodeUnknownOutcome, Message: "m", Hint: "h"}, 503, "unknown_outcome", "1"},
			{&twohop.Error{Code: twohop.CodeUnavailable, Message: "m", Hint: "h"}, 503, "unavailable", "1"},
			{&twohop.Error{Code: twohop.CodeClosed, Message: "m", Hint: "h"}, 409, "closed", ""},
			{&twohop.Error{Code: twohop.CodeTailMoved, Message: "m", Hint: "h"}, 412, "tail_moved", ""},
			{errors.New("secret"), 500, "internal", ""},
			{&twohop.Error{Code: "of tomorrow", Message: "m", Hint: "h"}, 500, "of tomorrow", ""},
		} {
			e.append.Store(&c.err)
			r := s.post("c", asText, "x")
			s.expect(r, c.status, c.code)
			if got := r.get("Retry-After"); got != c.retry {
				t.Errorf("%s: Retry-After: %q", c.code, got)
			}
			if p := r.problem(); p.Message == "secret" || p.Hint == "" {
				t.Errorf("%s: %+v", c.code, p)
			}
			_, results := s.publishMany(`[{"channel":"c","text":"x"}]`)
			if len(results) != 1 || results[0].Status != c.status || results[0].Error.Code != c.code {
				t.Errorf("%s: in a list: %+v", c.code, results)
			}
		}
	}, all...)
}

// A live read that the engine fails ends, and the next request is told why.
func TestEngineFailsARead(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		e := &faultyEngine{reading: make(chan struct{}, 100)}
		s := serve(t, m, setup{engine: e, hub: hub.Options{PageBytes: 2, TailBytes: 1}})
		o := s.letters(6)
		good := make(chan struct{}, 1)
		good <- struct{}{}
		read := func() error {
			select {
			case <-good:
				return nil
			default:
				return &twohop.Error{Code: twohop.CodeStorageFailed, Message: "m", Hint: "h"}
			}
		}
		e.read.Store(&read)
		f := s.follow("c", "offset=-1")
		f.say(s, "data")
		f.say(s, "control")
		f.ends(s)
		for _, live := range []string{"", "&live=long-poll", "&live=sse"} {
			s.expect(s.read("c", "offset="+o[3]+live), 503, "storage_failed") // of no page that is known
		}
		s.expect(s.do("HEAD", "stream/c", ""), 200, "")
	}, all...)
}

// A reader that is reset to the tail while it catches up is ended where others
// are: when the server drains, and where the channel is closed.
func TestResetToWhereItEnds(t *testing.T) {
	for name, end := range map[string]func(s *site){
		"a drain": func(s *site) {
			s.handler.Drain()
			s.expect(s.read("none", "offset=-1"), 404, "not_found") // the loops have heard of it
		},
		"a closure": func(s *site) { s.closeChannel("c") },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, m mode) {
				engine := &faultyEngine{reading: make(chan struct{}, 10)}
				s := serve(t, m, setup{engine: engine, hub: hub.Options{PageBytes: 2, TailBytes: 1}})
				tail, err := twohop.ParseOffset(s.letters(6)[6])
				if err != nil {
					t.Fatal(err)
				}
				gate := make(chan struct{})
				var reads atomic.Int32
				read := func() error {
					if reads.Add(1) != 2 { // the first is before the response begins
						return nil
					}
					<-gate
					return (&twohop.Reset{Reason: twohop.ResetTrimmed, Start: tail, Tail: tail}).Error("c", twohop.Offset{})
				}
				engine.read.Store(&read)
				f := s.follow("c", "offset=-1", "Accept", "text/event-stream")
				giveUp := time.AfterFunc(patience, f.close)
				defer giveUp.Stop()
				<-engine.reading
				<-engine.reading
				end(s)
				close(gate)
				resets, controls := 0, 0
				e, err := f.next()
				for ; err == nil; e, err = f.next() {
					switch e.name {
					case "reset":
						resets++
					case "control":
						controls += resets
					}
				}
				if !errors.Is(err, io.EOF) || resets != 1 || controls != 1 {
					t.Errorf("the response ends with %v, after %d resets and where it stands %d times", err, resets, controls)
				}
			}, all...)
		})
	}
}
