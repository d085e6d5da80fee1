package httpstream_test

import (
	"testing"
	"time"

	"twohop/internal/transport/httpstream"
)

// The pace that is set is kept on all connections; without one, it depends on
// whether a proxy shows.
func TestPaceOfHeartbeats(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		for _, c := range []struct {
			set             time.Duration
			direct, proxied string
		}{
			{0, "45s", "15s"},
			{15 * time.Second, "15s", "15s"},
			{time.Minute, "1m0s", "1m0s"},
		} {
			s := serve(t, m, setup{Options: httpstream.Options{Heartbeat: c.set}})
			s.create("c", asText)
			for via, want := range map[string]string{"": c.direct, "1.1 edge": c.proxied} {
				var headers []string
				if via != "" {
					headers = []string{"Via", via}
				}
				r, err := s.ask(t.Context(), "GET", "stream/c?live=sse&offset=now", "", headers...)
				if err != nil {
					t.Fatal(err)
				}
				if got := r.Header.Get("Stream-Heartbeat"); got != want {
					t.Errorf("with %v set, via %q: a heartbeat each %s, want %s", c.set, via, got, want)
				}
				_ = r.Body.Close()
			}
		}
	}, loopModes...)
}
