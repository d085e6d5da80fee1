package multi

import (
	"net/http"
	"time"

	"twohop/internal/budget"
	"twohop/internal/wire"
)

// advise tells the client about a channel's budget, if another transport than
// the WebSocket meets it at less cost. coming is how many channels of the same
// frame are still to be answered.
func (s *socket) advise(c *cursor, f *wire.Follow, coming int) {
	if !f.HasBudget {
		return
	}
	a := budget.Advise(f.Budget, int(s.alive)+coming, s.publishes)
	if a.Transport == budget.WebSocket {
		return
	}
	s.lone = a.Transport == budget.SSE
	s.own(wire.AppendAdvice(s.node.scratch(), c.name, string(a.Transport), a.Interval))
}

// settle takes back the advice that was for a connection which did nothing but
// follow one channel.
func (s *socket) settle() {
	if s.lone && (s.alive > 1 || s.publishes) {
		s.lone = false
		s.own(wire.AppendAdvice(s.node.scratch(), "", string(budget.WebSocket), 0))
	}
}

// budgetsInForce makes the budgets that were asked for those that are.
func budgetsInForce(list []wire.Follow) {
	for i := range list {
		list[i].Budget = budget.InForce(list[i].Budget)
	}
}

// terms are what a request's channels are followed by, if it is the same for all.
type terms struct {
	budget time.Duration
	stated bool // the request states a budget, and one only
	advice budget.Advice
}

func termsOf(list []wire.Follow) terms {
	first := &list[0]
	for i := range list {
		if f := &list[i]; !f.HasBudget || f.Budget != first.Budget {
			return terms{}
		}
	}
	return terms{first.Budget, true, budget.Advise(first.Budget, len(list), false)}
}

// lines are the header lines that tell the budget in force and the advice.
func (t *terms) lines() string {
	if !t.stated {
		return ""
	}
	return "Stream-Budget: " + t.budget.String() + "\r\nStream-Advice: " + t.advice.String() + "\r\n"
}

// set sets the header fields that lines has.
func (t *terms) set(hd http.Header) {
	if t.stated {
		hd.Set("Stream-Budget", t.budget.String())
		hd.Set("Stream-Advice", t.advice.String())
	}
}

// advise tells the reader of an SSE response, where another transport is
// advised: once for all channels, or for each that differs.
func (s *stream) advise(list []wire.Follow) {
	if s.live != sse {
		return // a header says it
	}
	tell := func(channel string, a budget.Advice) {
		if a.Transport != budget.SSE {
			s.own(wire.AppendAdvice(s.node.scratch(), channel, string(a.Transport), a.Interval))
		}
	}
	if t := termsOf(list); t.stated {
		tell("", t.advice)
		return
	}
	for i := range list {
		if f := &list[i]; f.HasBudget {
			tell(f.Channel, budget.Advise(f.Budget, len(list), false))
		}
	}
}
