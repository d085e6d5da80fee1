//go:build real

// Package demos_test drives the demos in a real browser, against the real
// command with its simulated people: what a visitor does, and the worst that can
// happen meanwhile.
package demos_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"twohop/test/real/chrome"
	"twohop/test/rig"
)

// viewers is how many the crowd has in these tests, which share their machine.
const viewers = 40

func TestLiveComments(t *testing.T) {
	s := rig.Serve(t, rig.Build(t), rig.Options{Command: "demo", Args: []string{"--engine", "disk"}})
	b := chrome.Start(t)
	quieter(t, s)
	for _, c := range []struct {
		name string
		test func(*testing.T, *rig.Server, *chrome.Browser)
	}{
		{"from the index", fromIndex},
		{"comments flow", commentsFlow},
		{"a comment of one's own", ownComment},
		{"a reaction of one's own", ownReaction},
		{"every transport", everyTransport},
		{"budgets", budgets},
		{"all viewers are dropped", dropAll},
		{"widths", widths},
		{"the server is killed", serverKilled},
		{"nobody watches", nobodyWatches},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, s, b) })
	}
}

func quieter(t *testing.T, s *rig.Server) {
	t.Helper()
	rig.WaitFor(t, "the demos, which are up a moment after the server", func() bool {
		a, err := rig.Send(t.Context(), http.MethodGet, s.URL+"/demos/", nil, "")
		return err == nil && a.Status == http.StatusOK
	})
	rig.MustSend(t, http.StatusOK, http.MethodPost, s.URL+"/demos/live-comments/settings", rig.JSON, fmt.Sprintf(`{"rate":120,"viewers":%d}`, viewers))
}

// openDemo opens the page and waits until it is live, with all of the crowd.
func openDemo(t *testing.T, s *rig.Server, b *chrome.Browser, tolerated ...string) page {
	t.Helper()
	p := page{b.Open(t, s.URL+"/demos/live-comments", tolerated...)}
	p.Wait("the page to be live", `document.getElementById('chip').dataset.state === 'open'`)
	p.Wait("the crowd", number("connected")+fmt.Sprintf(" === %d", viewers))
	p.Wait("comments", `document.querySelectorAll('.comment').length >= 3`)
	return p
}

const figures = `[...document.querySelectorAll('#link .tiles dd')].map((e) => e.textContent)`

// wantNothingMissed checks both counts: the page's and the crowd's.
func (p page) wantNothingMissed() {
	p.T.Helper()
	if missed := chrome.Evaluate[string](p.Page, figures+"[2]"); missed != "0gaps" {
		p.T.Errorf("the page missed %s, want 0 gaps", missed)
	}
	if missed := chrome.Evaluate[string](p.Page, text("crowd-missed")+" + ' ' + "+text("crowd-missed-word")); missed != "0 gaps" {
		p.T.Errorf("the crowd missed %s, want 0 gaps", missed)
	}
}

// waitForMore waits until the page was given n more comments.
func (p page) waitForMore(n int) {
	p.T.Helper()
	before := chrome.Evaluate[float64](p.Page, allComments)
	p.Wait(fmt.Sprintf("%d more comments", n), fmt.Sprintf("%s >= %f", allComments, before+float64(n)))
}

// allComments is how many came since the page was opened.
var allComments = number("more-all")

func fromIndex(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := b.Open(t, s.URL+"/demos/")
	p.Do(chromedp.Click(chromedp.CSS(`a[href="/demos/live-comments"]`)))
	p.Wait("the demo", `location.pathname === '/demos/live-comments' && document.getElementById('chip')?.dataset.state === 'open'`)
}

func commentsFlow(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openDemo(t, s, b)
	p.waitForMore(300)
	if n := chrome.Evaluate[int](p.Page, `document.querySelectorAll('.comment').length`); n > 60 {
		t.Errorf("%d comments stand on the page, want 60 at most", n)
	}
	if more := chrome.Evaluate[string](p.Page, text("more-now")); !strings.Contains(more, " more a second") {
		t.Errorf("the page says %q about what it does not show", more)
	}
	if readers := chrome.Evaluate[float64](p.Page, number("readers")); readers <= viewers {
		t.Errorf("%v are watching, want the crowd of %d and this page", readers, viewers)
	}
	p.Wait("a lag", figures+"[0].endsWith('s')")
	p.wantNothingMissed()
}

func ownComment(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openDemo(t, s, b)
	other := openDemo(t, s, b)
	for _, said := range []string{"greetings from the test", `<img src=x onerror="throw 1"> & "quotes"`} {
		p.Do(chromedp.SendKeys(chromedp.CSS("#say"), said+kb.Enter))
		shown := fmt.Sprintf(`[...document.querySelectorAll('.comment')].filter((c) => c.querySelector('.text').textContent === %q)`, said)
		p.Wait("the comment", shown+".length === 1")
		p.Wait("its acknowledgement", shown+"[0]?.dataset.fate === 'done'")
		if said := chrome.Evaluate[string](p.Page, text("said")); !strings.HasPrefix(said, "On disk after ") || !strings.Contains(said, "live readers") {
			t.Errorf("the page says %q about the comment", said)
		}
		other.Wait("the comment on another page", shown+".length === 1")
		if n := chrome.Evaluate[int](p.Page, shown+".length"); n != 1 {
			t.Errorf("the comment stands %d times on its own page", n)
		}
	}
	p.wantNothingMissed()
	other.wantNothingMissed()
}

func ownReaction(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openDemo(t, s, b)
	p.Do(chromedp.Click(chromedp.CSS(`#react button[aria-label="Wow"]`)))
	rig.WaitFor(t, "the reaction in its channel", func() bool {
		log := rig.MustSend(t, http.StatusOK, http.MethodGet, s.URL+"/v1/stream/demos/live-comments/reactions?tail_records=200", nil, "").Body
		return strings.Contains(log, `"r":{"wow":1}}`) && strings.Contains(log, `{"s":"page-`)
	})
	p.wantNothingMissed()
}

func everyTransport(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openDemo(t, s, b)
	for _, c := range [][2]string{{"ws", "WebSocket"}, {"poll", "Poll"}, {"sse", "SSE"}, {"long-poll", "Long poll"}, {"ws", "WebSocket"}, {"auto", "WebSocket"}} {
		p.choose("transport", c[0])
		p.Wait(c[1], fmt.Sprintf("%s === %q", text("chip"), c[1]))
		p.waitForMore(150)
		p.wantNothingMissed()
	}
}

func budgets(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openDemo(t, s, b)
	inForce := `document.querySelector('#link fieldset:nth-of-type(2) output').textContent`
	for _, c := range [][3]string{{"0", "as soon as possible", "SSE, WebSocket"}, {"1000", "at most 1.0 s late", "SSE, WebSocket"}, {"3000", "", "Poll"}, {"100", "at most 100 ms late", "SSE, WebSocket"}} {
		p.choose("budget", c[0])
		p.Wait("the server to say the budget", fmt.Sprintf("%s === %q", inForce, c[1]))
		p.Wait(c[2], fmt.Sprintf("%q.split(', ').includes(%s)", c[2], text("chip"))) // either is advised, as channels state budgets
		p.waitForMore(150)
		p.wantNothingMissed()
	}
}

func dropAll(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openDemo(t, s, b)
	for _, transport := range []string{"sse", "ws"} {
		p.choose("transport", transport)
		p.waitForMore(50)
		before := chrome.Evaluate[string](p.Page, `document.querySelector('#link header p').textContent`)
		p.Wait("the button", `!document.getElementById('drop').disabled`)
		p.Do(chromedp.Click(chromedp.CSS("#drop")))
		p.Wait("the page's own reconnect", fmt.Sprintf(`/reconnect/.test(document.querySelector('#link header p').textContent) && document.querySelector('#link header p').textContent !== %q`, before))
		p.Wait("all to be back", fmt.Sprintf(`/^All %d are back after .* zero gaps\.$/.test(%s)`, viewers, text("drop-note")))
		p.Wait("the page to be live", `document.getElementById('chip').dataset.state === 'open'`)
		p.waitForMore(150)
		p.wantNothingMissed()
	}
}

// widths looks for what would make a narrow screen scroll sideways.
func widths(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openDemo(t, s, b)
	for _, width := range []int64{360, 390, 768, 1024, 1440} {
		p.Do(chromedp.EmulateViewport(width, 800))
		if wide := chrome.Evaluate[int64](p.Page, `document.documentElement.scrollWidth`); wide > width {
			t.Errorf("on a screen of %d the page is %d wide", width, wide)
		}
	}
}

// serverKilled kills server and crowd at once. The page says so, comes back by
// itself when they do, and missed nothing.
func serverKilled(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openDemo(t, s, b, "network: ", "javascript: ") // that the server was away is what the browser may say
	s.Kill()
	p.Wait("the page to say so", `!document.getElementById('veil').hidden`)
	p.Do(chromedp.SendKeys(chromedp.CSS("#say"), "said while the server was away"+kb.Enter))
	p.Wait("the comment to wait", `document.querySelector('.comment.own')?.dataset.fate === 'pending'`)
	s.Start()
	quieter(t, s)
	p.Wait("the page to be live", `document.getElementById('chip').dataset.state === 'open' && document.getElementById('veil').hidden`)
	p.Wait("the comment's acknowledgement", `document.querySelector('.comment.own')?.dataset.fate === 'done'`)
	p.Wait("a new crowd", number("connected")+fmt.Sprintf(" === %d", viewers))
	p.waitForMore(150)
	p.wantNothingMissed()
}

// nobodyWatches: the page goes, and the simulation with it; when the page's word
// that it goes is lost, as that of a tab that is closed may be, a minute later.
func nobodyWatches(t *testing.T, s *rig.Server, b *chrome.Browser) {
	p := openDemo(t, s, b)
	if n := crowd(t, s); n < viewers {
		t.Errorf("%d viewers while the page is open, want %d at least", n, viewers)
	}
	p.Do(chromedp.Navigate("about:blank"))
	rig.WaitWithin(t, 100*time.Second, "the crowd to leave", func() bool { return crowd(t, s) == 0 })
}
