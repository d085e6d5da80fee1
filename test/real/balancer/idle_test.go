//go:build real

package balancer_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"twohop/client"
)

// TestIdle gives balancers timeouts of 3 s. With a heartbeat of a second a
// response on which nothing happens stays; with one of a minute it is cut, and
// clients go on where they were.
func TestIdle(t *testing.T) {
	binary := build(t)
	lively := startServer(t, binary, settings+"sse: {heartbeat: 1s}\n")
	silent := startServer(t, binary, settings+"sse: {heartbeat: 1m}\n")
	type pair struct {
		of        setup
		stays     *stream
		cut       *stream
		follower  *follower
		silentURL string
	}
	var pairs []pair
	for _, of := range setups { // all wait at the same time
		livelyURL := startProxy(t, of, lively, of.short...).url + "/v1/stream/seats/a"
		behind := startProxy(t, of, silent, of.short...).url
		p := pair{of: of, silentURL: behind + "/v1/stream/seats/a"}
		channel := "seats/" + strings.ReplaceAll(of.name, " ", "-")
		publish(t, livelyURL, `{}`)
		publish(t, p.silentURL, `{}`)
		publish(t, behind+"/v1/stream/"+channel, `"before"`)
		p.stays = openStream(t, livelyURL+"?offset=now&live=sse", nil)
		p.cut = openStream(t, p.silentURL+"?offset=now&live=sse", nil)
		p.follower = follow(t.Context(), t, behind, channel, client.SSE)
		p.silentURL = behind + "/v1/stream/" + channel
		pairs = append(pairs, p)
	}
	for _, p := range pairs {
		t.Run(p.of.name, func(t *testing.T) {
			for range 1 + 8 { // the opening, and heartbeats for 8 s
				p.stays.until(":")
			}
			if comments := readAll(t, p.cut); comments != 1 {
				t.Errorf("%d comments came, also a heartbeat", comments)
			}
			eventually(t, "the follower to be cut off twice", func() bool { return p.follower.asked()["sse"] > 2 })
			mustSend(t, http.StatusNoContent, http.MethodPost, p.silentURL, inJSON, `"after"`)
			eventually(t, "the follower to go on", func() bool { return strings.HasSuffix(p.follower.text(), "\"after\"\n") })
			if got := p.follower.text(); got != "\"before\"\n\"after\"\n" {
				t.Errorf("the follower got %s", got)
			}
		})
	}
}

// readAll reads a response that must end, and counts its comments.
func readAll(t *testing.T, s *stream) (comments int) {
	t.Helper()
	for {
		l, err := s.line()
		switch {
		case errors.Is(err, io.EOF):
			return comments
		case err != nil:
			t.Fatalf("the response is not cut: %v", err)
		case strings.HasPrefix(l, ":"):
			comments++
		}
	}
}
