// Package client publishes to and follows channels of a twohop server. It also
// works with any other server that speaks the Durable Streams protocol.
//
// Invariant: what a follower is given is the channel's records in order, each
// once. Bytes count as delivered only when the answer or event that carries
// them was read whole, together with the offset after them; anything that was
// cut is thrown away and read again from the last offset. What a publisher has
// taken is sent under the same producer triple until it is acknowledged, so it
// takes effect once, however often connections break or the server restarts.
//
// The offset is the whole of a follower: a transport may be changed in mid-stream,
// a connection may break, a server be restarted, and what follows the offset is
// the same. So nothing is ever queued without bound: what is not ranged over is
// read from the channel again when it is wanted.
//
// # One channel, many channels
//
// [Client.Follow] reads one channel by requests of its own, as any server of
// Durable Streams answers them. A [Conn] follows any number of channels over one
// connection, and publishes over it where it is a WebSocket; [Conn.Events] ranges
// over all of them, [Following.Events] over one.
//
// # Transports
//
// [Auto], the default, takes what the server advises for the budgets that the
// channels state: polls where seconds are enough, SSE for one channel, a
// WebSocket for many. Where the network does not let that through, it goes down:
// a refused WebSocket makes it SSE, SSE whose first byte does not come within two
// seconds long poll. It remembers that for all that the Client does, looks again
// after some minutes while the lower one serves, and goes up when it can. Any
// other transport is kept whatever happens; [Conn.SetTransport] changes it.
//
// # Errors
//
// What a server or this client refuses is a *twohop.Error: Code for programs
// ([IsCode] asks for one), Message for what is wrong, Hint for what to do about
// it. A context's end is the context's error. Connections that break are no
// errors, but for a publish without an answer: see [Client.Publish].
//
// # Concurrency
//
// A Client is safe for concurrent use and holds no goroutine. A Follow runs in
// the goroutine of whoever ranges over it, beside one that looks at times whether
// a better transport gets through. A Conn and a Publisher run goroutines of their
// own, and Close waits for all of them. Callbacks are called without a lock held,
// one of the Conn's goroutines waiting for them, so they must not call Close.
package client
