//go:build real

// Package chrome drives pages in a headless Chromium.
//
// Invariant: what a page tells its console fails the test, unless the test says
// that it may be told.
package chrome

import (
	"context"
	"os/exec"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// Path is where Chromium is.
func Path(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium in the PATH: install the package chromium")
	return ""
}

// Browser is a Chromium that runs.
type Browser struct {
	ctx context.Context //nolint:containedctx // chromedp's handle of the browser
}

// Start runs a browser; it ends with the test.
func Start(t *testing.T) *Browser {
	t.Helper()
	path := Path(t)
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
	return &Browser{browser}
}
