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
// A Client is safe for concurrent use and holds no goroutine. A Follow runs in
// the goroutine of whoever ranges over it. A Publisher runs one goroutine, plus
// one for each request under way, and Close waits for all of them.
//
//	c, err := client.New("http://127.0.0.1:4437", client.Options{})
//	...
//	for event, err := range c.Follow(ctx, "seats/a", client.FollowOptions{}) {
//		if err != nil {
//			return err
//		}
//		for _, record := range event.Records {
//			fmt.Printf("%s\n", record)
//		}
//	}
//
// Offsets are opaque strings here: keep Event.Next, and pass it to At to go on
// from there, in another process or over another transport.
package client
