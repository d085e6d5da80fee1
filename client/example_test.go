package client_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"twohop"
	"twohop/client"
	"twohop/server"
)

// example is a client of a server with two channels.
func example(ctx context.Context) (c *client.Client, stop func()) {
	config := server.DefaultConfig()
	config.Engine = "memory"
	s, err := server.New(server.Options{Config: &config, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	h := httptest.NewServer(s.Handler())
	c, err = client.New(h.URL, client.Options{})
	if err != nil {
		panic(err)
	}
	for _, channel := range []string{"seats/a", "seats/b"} {
		if _, err := c.Create(ctx, channel, client.CreateOptions{ContentType: "application/json"}); err != nil {
			panic(err)
		}
	}
	return c, func() {
		h.CloseClientConnections()
		h.Close()
		if err := s.Close(); err != nil {
			panic(err)
		}
	}
}

// One channel, from its start and for as long as it goes on.
func ExampleClient_Follow() {
	ctx := context.Background()
	c, stop := example(ctx)
	defer stop()
	last := client.PublishOptions{ContentType: "application/json", Close: true}
	if _, err := c.Publish(ctx, "seats/a", []byte(`[{"seat":"A1"},{"seat":"A2"}]`), last); err != nil {
		fmt.Println(err)
	}

	for event, err := range c.Follow(ctx, "seats/a", client.FollowOptions{Budget: 3 * time.Second}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if event.Reset != nil { // never silently: this says what was missed, and why
			fmt.Println(event.Reset)
		}
		for _, record := range event.Records {
			fmt.Printf("%s\n", record)
		}
		// Keep event.Offset: client.At(offset) goes on there, in another process
		// too.
	}
	// Output:
	// {"seat":"A1"}
	// {"seat":"A2"}
}

// Many channels over one connection, which may change its transport at any
// time.
func ExampleClient_Connect() {
	ctx := context.Background()
	c, stop := example(ctx)
	defer stop()

	conn := c.Connect(ctx, client.ConnOptions{})
	defer conn.Close()
	for _, channel := range []string{"seats/a", "seats/b"} {
		if _, err := conn.Follow(channel, client.ChannelOptions{}); err != nil {
			fmt.Println(err)
			return
		}
	}
	say := func(channel, record string) {
		if _, err := conn.Publish(ctx, channel, []byte(record), client.PublishOptions{ContentType: "application/json"}); err != nil {
			fmt.Println(err)
		}
	}
	say("seats/a", `{"seat":"A1"}`)
	records := 0
	for event, err := range conn.Events(ctx) {
		if err != nil {
			fmt.Println(event.Channel, err)
			return
		}
		for _, record := range event.Records {
			fmt.Printf("%s: %s\n", event.Channel, record)
			if records++; records == 1 {
				conn.SetTransport(client.SSE)
				say("seats/b", `{"seat":"B7"}`)
			}
		}
		if records == 2 {
			break
		}
	}
	// Output:
	// seats/a: {"seat":"A1"}
	// seats/b: {"seat":"B7"}
}

// One publish, with a key: it is sent until it is answered, and takes effect
// once.
func ExampleClient_Publish() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, stop := example(ctx)
	defer stop()

	o := client.PublishOptions{ContentType: "application/json", IdempotencyKey: "order-4711"}
	for range 2 { // the second time as after a crash
		ack, err := c.Publish(ctx, "seats/a", []byte(`{"seat":"A1","taken":true}`), o)
		switch {
		case client.IsCode(err, twohop.CodeUnknownOutcome): // no answer in all the time: later again, with the same key
			fmt.Println(err)
		case err != nil: // refused, and not there
			fmt.Println(err)
		default:
			fmt.Println("level:", ack.Level, "duplicate:", ack.Duplicate)
		}
	}

	// Only if nothing came in between.
	o = client.PublishOptions{ContentType: "application/json", IfMatch: "0000000000000000_0000000000000000"}
	_, err := c.Publish(ctx, "seats/a", []byte(`{"seat":"A1","taken":true}`), o)
	fmt.Println("somebody else was quicker:", client.IsCode(err, twohop.CodeTailMoved))
	// Output:
	// level: memory duplicate: false
	// level: memory duplicate: true
	// somebody else was quicker: true
}

// A token for each request, and for a WebSocket before the last one runs out.
func ExampleOptions() {
	token := func() string { return "..." } // from where you keep it; it may have been renewed meanwhile
	c, err := client.New("https://updates.example", client.Options{
		Header: func() http.Header { return http.Header{"Authorization": {"Bearer " + token()}} },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.URL("seats/a"))
	// Output:
	// https://updates.example/v1/stream/seats/a <nil>
}

// A publisher sends in batches, and repeats each until it is acknowledged: every
// record is there once.
func ExampleClient_NewPublisher() {
	ctx := context.Background()
	c, stop := example(ctx)
	defer stop()

	p, err := c.NewPublisher(ctx, "seats/a", client.PublisherOptions{ContentType: "application/json"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range 3 {
		if err := p.Publish(ctx, fmt.Appendf(nil, `{"seat":"A%d"}`, i)); err != nil {
			fmt.Println(err)
		}
	}
	if err := p.Close(ctx); err != nil { // waits until all is acknowledged
		fmt.Println(err)
	}

	conn := c.Connect(ctx, client.ConnOptions{Transport: client.WebSocket})
	defer conn.Close()
	last, err := conn.Follow("seats/a", client.ChannelOptions{From: client.Tail(1)})
	if err != nil {
		fmt.Println(err)
		return
	}
	for event, err := range last.Events(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, record := range event.Records {
			fmt.Printf("%s\n", record)
			last.Close()
		}
	}
	// Output:
	// {"seat":"A2"}
}
