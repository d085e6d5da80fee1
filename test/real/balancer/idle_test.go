//go:build real

package balancer_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"twohop/client"
	"twohop/test/rig"
)

// idle is a balancer's part of TestIdle.
type idle struct {
	name       string
	stays, cut *stream
	follower   *follower
	followed   string // the address of its channel
}

// TestIdle gives balancers timeouts of 3 s. With a heartbeat of a second a
// response on which nothing happens stays; with one of a minute it is cut, and
// clients go on where they were.
func TestIdle(t *testing.T) {
	binary := rig.Build(t)
	lively := startServer(t, binary, settings+"sse: {heartbeat: 1s}\n")
	silent := startServer(t, binary, settings+"sse: {heartbeat: 1m}\n")
	var all []idle
	for _, of := range setups { // they wait at the same time
		through := func(s *rig.Server) *proxy { return startProxy(t, of, s, of.short...) }
		toLively, toSilent := through(lively), through(silent)
		channel := "seats/" + strings.ReplaceAll(of.name, " ", "-")
		i := idle{name: of.name, followed: toSilent.url + "/v1/stream/" + channel}
		publish(t, toLively.url+"/v1/stream/"+channel, `{}`)
		publish(t, i.followed, `"before"`)
		i.stays = openStream(t, toLively.url+"/v1/stream/"+channel+"?offset=now&live=sse", nil)
		i.cut = openStream(t, i.followed+"?offset=now&live=sse", nil)
		i.follower = follow(t.Context(), t, toSilent.url, channel, client.SSE)
		all = append(all, i)
	}
	for _, i := range all {
		t.Run(i.name, func(t *testing.T) { testIdle(t, i) })
	}
}

func testIdle(t *testing.T, i idle) {
	for range 1 + 8 { // the opening, and heartbeats for 8 s
		i.stays.until(t, ":")
	}
	if comments := readAll(t, i.cut); comments != 1 {
		t.Errorf("%d comments came, also a heartbeat", comments)
	}
	eventually(t, "the follower to be cut off twice", func() bool { return i.follower.asked()["sse"] > 2 })
	mustSend(t, http.StatusNoContent, http.MethodPost, i.followed, rig.JSON, `"after"`)
	eventually(t, "the follower to go on", func() bool { return strings.HasSuffix(i.follower.text(), "\"after\"\n") })
	if got := i.follower.text(); got != "\"before\"\n\"after\"\n" {
		t.Errorf("the follower got %s", got)
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
