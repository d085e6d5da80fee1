//go:build real

// Package browser_test drives real pages in a real Chromium against a real
// server on disk: the browser's own EventSource, and the TypeScript client as
// the server gives it out, behind proxies that let everything through or not.
//
// Invariant: whatever stands, falls or changes between page and server, a page
// sees each record once and in order, and nobody has to do anything.
package browser_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"twohop/test/rig"
)

// What the browser itself says of connections that were refused or cut; no page
// can help it.
var networkFaults = []string{"console.error: Failed to load resource: ", "console.error: WebSocket connection to "}

func TestPages(t *testing.T) {
	binary := rig.Build(t)
	b := startBrowser(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *server, *browser)
	}{
		{"EventSource", eventSource},
		{"WebSocket", webSocket},
		{"ladder", ladder},
		{"climb", climb},
		{"buffered from the start", buffered},
		{"tabs", tabs},
		{"offline", offline},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, startServer(t, binary), b) })
	}
}

var many = []string{"page/a", "page/b", "page/c", "page/d", "page/e"} // enough for a WebSocket to be best

// count waits until the page has so many more records of a channel.
func (p *tab) count(channel string, more int) {
	p.t.Helper()
	have := evaluate[int](p, "seen[%s] ?? 0", channel)
	p.wait(fmt.Sprintf("%d more records of %s", more, channel), "seen[%s] >= %s", channel, have+more)
}

// wantAll waits until the page has all records of all channels.
func (p *tab) wantAll(records int, channels ...string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("all %d records", records), "%s.every((channel) => seen[channel] >= %s)", channels, records)
	for _, channel := range channels {
		if got := evaluate[int](p, "seen[%s]", channel); got != records {
			p.t.Errorf("%d records of %s came, want %d", got, channel, records)
		}
	}
	p.wantNothingWrong()
}

// wantNothingWrong looks at what came until now.
func (p *tab) wantNothingWrong() {
	p.t.Helper()
	for _, wrong := range evaluate[[]string](p, "wrong") {
		p.t.Error(wrong)
	}
}

// wantWent wants the page to have been served by these transports in turn.
func (p *tab) wantWent(transports ...string) {
	p.t.Helper()
	if went := evaluate[[]string](p, "went"); !slices.Equal(went, transports) {
		p.t.Errorf("the page was served by %v, want %v", went, transports)
	}
}

// waitTransport waits until the page is served by a transport, and says how long
// that took.
func (p *tab) waitTransport(name string) time.Duration {
	p.t.Helper()
	begin := time.Now()
	p.wait(name, "window.client?.status.state === 'open' && client.status.transport === %s", name)
	return time.Since(begin)
}

// eventSource kills the server under the browser's own reader.
func eventSource(t *testing.T, s *server, b *browser) {
	published := publish(t, s, "page/a")
	p := openWindow(t, b, networkFaults...).open(s.URL)
	p.run("listen('page/a')")
	p.count("page/a", 30)
	for range 2 {
		s.Kill()
		p.wait("the page to notice", "source.readyState === EventSource.CONNECTING")
		s.Start()
		p.count("page/a", 30)
	}
	p.wantAll(published.end(), "page/a")
	p.wantWent("open", "open", "open")
}

// webSocket has a page that follows, and publishes what it follows.
func webSocket(t *testing.T, s *server, b *browser) {
	published := publish(t, s, many...)
	s.create(t, "page/mine")
	p := openWindow(t, b).open(s.URL)
	p.run("watch(%s)", append([]string{"page/mine"}, many...))
	p.wait("the client", "window.client")
	p.run("write('page/mine')")
	p.count("page/mine", 50)
	p.count("page/a", 50)
	if readers := s.readers(t); !slices.Equal(readers, []string{`{transport="websocket"} 1`}) {
		t.Errorf("the server has the readers %v, want one", readers)
	}
	p.run("window.enough = true")
	p.wait("the last acknowledgement", "window.rested")
	p.wantAll(evaluate[int](p, "written"), "page/mine")
	p.wantAll(published.end(), many...)
	p.wantWent("ws")
}

// ladder takes transports away, and gives them back.
func ladder(t *testing.T, s *server, b *browser) {
	n := startProxy(t, s, good)
	published := publish(t, s, many...)
	p := openWindow(t, b, networkFaults...).open(n.url)
	p.run("watch(%s)", many)
	p.count("page/a", 20)

	n.become(stock)
	t.Logf("WebSocket refused: SSE after %v", p.waitTransport("sse"))
	p.count("page/a", 20)
	n.become(holding)
	t.Logf("SSE held back: long polls after %v", p.waitTransport("long-poll"))
	p.count("page/a", 20)
	p.wantWent("ws", "sse", "long-poll")
	p.wantNothingWrong()

	// The next page of the tab knows what did not get through, and for how long
	// that is believed: make it seconds instead of minutes.
	p.run("Object.keys(sessionStorage).forEach((key) => { const blocked = JSON.parse(sessionStorage[key]);"+
		" for (const transport in blocked) blocked[transport] = Date.now() + %s; sessionStorage[key] = JSON.stringify(blocked) })", 4000)
	p.reload()
	p.run("watch(%s)", many)
	if took := p.waitTransport("long-poll"); took > 1500*time.Millisecond {
		t.Errorf("a page that knows what does not get through took %v for a long poll", took)
	}
	n.become(good)
	t.Logf("nothing in the way: WebSocket after %v", p.waitTransport("ws"))
	p.count("page/a", 20)
	p.wantAll(published.end(), many...)
	p.wantWent("long-poll", "ws")
}

// buffered opens a page where neither WebSocket nor SSE get through.
func buffered(t *testing.T, s *server, b *browser) {
	n := startProxy(t, s, holding)
	published := publish(t, s, many...)
	p := openWindow(t, b, networkFaults...).open(n.url)
	p.run("watch(%s)", many)
	if took := p.waitTransport("long-poll"); took > 4*time.Second {
		t.Errorf("it took %v to come to long polls, want 2 s and a little", took)
	} else {
		t.Logf("long polls after %v", took)
	}
	p.count("page/a", 20)
	p.wantAll(published.end(), many...)
	p.wantWent("long-poll")
}

// tabs share a connection, and go on without the one that opened it. The second
// one reads by requests until it stands where the first does; the browser reads
// of one that was given up for five seconds more.
func tabs(t *testing.T, s *server, b *browser) {
	published := publish(t, s, many...)
	w := openWindow(t, b)
	first, second := w.open(s.URL), w.open(s.URL)
	first.run("watch(%s, { shared: true })", many)
	first.count("page/a", 20)
	if reads := s.metrics(t, `twohop_http_requests_total{route="read",status="200"}`); len(reads) > 0 {
		t.Errorf("a page of many channels made other requests than a WebSocket: %v", reads)
	}
	second.run("watch(%s, { shared: true })", many)
	second.count("page/a", 20)
	one := func() bool { return slices.Equal(s.readers(t), []string{`{transport="websocket"} 1`}) }
	rig.WaitFor(t, "two tabs to be one reader at the server", one)
	reconnects := evaluate[int](second, "client.status.reconnects")
	first.close()
	second.count("page/a", 50)
	if !one() {
		t.Errorf("the second tab has the readers %v at the server, want one", s.readers(t))
	}
	second.wantAll(published.end(), many...)
	second.wantWent("ws")
	if n := evaluate[int](second, "client.status.reconnects"); n != reconnects {
		t.Errorf("the end of the first tab made %d reconnects", n-reconnects)
	}
	second.close()
	rig.WaitFor(t, "the connection to end with its last tab", func() bool { return len(s.readers(t)) == 0 })
}

// offline takes the network away and gives it back. The browser leaves open
// connections alone when it is told to be offline, so they are cut as well: at
// first so that the page hears of it, then without a word, as the browser is
// likely to keep to itself what happens while it is offline.
func offline(t *testing.T, s *server, b *browser) {
	n := startProxy(t, s, good)
	published := publish(t, s, many...)
	s.create(t, "page/mine")
	w := openWindow(t, b, networkFaults...)
	p := w.open(n.url)
	p.run("watch(%s)", append([]string{"page/mine"}, many...))
	p.wait("the client", "window.client")
	p.run("write('page/mine')")
	p.count("page/mine", 20)
	for _, heard := range []bool{true, false} {
		if heard {
			n.Kill()
			p.wait("the page to notice", "client.status.state !== 'open'")
			w.setOffline(true)
			p.wait("the page to be offline", "client.status.state === 'offline'")
		} else {
			w.setOffline(true)
			n.Kill()
		}
		missed := evaluate[int](p, "seen['page/a']")
		n.Start()
		rig.WaitHealthy(t, n.url)
		w.setOffline(false)
		took := p.waitTransport("ws")
		if took > 5*time.Second {
			t.Errorf("back online, the page took %v to be open", took)
		}
		t.Logf("at record %d of page/a: open %v after the network was back", missed, took)
		p.count("page/mine", 20)
		p.count("page/a", 20)
	}
	p.run("window.enough = true")
	p.wait("the last acknowledgement", "window.rested")
	p.wantAll(evaluate[int](p, "written"), "page/mine")
	p.wantAll(published.end(), many...)
	if went := evaluate[[]string](p, "went"); strings.Join(went, "") != "ws" {
		t.Errorf("the page was served by %v, want ws only", went)
	}
}
