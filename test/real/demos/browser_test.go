//go:build real

package demos_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// startBrowser runs a headless Chromium; it ends with the test.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("no Chromium in the PATH: install the package chromium")
	}
	options := slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1440, 900),
		chromedp.Flag("disable-component-update", true),
	})
	ctx, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	browser, closeBrowser := chromedp.NewContext(ctx)
	t.Cleanup(closeBrowser)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	return browser
}

// page is a demo in a tab of its own.
type page struct {
	t     *testing.T
	tab   context.Context //nolint:containedctx // chromedp's handle of the tab
	close func()

	mu struct {
		sync.Mutex
		faults []string // what the browser's console was told
	}
}

// openPage loads a page. At its end the console must be empty, but for what
// tolerated allows.
func openPage(t *testing.T, browser context.Context, url string, tolerated ...string) *page {
	t.Helper()
	p := &page{t: t}
	var closeTab context.CancelFunc
	p.tab, closeTab = chromedp.NewContext(browser)
	p.close = sync.OnceFunc(func() {
		_ = chromedp.Do(p.tab, chromedp.Navigate("about:blank")) // so that the page can say that it goes
		closeTab()
		p.checkConsole(tolerated)
	})
	t.Cleanup(p.close)
	if err := chromedp.Listen(p.tab, p.hear); err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.Navigate(url))
	return p
}

func (p *page) hear(event any) {
	var fault string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			fault += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		fault = fmt.Sprintf("console.%s", e.Type)
	case *cdplog.EventEntryAdded:
		fault = fmt.Sprintf("%s: %s: %s (%s)", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.faults = append(p.mu.faults, fault)
}

func (p *page) checkConsole(tolerated []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fault := range p.mu.faults {
		if strings.HasSuffix(strings.Split(fault+" (", " (")[0], "WebSocket is closed before the connection is established.") {
			continue // a page that goes, or changes its transport, while it connects
		}
		if !slices.ContainsFunc(tolerated, func(prefix string) bool { return strings.HasPrefix(fault, prefix) }) {
			p.t.Errorf("the console was told: %s", fault)
		}
	}
}

func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.tab, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// evaluate is the value of a JavaScript expression in the page.
func evaluate[T any](p *page, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.tab, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// wait waits until a JavaScript expression is true.
func (p *page) wait(what, expression string) {
	p.t.Helper()
	waitFor(p.t, what, func() bool { return evaluate[bool](p, "Boolean("+expression+")") })
}

// text is what an element says.
func text(id string) string { return fmt.Sprintf("document.getElementById(%q).textContent", id) }

// number reads a figure as it stands on the page: "1,240", "12K since you came".
func number(id string) string {
	return fmt.Sprintf(`((s) => parseFloat(s) * ({ K: 1e3, M: 1e6 }[s.at(-1)] ?? 1))(%s.replaceAll(',', '').split(' ')[0] || '0')`, text(id))
}

// choose switches one of the segments.
func (p *page) choose(name, value string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(fmt.Sprintf("input[name=%s][value=%q]", name, value))))
}

// waitFor asks until it is so, and fails the test if that takes too long.
func waitFor(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	waitWithin(t, 30*time.Second, what, isSo)
}

func waitWithin(t *testing.T, most time.Duration, what string, isSo func() bool) {
	t.Helper()
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	again := time.NewTicker(25 * time.Millisecond)
	defer again.Stop()
	for !isSo() {
		select {
		case <-deadline.C:
			t.Fatal("timed out waiting for " + what)
		case <-t.Context().Done():
			t.Fatal("the test ended waiting for " + what)
		case <-again.C:
		}
	}
}
