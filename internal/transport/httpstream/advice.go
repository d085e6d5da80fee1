package httpstream

import (
	"net/http"
	"time"

	"twohop/internal/budget"
)

// tolerance is the budget of a read, one more than it says: 0 is that of a read
// that states none, and is given no advice.
type tolerance time.Duration

func parseBudget(s string) (tolerance, error) {
	d, err := budget.Parse(s)
	return tolerance(d + 1), err
}

// time is how late the read may be.
func (t tolerance) time() time.Duration { return max(0, time.Duration(t)-1) }

// advice is for a read that follows this one channel.
func (t tolerance) advice() budget.Advice { return budget.Advise(t.time(), 1, false) }

// lines are the header lines that tell the budget in force and the advice.
func (t tolerance) lines() string {
	if t == 0 {
		return ""
	}
	return "Stream-Budget: " + t.time().String() + "\r\nStream-Advice: " + t.advice().String() + "\r\n"
}

// set sets the headers that tell the budget in force and the advice.
func (t tolerance) set(hd http.Header) {
	if t != 0 {
		hd.Set("Stream-Budget", t.time().String())
		hd.Set("Stream-Advice", t.advice().String())
	}
}

// appendEvent appends the advice event of an SSE response, if another transport
// is advised.
func (t tolerance) appendEvent(dst []byte) []byte {
	if a := t.advice(); t != 0 && a.Transport != budget.SSE {
		return a.AppendSSE(dst)
	}
	return dst
}
