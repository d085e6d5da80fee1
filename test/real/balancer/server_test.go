//go:build real

package balancer_test

import (
	"testing"
	"time"

	"twohop/test/rig"
)

// patience is how long anything may take before it counts as stuck: less than
// the server's heartbeat, which would push out what a balancer holds back.
const patience = 12 * time.Second

// settings of the servers: a publish creates its channel.
const settings = `
rules:
  - match: "text/*"
    create: on-publish
    content_type: text/plain
  - match: "**"
    create: on-publish
    content_type: application/json
`

// startServer runs the command with a configuration; it ends with the test.
func startServer(t *testing.T, binary, config string) *rig.Server {
	t.Helper()
	return rig.Serve(t, binary, rig.Options{Config: config, Args: []string{"--public-url", "http://live.example"}})
}

// mustSend sends a request that must be answered with the status.
func mustSend(t *testing.T, want int, method, url string, header rig.Header, body string) *rig.Answer {
	t.Helper()
	late := time.AfterFunc(patience, func() { t.Errorf("%s %s takes its time", method, url) })
	defer late.Stop()
	return rig.MustSend(t, want, method, url, header, body)
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	rig.WaitWithin(t, patience, what, isSo)
}
