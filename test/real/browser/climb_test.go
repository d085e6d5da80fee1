//go:build real

package browser_test

import (
	"testing"
	"time"

	"twohop/test/rig"
)

// believed is how long the client leaves a transport alone that did not get
// through, and a second for its own choice.
const believed = 5*time.Minute + time.Second

// useClock gives the pages of a window, those that are opened from now on, a
// clock that can be put forward.
func (w *window) useClock() {
	w.t.Helper()
	w.b.ask(w.t, request{Do: "clock", Of: w.id}, nil)
}

// pass lets time pass for a page that follows a channel: in steps between which
// records come, so that its connection lives all the while.
func (p *tab) pass(d time.Duration, channel string) {
	p.t.Helper()
	const step = 10 * time.Second
	for ; d > 0; d -= step {
		p.b.ask(p.t, request{Do: "forward", Of: p.id, Milliseconds: min(d, step).Milliseconds()}, nil)
		p.count(channel, 3)
	}
}

// blocked is until when the page leaves WebSocket alone, in Unix milliseconds.
func (p *tab) blocked() int64 {
	p.t.Helper()
	return evaluate[int64](p, "Math.trunc(JSON.parse(sessionStorage['twohop:' + location.origin + '/'] ?? '{}').ws ?? 0)")
}

// climb has a network that refuses WebSocket, and later does not: the page that
// came down the ladder goes up again, by itself and without a gap.
func climb(t *testing.T, s *server, b *browser) {
	n := startProxy(t, s, stock)
	published := publish(t, s, many...)
	w := openWindow(t, b, networkFaults...)
	w.useClock()
	p := w.open(n.url)
	p.run("watch(%s)", many)
	p.waitTransport("sse")
	p.count("page/a", 20)
	reconnects := evaluate[int](p, "client.status.reconnects")

	// It tries again when its time is up, and not before; nothing else changes.
	until := p.blocked()
	p.pass(believed-30*time.Second, "page/a")
	if again := p.blocked(); until == 0 || again != until {
		t.Errorf("it was to leave WebSocket alone until %d, and tried it before: then until %d", until, again)
	}
	p.pass(30*time.Second, "page/a")
	rig.WaitFor(t, "the client to try WebSocket again", func() bool { return p.blocked() > until })
	p.wantWent("sse")
	if n := evaluate[int](p, "client.status.reconnects"); n != reconnects {
		t.Errorf("to try WebSocket took %d reconnects", n-reconnects)
	}

	n.become(good) // which cuts the stream
	reconnects++
	p.wait("the stream to stand again", "client.status.reconnects === %s && client.status.state === 'open'", reconnects)
	p.pass(believed-30*time.Second, "page/a")
	p.wantWent("sse")
	p.pass(30*time.Second, "page/a")
	t.Logf("WebSocket %v after its time was up", p.waitTransport("ws"))
	p.count("page/a", 20)
	p.wantAll(published.end(), many...)
	p.wantWent("sse", "ws")
	if n := evaluate[int](p, "client.status.reconnects"); n != reconnects {
		t.Errorf("the climb took %d reconnects, want none: the stream serves until the WebSocket stands", n-reconnects)
	}
}
