// Package budget is what follows from a budget, the latency that a subscription
// tolerates: which transport is advised, how records are collected into writes,
// and what each transport costs.
//
// Invariant: everything here is a pure function of its arguments. What things
// cost comes in as Units, measured by somebody else; no I/O, no clock, no state.
package budget
