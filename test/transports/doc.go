// Package transports reads the same channels over every transport, from a real
// server, on its loops and through net/http.
//
// Invariant: a transport is a way to read and never changes what is read. Each
// scenario has one body, and one expectation, for all of them. What is said over a
// WebSocket is what the conversations of test/vectors have.
package transports
