//go:build real

package chrome

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"twohop/test/rig"
)

// Page is a page in a tab of its own.
type Page struct {
	T   *testing.T
	tab context.Context //nolint:containedctx // chromedp's handle of the tab

	mu     sync.Mutex
	faults []string // what the browser's console was told
}

// Open loads a page, which is closed with the test. Until then its console must
// be told nothing, but for what begins as tolerated says.
func (b *Browser) Open(t *testing.T, url string, tolerated ...string) *Page {
	t.Helper()
	p := &Page{T: t}
	var closeTab context.CancelFunc
	p.tab, closeTab = chromedp.NewContext(b.ctx)
	t.Cleanup(func() {
		_ = chromedp.Do(p.tab, chromedp.Navigate("about:blank")) // so that the page can say that it goes
		closeTab()
		p.checkConsole(tolerated)
	})
	if err := chromedp.Listen(p.tab, p.hear); err != nil {
		t.Fatal(err)
	}
	p.Do(chromedp.Navigate(url))
	return p
}

func (p *Page) hear(event any) {
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
	p.faults = append(p.faults, fault)
}

func (p *Page) checkConsole(tolerated []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fault := range p.faults {
		if strings.HasSuffix(strings.Split(fault+" (", " (")[0], "WebSocket is closed before the connection is established.") {
			continue // a page that goes, or changes its transport, while it connects
		}
		if !slices.ContainsFunc(tolerated, func(prefix string) bool { return strings.HasPrefix(fault, prefix) }) {
			p.T.Errorf("the console was told: %s", fault)
		}
	}
}

// Do takes steps in the page.
func (p *Page) Do(steps ...chromedp.Action[chromedp.Void]) {
	p.T.Helper()
	if err := chromedp.Do(p.tab, steps...); err != nil {
		p.T.Fatal(err)
	}
}

// Evaluate is the value of a JavaScript expression in the page.
func Evaluate[T any](p *Page, expression string) T {
	p.T.Helper()
	value, err := evaluate[T](p, expression)
	if err != nil {
		p.T.Fatal(err)
	}
	return value
}

func evaluate[T any](p *Page, expression string) (T, error) {
	value, err := chromedp.Run(p.tab, chromedp.Evaluate[T](expression))
	if err != nil {
		err = fmt.Errorf("%s: %w", expression, err)
	}
	return value, err
}

// Wait waits until a JavaScript expression is true. The page may be left for
// another in the midst of being asked: then the other is asked.
func (p *Page) Wait(what, expression string) {
	p.T.Helper()
	rig.WaitFor(p.T, what, func() bool {
		isSo, err := evaluate[bool](p, "Boolean("+expression+")")
		if isLeaving(err) {
			p.T.Logf("asked again: %v", err)
			return false
		}
		if err != nil {
			p.T.Fatal(err)
		}
		return isSo
	})
}

// isLeaving tells that the browser had no page to ask, as its protocol says it:
// by no code of its own, unlike an exception in the page.
func isLeaving(err error) bool {
	const serverError = -32000
	fault, ok := errors.AsType[*cdproto.Error](err)
	return ok && fault.Code == serverError
}
