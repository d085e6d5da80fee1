// Package subscription is the Durable Streams subscriptions (sections 6 and 7
// of the protocol): durable cursors over many channels that wake a worker, by
// webhook or through a wake channel, when one of them has something new.
//
// Invariant: what a subscription is lives in its own log, the channel
// $sys/subscription/{id}, whose last record is its whole state. Every change is
// one append under the condition that the tail has not moved, and nothing is
// answered or sent before that append is acknowledged. So of two nodes that
// want to change one subscription exactly one wins, the other reads what came
// and judges anew; and a node that starts finds every cursor, lease and retry
// where they were. Memory holds only what can be found again: the tails of the
// linked channels and the timers.
//
// Each subscription known to a node has one goroutine there, which owns it;
// requests are run on it one after the other. Leases are judged by each node's
// own clock.
//
// An acknowledged offset is the last one processed, the zero offset where
// nothing was. A channel that existed when it was linked is followed from its
// tail, one that came later from its beginning, with what it inherits. When a
// channel is deleted, a link by the pattern is dropped, and an explicit one stays
// and never wakes; if the channel comes back, its log epoch is larger than the
// acknowledged offset's, and it is followed from its beginning again. A fork that
// comes back can hold the acknowledged offset; then an explicit link goes on
// there.
package subscription
