//go:build real

// Package startpage_test drives the start page in a real browser against a real
// server on disk: what a newcomer does in the first minute, and the worst that
// can happen meanwhile.
package startpage_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"twohop/test/real/chrome"
	"twohop/test/rig"
)

func TestStartPage(t *testing.T) {
	s := rig.Serve(t, rig.Build(t), rig.Options{Args: []string{"--engine", "disk"}})
	b := chrome.Start(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *rig.Server, *chrome.Browser)
	}{
		{"publish", publish},
		{"resume after a disconnect", resumeAfterDisconnect},
		{"second reader", secondReader},
		{"another channel", anotherChannel},
		{"flood", flood},
		{"channel made anew", channelMadeAnew},
		{"server killed", serverKilled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, s, b) })
	}
}

// nothing is what the tally says when all that was published came back once.
func (p page) wantNothingLost() {
	p.T.Helper()
	p.Wait("all that was acknowledged to be back", number("acknowledged")+" === "+number("arrived"))
	for _, id := range []string{"missing", "twice"} {
		if n := p.text(id); n != "0" {
			p.T.Errorf("%s: %s records, want 0", id, n)
		}
	}
}

func publish(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openPage(t, b, s.URL)
	p.enter("hello, second hop")
	p.Wait("the record", shows("hello, second hop"))
	p.Wait("its acknowledgement", number("acknowledged")+" === 1")
	p.Wait("the end of the log", `document.getElementById('lag-word').textContent === 'up to date'`)
	p.wantNothingLost()
	if ack := p.text("ack"); !strings.Contains(ack, "disk, synced") {
		t.Errorf("the acknowledgement is %q, want it to say that the record is on disk", ack)
	}
	if curl := p.text("cmd-curl"); curl != fmt.Sprintf("curl -N '%s/v1/stream/logs/app?offset=-1&live=sse'", s.URL) {
		t.Errorf("the curl command is %q", curl)
	}
	if follow := p.text("cmd-follow"); follow != "twohop follow logs/app --server "+s.URL {
		t.Errorf("the follow command is %q", follow)
	}
}

func resumeAfterDisconnect(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openPage(t, b, s.URL)
	p.enter("before")
	p.Wait("the record", number("arrived")+" === 1")
	p.click("toggle")
	p.Wait("the disconnect", `document.getElementById('state').dataset.state === 'off'`)
	p.click("hundred")
	p.Wait("the acknowledgement", number("acknowledged")+" === 101")
	p.Wait("the lag", number("lag")+" === 100")
	if n := p.text("arrived"); n != "1" {
		t.Errorf("%s records arrived while disconnected, want the 1 from before", n)
	}
	p.click("toggle")
	p.Wait("the missed records", number("arrived")+" === 101 && "+number("lag")+" === 0")
	p.Wait("the note", shows("100 missed records"))
	p.wantNothingLost()
}

func secondReader(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openPage(t, b, s.URL)
	p.click("second")
	p.click("hundred")
	p.Wait("the same offset", `document.getElementById('second-line').textContent.includes('at the same offset as SSE')`)
	p.wantNothingLost()
}

func anotherChannel(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openPage(t, b, s.URL)
	p.click("watch")
	p.Wait("logs/app", `document.getElementById('channel').value === 'logs/app' && document.getElementById('type').value === 'text/plain' && document.getElementById('state').dataset.state === 'live'`)
	p.enter("a line of text")
	p.Wait("the line", shows("a line of text"))
	rig.MustSend(t, http.StatusOK, http.MethodHead, s.URL+"/v1/stream/logs/app", nil, "") // the page has created it
}

// flood publishes more than anyone can read, and looks whether the page keeps
// up and stays small.
func flood(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openPage(t, b, s.URL)
	p.Wait("the end of the log", `document.getElementById('lag-word').textContent === 'up to date'`)
	const publishes, records = 300, 20
	before := chrome.Evaluate[int](p.Page, number("count"))
	body := "[" + strings.Repeat(`{"seat":"A1"},`, records-1) + `{"seat":"A1"}]`
	for range publishes {
		rig.MustSend(t, http.StatusNoContent, http.MethodPost, s.URL+"/v1/stream/demo/hello", rig.JSON, body)
	}
	p.Wait("all records", fmt.Sprintf("%s === %d", number("count"), before+publishes*records))
	p.Wait("few rows", `document.getElementById('records').childElementCount <= 200`)
	p.enter("still here")
	p.Wait("the record after the flood", shows("still here"))
	p.wantNothingLost()
}

// channelMadeAnew puts another log under the name while the page is away: it
// must be told, in words, and go on.
func channelMadeAnew(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openPage(t, b, s.URL)
	p.enter("in the old log")
	p.Wait("the record", shows("in the old log"))
	p.click("toggle")
	p.Wait("the disconnect", `document.getElementById('state').dataset.state === 'off'`)
	rig.MustSend(t, http.StatusNoContent, http.MethodDelete, s.URL+"/v1/stream/demo/hello", nil, "")
	p.click("toggle")
	p.Wait("the reset", shows("Reset: this is a new log under the old name"))
	p.enter("in the new log")
	p.Wait("the record", shows("in the new log"))
	p.wantNothingLost()
}

// serverKilled kills the server while the page publishes. Nothing that was
// acknowledged may be lost, nothing may come twice, and nobody has to do
// anything.
func serverKilled(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openPage(t, b, s.URL, "network: ") // that the server was away is what the browser may say
	p.click("auto")
	p.Wait("some records", number("arrived")+" >= 20")
	s.Kill()
	p.Wait("the page to notice", `document.getElementById('state').dataset.state === 'reconnecting'`)
	s.Start()
	p.Wait("the page to be live", `document.getElementById('state').dataset.state === 'live'`)
	p.Wait("the note", shows("Resumed at"))
	p.Wait("more records", number("arrived")+" >= 60")
	p.click("auto")
	p.Wait("the last acknowledgement", `publisher.idle`)
	p.wantNothingLost()
	if p.text("said") != "" && strings.HasPrefix(p.text("said"), "Refused") {
		t.Errorf("the page says %q", p.text("said"))
	}
}
