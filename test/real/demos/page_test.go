//go:build real

package demos_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"

	"twohop/test/real/chrome"
	"twohop/test/rig"
)

// page is a demo in a tab of its own.
type page struct{ *chrome.Page }

// choose switches one of the segments.
func (p page) choose(name, value string) {
	p.T.Helper()
	p.Do(chromedp.Click(chromedp.CSS(fmt.Sprintf("input[name=%s][value=%q]", name, value))))
}

// text is what an element says.
func text(id string) string { return fmt.Sprintf("document.getElementById(%q).textContent", id) }

// number reads a figure as it stands on the page: "1,240", "12K since you came".
func number(id string) string {
	return fmt.Sprintf(`((s) => parseFloat(s) * ({ K: 1e3, M: 1e6 }[s.at(-1)] ?? 1))(%s.replaceAll(',', '').split(' ')[0] || '0')`, text(id))
}

var readersLine = regexp.MustCompile(`(?m)^twohop_readers\{transport="sse"\} (\d+)$`)

// crowd is how many read one channel each over SSE, as the simulated people do and
// the pages don't.
func crowd(t *testing.T, s *rig.Server) int {
	t.Helper()
	m := readersLine.FindStringSubmatch(rig.MustSend(t, http.StatusOK, http.MethodGet, s.URL+"/metrics", nil, "").Body)
	if m == nil {
		return -1
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
