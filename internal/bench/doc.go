// Package bench loads a twohop server and says what that costs: CPU, memory,
// bytes and time for each connect, delivery, publish and poll.
//
// Invariants:
//
//   - It sees the server from outside, as users do: over HTTP, and on its own
//     machine through what the system says of the server's process.
//   - Every record carries its channel, its number there and the time when it
//     was due to be published. A reader knows which number comes next, so that
//     every record that is lost, doubled, out of order or in the wrong channel
//     becomes a fault of the figure, and no figure is fast by losing something.
//   - Everything ends by itself: each scenario is bounded in time and in
//     records, and a cancelled context ends it early with what was measured.
//
// The reading side is cheap, because it shares the machine with the server it
// measures. Protocol state is in reader, response and frames, which are fed
// bytes and do no I/O. A driver feeds them: on Linux one goroutine with epoll and
// non-blocking sockets (loop), elsewhere and for https a goroutine for each
// connection (sockets). Nobody decodes JSON; findMark looks for the marks.
package bench
