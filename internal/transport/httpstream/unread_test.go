package httpstream_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"twohop/internal/hub"
	"twohop/internal/transport/httpstream"
)

// A reader of SSE that takes nothing at all is let go of, with its channel, when
// it has had twice the age of a response.
func TestNeverReads(t *testing.T) {
	const age = 200 * time.Millisecond
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{MaxAge: age, Heartbeat: age / 2}, hub: hub.Options{IdleTime: age}})
		s.create("c", asText)
		for range 20 { // more than sockets keep
			s.publish("c", asText, strings.Repeat("x", 1<<20))
		}
		begin := time.Now()
		resp, err := s.ask(context.Background(), "GET", "stream/c?live=sse&offset=-1", "")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		s.settle("c", 0)
		if took := time.Since(begin); m.Virtual && (took < 2*age || took > 2*age+10*time.Millisecond) {
			t.Errorf("it was let go of after %v", took)
		}
		for end := time.Now().Add(patience); s.hub.Live() > 0; pause(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the channel is still live")
			}
		}
	}, all...)
}

// So is who does not take the answer to a poll.
func TestNeverReadsAnswers(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		s.publish("c", asText, strings.Repeat("x", 1<<17))
		for _, live := range []string{"", "&live=long-poll"} {
			s.wire().send(s, "GET /v1/stream/c?offset=-1"+live+" HTTP/1.1\nHost: x\n\n")
		}
		pause(time.Minute)
		st := s.handler.Stats()
		if st.Polls.Load() != 1 || st.LongPolls.Load() != 1 {
			t.Error("a slow reader was let go of within a minute")
		}
		pause(3 * time.Minute)
		if st.Polls.Load() != 0 || st.LongPolls.Load() != 0 {
			t.Error("it is waited for without an end")
		}
	}, bubble...)
}

// The time for an answer to be taken is over with the answer: whatever is asked
// for later on the same connection is answered.
func TestAnswersLongAfterAnother(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		s.publish("c", asText, "x")
		s.closeChannel("c")
		w := s.wire()
		for _, query := range []string{"live=sse&offset=-1", "offset=-1", "live=long-poll&offset=-1"} {
			for _, request := range []string{"GET /v1/stream/c?" + query, "GET /v1/none"} {
				w.send(s, request+" HTTP/1.1\nHost: x\n\n")
				w.answer(s)
				pause(time.Hour)
			}
		}
	}, bubble...)
}
