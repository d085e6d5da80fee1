// Package enginetest is the one suite that every engine passes.
//
// Invariant: a case knows the contract (package engine) and nothing of the
// engine it runs on: positions may have gaps, a page may be smaller than asked
// for, retention may be late, the feed may come from elsewhere. After each
// change the whole log is read again and compared with what was acknowledged.
package enginetest

import (
	"testing"
	"testing/synctest"

	"twohop/internal/engine"
)

// Suite says how to get an engine. Open makes an empty one that has not been
// followed; the suite closes it. Cases with time in them run in a
// testing/synctest bubble, and Open is called in it.
type Suite struct {
	Open func(t *testing.T) engine.Engine

	// Reopen closes an engine and opens one on the same data. It is nil for
	// engines that keep nothing.
	Reopen func(t *testing.T, e engine.Engine) engine.Engine

	// Real is for engines that work with what no bubble holds, as sockets: they
	// run the cases that have no time in them.
	Real bool
}

// Run runs the suite on engines that keep nothing when they are closed.
func Run(t *testing.T, open func(t *testing.T) engine.Engine) {
	t.Helper()
	Suite{Open: open}.Run(t)
}

// group is the cases of one theme. Those with both run on a channel of JSON
// values and on one of text; those with bubble have time in them.
type group struct {
	name  string
	cases []testCase
}

type testCase struct {
	name   string
	run    func(f *fixture)
	both   bool
	bubble bool
	needs  func(engine.Capabilities) bool
}

// Run runs the suite.
func (s Suite) Run(t *testing.T) {
	t.Helper()
	groups := []group{
		{"Create", createCases()}, {"Append", appendCases()}, {"Judge", judgeCases()}, {"Producer", producerCases()},
		{"Read", readCases()}, {"Reset", resetCases()}, {"Close", closeCases()}, {"Delete", deleteCases()},
		{"Fork", forkCases()}, {"ForkPoint", forkPointCases()}, {"Lifetime", lifetimeCases()}, {"Retention", retentionCases()},
		{"Feed", feedCases()}, {"Concurrent", concurrentCases()}, {"Model", modelCases()},
	}
	if s.Reopen != nil {
		groups = append(groups, group{"Durable", durableCases()})
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				if s.Real && c.bubble {
					continue
				}
				t.Run(c.name, func(t *testing.T) { s.runCase(t, c) })
			}
		})
	}
}

var labels = map[string]string{text: "Text", json: "JSON"}

func (s Suite) runCase(t *testing.T, c testCase) {
	kinds := []string{text}
	if c.both {
		kinds = []string{text, json}
	}
	for _, kind := range kinds {
		one := func(t *testing.T) {
			f := newFixture(t, s, kind, c.bubble)
			if c.needs == nil || c.needs(f.eng.Capabilities()) {
				c.run(f)
				f.finish()
			}
		}
		switch {
		case c.bubble && c.both:
			t.Run(labels[kind], func(t *testing.T) { synctest.Test(t, one) })
		case c.bubble:
			synctest.Test(t, one)
		case c.both:
			t.Run(labels[kind], one)
		default:
			one(t)
		}
	}
}

func hasRetention(c engine.Capabilities) bool    { return c.Retention }
func hasConditions(c engine.Capabilities) bool   { return c.Conditional }
func lacksConditions(c engine.Capabilities) bool { return !c.Conditional }
