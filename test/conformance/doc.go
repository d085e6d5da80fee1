// Package conformance runs the Durable Streams server conformance suite, and the
// Durable Streams project's own TypeScript client, against the real command, on
// every engine and with pages so small that reads need many of them.
//
// Invariant: every test of the suite passes, and none is left out: the number
// of tests is part of what is asserted.
package conformance
