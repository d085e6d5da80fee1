// Package twohop holds the words that every part of the server and its clients
// share: offset, batch, channel, acknowledgement, reset, rule and error.
//
// Invariant: values in this package are plain data. It uses the standard
// library only, starts no goroutine and takes no lock, so that a program that
// imports the client links nothing else of the server.
//
// # Terminology
//
//   - record: one message as stored: bytes and a time; immutable.
//   - batch: a run of consecutive records in wire encoding; the unit of read,
//     write and cache.
//   - channel: a named log, addressed by URL. The Durable Streams protocol
//     calls it a stream.
//   - offset: an opaque, sortable position between records: "read after this".
//   - start, tail: the smallest offset that can be read from; the offset after
//     the newest record.
//   - high-watermark: the largest offset that readers may see; at most the tail.
//   - cursor: a subscriber's place: channel, offset, budget.
//   - log epoch: one incarnation of a channel's log. Producer epoch is another
//     thing: the fencing number of a producer.
//   - append, publish: add a batch at the tail; a client's act that ends in an
//     append.
//   - reset: the explicit answer to an offset that cannot be served.
//   - level: what an acknowledgement is worth: memory, disk, replicated.
//
// A Go "chan" is always called a Go channel.
package twohop
