package httpstream_test

import (
	"testing"

	"twohop/internal/engine"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/transport/httpstream"
	"twohop/internal/transport/transporttest"
)

type mode = transporttest.Mode

var (
	piped = transporttest.Piped
	tcp   = transporttest.TCP
	http2 = transporttest.HTTP2

	loopModes = transporttest.Loops

	all    = append([]mode{piped, tcp, http2}, loopModes...)
	plain  = append([]mode{piped, tcp}, loopModes...) // those that speak HTTP/1.1
	bubble = []mode{piped}                            // those in which time is virtual
)

// run runs a test body in each of the modes.
func run(t *testing.T, f func(t *testing.T, m mode), modes ...mode) {
	t.Helper()
	transporttest.Run(t, f, modes...)
}

// setup is what a test wants the server to be like.
type setup struct {
	httpstream.Options
	hub    hub.Options
	memory memlog.Options
	engine *faultyEngine // nil is the memory engine itself
}

// site is a running server and the way to talk to it.
type site struct {
	transporttest.Endpoint
	t       testing.TB
	mode    mode
	handler *httpstream.Handler
	hub     *hub.Hub
}

// serve starts a server in a mode; it is stopped when the test ends.
func serve(t testing.TB, m mode, o setup) *site {
	t.Helper()
	var e engine.Engine = memlog.Open(o.memory)
	if o.engine != nil {
		o.engine.Engine = e
		e = o.engine
	}
	h := hub.New(e, o.hub)
	t.Cleanup(func() {
		h.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &site{t: t, mode: m, hub: h, handler: httpstream.New(h, o.Options)}
	s.Endpoint = m.Serve(t, s.handler)
	return s
}
