//go:build real

package startpage_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"twohop/test/real/chrome"
)

// page is the start page in a tab of its own.
type page struct{ *chrome.Page }

// openPage loads the page and waits until it is live.
func openPage(t *testing.T, b *chrome.Browser, url string, tolerated ...string) page {
	t.Helper()
	p := page{b.Open(t, url, tolerated...)}
	p.Wait("the page to be live", `document.getElementById('state').dataset.state === 'live'`)
	return p
}

func (p page) click(id string) {
	p.T.Helper()
	p.Do(chromedp.Click(chromedp.CSS("#" + id)))
}

// enter types a record and presses Enter.
func (p page) enter(text string) {
	p.T.Helper()
	p.Do(chromedp.SendKeys(chromedp.CSS("#text"), text+kb.Enter))
}

func (p page) text(id string) string {
	p.T.Helper()
	return chrome.Evaluate[string](p.Page, fmt.Sprintf("document.getElementById(%q).textContent", id))
}

// number reads a figure, as it stands on the page: "1,240".
func number(id string) string {
	return fmt.Sprintf("Number(document.getElementById(%q).textContent.replaceAll(',', ''))", id)
}

// shows is true when a row of the list contains the text.
func shows(text string) string {
	return fmt.Sprintf("[...document.querySelectorAll('#records li')].some((row) => row.textContent.includes(%q))", text)
}
