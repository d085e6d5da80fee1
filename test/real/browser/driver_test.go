//go:build real

package browser_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"twohop/test/real/chrome"
	"twohop/test/rig"
)

// browser is a Chromium behind driver.mjs.
type browser struct {
	in  io.Writer
	out *bufio.Reader
}

// request is what driver.mjs reads.
type request struct {
	Do           string `json:"do"`
	Of           int    `json:"of"`
	URL          string `json:"url,omitempty"`
	Expression   string `json:"expression,omitempty"`
	Offline      bool   `json:"offline"`
	Milliseconds int64  `json:"milliseconds,omitempty"`
}

// startBrowser runs a headless Chromium; it ends with the test.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	rig.Install(t)
	// Not bound to the test's context: it ends with its stdin, which closes the browser.
	driver := exec.CommandContext(context.WithoutCancel(t.Context()), "node", "driver.mjs", chrome.Path(t))
	driver.Stderr = os.Stderr
	in, err := driver.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := driver.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := driver.Wait(); err != nil {
			t.Errorf("the driver of the browser: %v", err)
		}
	})
	return &browser{in: in, out: bufio.NewReader(out)}
}

// ask sends a request and puts its answer into value.
func (b *browser) ask(t *testing.T, r request, value any) {
	t.Helper()
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		t.Fatalf("the driver of the browser: %v", err)
	}
	if line, err = b.out.ReadBytes('\n'); err != nil {
		t.Fatalf("the driver of the browser: %v", err)
	}
	var answer struct {
		Value json.RawMessage `json:"value"`
		Error string          `json:"error"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Error != "" {
		t.Fatalf("%s %s%s: %s", r.Do, r.URL, r.Expression, answer.Error)
	}
	if value == nil {
		return
	}
	if err := json.Unmarshal(answer.Value, value); err != nil {
		t.Fatalf("%s %s: %v", r.Do, r.Expression, err)
	}
}

// window is a browser of its own: what its pages store and share is theirs.
type window struct {
	t  *testing.T
	b  *browser
	id int
}

// openWindow opens one. At the end of the test the console of its pages must be
// empty, but for what begins as tolerated says.
func openWindow(t *testing.T, b *browser, tolerated ...string) *window {
	t.Helper()
	w := &window{t: t, b: b}
	b.ask(t, request{Do: "context"}, &w.id)
	t.Cleanup(func() {
		var faults []string
		b.ask(t, request{Do: "closeContext", Of: w.id}, &faults)
		for _, fault := range faults {
			if !slices.ContainsFunc(tolerated, func(prefix string) bool { return strings.HasPrefix(fault, prefix) }) {
				t.Errorf("the console was told: %s", fault)
			}
		}
	})
	return w
}

func (w *window) setOffline(offline bool) {
	w.t.Helper()
	w.b.ask(w.t, request{Do: "offline", Of: w.id, Offline: offline}, nil)
}

// tab is a page with page.js in it.
type tab struct {
	*window
	id     int
	closed bool
}

// open loads a page of the server; which one says nothing, it only must be the
// server's.
func (w *window) open(url string) *tab {
	w.t.Helper()
	p := &tab{window: w}
	w.b.ask(w.t, request{Do: "page", Of: w.id, URL: url + "/health"}, &p.id)
	w.t.Cleanup(func() {
		if w.t.Failed() && !p.closed {
			w.t.Log(evaluate[string](p, "story()"))
		}
	})
	return p
}

func (p *tab) reload() {
	p.t.Helper()
	p.b.ask(p.t, request{Do: "reload", Of: p.id}, nil)
}

func (p *tab) close() {
	p.t.Helper()
	p.closed = true
	p.b.ask(p.t, request{Do: "closePage", Of: p.id}, nil)
}

// run runs JavaScript in the page.
func (p *tab) run(format string, values ...any) {
	p.t.Helper()
	p.b.ask(p.t, request{Do: "evaluate", Of: p.id, Expression: "void (" + expression(format, values) + ")"}, nil)
}

// evaluate is the value of a JavaScript expression in the page.
func evaluate[T any](p *tab, format string, values ...any) (value T) {
	p.t.Helper()
	p.b.ask(p.t, request{Do: "evaluate", Of: p.id, Expression: expression(format, values)}, &value)
	return value
}

// expression puts values into JavaScript.
func expression(format string, values []any) string {
	for i, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // only what tests write down comes here
		}
		values[i] = text
	}
	return fmt.Sprintf(format, values...)
}

// wait waits until a JavaScript expression is true.
func (p *tab) wait(what, format string, values ...any) {
	p.t.Helper()
	e := "Boolean(" + expression(format, values) + ")"
	rig.WaitFor(p.t, what, func() bool { return evaluate[bool](p, e) })
}
