// Package multi serves connections that follow many channels: WebSockets at
// /v1/ws, and the SSE streams, long polls and polls of /v1/subscribe. All of
// them are cursors on one connection, with another ending each.
//
// Invariant: everything about a connection happens on its node, one task at a
// time, so nothing of it needs a lock. For a cursor nothing is kept but where it
// stands: what it lacks is read in its turn and framed once for all connections
// that stand there. A connection whose peer is slow is left alone, and not read
// from, until it has taken what it was given; it holds at most a page.
package multi
