package httpstream_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"twohop/internal/engine"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/transport/httpstream"
)

// touchedEngine tells when a TTL is renewed.
type touchedEngine struct {
	engine.Engine
	engine.Knower
	sink    engine.Sink
	touches atomic.Int64
	touched atomic.Pointer[func()] // is called then, once
}

func (e *touchedEngine) Follow(s engine.Sink) {
	e.sink = s
	e.Engine.Follow(s)
}

func (e *touchedEngine) Touch(name string) {
	e.touches.Add(1)
	if f := e.touched.Swap(nil); f != nil {
		(*f)()
	}
	e.Engine.Touch(name)
}

func serveTouched(t *testing.T, m mode) (*site, *touchedEngine) {
	mem := memlog.Open(memlog.Options{})
	e := &touchedEngine{Engine: mem, Knower: mem}
	h := hub.New(e, hub.Options{})
	t.Cleanup(func() {
		h.Close()
		if err := mem.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &site{t: t, mode: m, hub: h, handler: httpstream.New(h, httpstream.Options{})}
	s.Endpoint = m.Serve(t, s.handler)
	return s, e
}

// A read renews the TTL of a live channel; a request that reads nothing does not.
func TestWhatRenewsATTL(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s, e := serveTouched(t, m)
		s.create("c", asText, "Stream-TTL", "3600")
		s.expect(s.read("c", "offset=-1"), 200, "")
		touches := e.touches.Load()
		s.expect(s.read("c", "offset=-1"), 200, "")
		if e.touches.Load() == touches {
			t.Error("a poll does not renew the TTL")
		}
		touches = e.touches.Load()
		s.expect(s.do("HEAD", "stream/c", ""), 200, "")
		s.expect(s.do("OPTIONS", "stream/c", ""), 204, "")
		s.expect(s.do("PATCH", "stream/c", ""), 405, "method_not_allowed")
		s.expect(s.read("c", "offset=x"), 400, "invalid_offset")
		s.expect(s.read("c", "offset=-1", "Origin", "http://elsewhere.test"), 403, "origin_not_allowed")
		s.expect(s.do("DELETE", "stream/c", ""), 204, "")
		if n := e.touches.Load() - touches; n != 0 {
			t.Errorf("the TTL was renewed %d times by requests that read nothing", n)
		}
	}, plain...)
}

// A channel that leaves the hub while a live read of it begins is opened again.
func TestChannelLeavesWhileAReadBegins(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		for _, live := range []string{"long-poll", "sse"} {
			s, e := serveTouched(t, m)
			s.create("c", asText, "Stream-TTL", "3600")
			s.expect(s.read("c", "offset=-1"), 200, "") // the hub knows it from now on
			leaves := func() { e.sink.Event(0, &engine.Event{Kind: engine.Broken}) }
			e.touched.Store(&leaves)
			w := s.wire() // a client would ask again
			w.send(s, "GET /v1/stream/c?offset=now&live="+live+" HTTP/1.1\nHost: x\n\n")
			s.settle("c", 1)
			s.publish("c", asText, "x")
			s.closeChannel("c")
			if r := w.answer(s); r.status != 200 || !strings.Contains(r.body, "x") {
				t.Errorf("%s: got %d %q", live, r.status, r.body)
			}
		}
	}, loopModes...)
}
