package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"twohop/client"
	"twohop/internal/config"
)

type followCmd struct {
	Channels []string `arg:"" name:"channel" help:"The channels, for example logs/app."`

	serverFlag
	From         string           `default:"start" placeholder:"WHERE" help:"Where to begin: start, now, --from=-N for the last N records, an offset, a time (RFC 3339), or an age like 5m or 7d."`
	Transport    client.Transport `default:"auto" placeholder:"NAME" help:"auto, ws, sse, long-poll or poll."`
	Budget       time.Duration    `placeholder:"TIME" help:"How late an update may be, for example 3s: the server collects within it, and auto takes what is cheapest."`
	PollInterval time.Duration    `placeholder:"TIME" help:"Between polls. What the server advises for the budget, else 2s."`
	Output       string           `short:"o" enum:"text,json" default:"text" placeholder:"FORM" help:"text or json. See above."`
	Records      uint64           `short:"n" placeholder:"N" help:"End after N records."`
	NoWait       bool             `help:"Fail if the channel does not exist, instead of waiting for it."`
	OffsetFile   string           `placeholder:"FILE" help:"Keep the offset in this file, and go on there the next time."`
	FailOnReset  bool             `help:"End with exit code 1 if records were missed or the channel was replaced."`
	Quiet        bool             `short:"q" help:"Say nothing but errors."`
}

// Help is what --help says below the usage.
func (followCmd) Help() string {
	return `Prints what is in the channel and what comes, until the channel is closed.
Connections that break and servers that restart are waited for, and nothing is
lost or printed twice. Where the server no longer has what comes next, a line on
the standard error says so, and it goes on.

-o text prints bytes as they were published, so the output of a channel that
twohop publish filled is its input. Records of a JSON channel come as one JSON
value a line. With several channels each line begins with "channel: ".

-o json prints one object a line: {"channel":...,"data":...} for a JSON record,
"text" for a line of text with its line break, "base64" for other bytes, "reset"
where the channel could not be read on. The last of a run has its "offset": give
it to --from, and nothing is lost or printed twice.

--from=-1 is the last record; start is all that is kept. In a channel that is
not JSON -n counts lines.

--transport auto takes what the server advises and the network lets through.
Several channels then share one connection, which needs a twohop server; of
other servers, ask for sse, long-poll or poll.

--offset-file is written after the output is. A crash between the two prints a
run again, never skips one.

Exit codes: 0 the channel is closed, -n is reached, or whoever read the output
has gone when more is to be printed; 1 something failed; 2 usage; 130 Ctrl-C.`
}

// Run follows the channels.
func (c *followCmd) Run(a *app) error {
	from, err := parseFrom(c.From, time.Now())
	if err != nil {
		return err
	}
	if c.OffsetFile != "" {
		switch {
		case len(c.Channels) > 1:
			return &usageError{message: "--offset-file is for one channel", hint: "run one twohop follow for each channel"}
		case c.Records > 0:
			return &usageError{message: "--offset-file and -n contradict each other", hint: "an offset stands between runs of records, where -n need not end"}
		}
		if from, err = c.savedOffset(from); err != nil {
			return err
		}
	}
	cl, err := client.New(c.Server, client.Options{})
	if err != nil {
		return err
	}
	out := newFollowOutput(a.Stdout, c.Output == "json", len(c.Channels) > 1, c.Records)
	err = c.print(a, out, c.fanIn(a, cl, from))
	switch {
	case errors.Is(err, errEnough):
		return nil
	case err == nil && a.Context.Err() != nil:
		return errInterrupted
	}
	return err
}

// followed is an event of one of the channels, or why its follower ended.
type followed struct {
	channel string
	event   client.Event
	err     error // the end, unless retry
	retry   bool  // err is not the end; of no channel, it is the connection's
	done    bool  // the channel is closed
}

// fan is what follows the channels, over one connection for all or one for each.
// Their events come out of one Go channel. Stopping it waits for them.
type fan struct {
	out  chan followed
	stop func()
}

func (c *followCmd) fanIn(a *app, cl *client.Client, from client.From) *fan {
	ctx, cancel := context.WithCancel(a.Context)
	out := make(chan followed)
	send := func(f followed) bool {
		select {
		case out <- f:
			return true
		case <-ctx.Done():
			return false
		}
	}
	var running sync.WaitGroup
	if len(c.Channels) > 1 && (c.Transport == client.Auto || c.Transport == client.WebSocket) {
		running.Go(func() { c.together(ctx, cl, from, send) })
	} else {
		for _, channel := range c.Channels {
			running.Go(func() { c.alone(ctx, cl, channel, from, send) })
		}
	}
	return &fan{out: out, stop: func() { cancel(); running.Wait() }}
}

// alone follows one channel by requests of its own, which any server of Durable
// Streams answers.
func (c *followCmd) alone(ctx context.Context, cl *client.Client, channel string, from client.From, send func(followed) bool) {
	o := client.FollowOptions{
		From: from, Transport: c.Transport, Budget: c.Budget, PollInterval: c.PollInterval, Wait: !c.NoWait,
		OnRetry: func(err error, _ time.Duration) { send(followed{channel: channel, err: err, retry: true}) },
	}
	for event, err := range cl.Follow(ctx, channel, o) {
		if !send(followed{channel: channel, event: event, err: err}) || err != nil {
			return
		}
	}
	send(followed{channel: channel, done: true})
}

// together follows all channels over one connection.
func (c *followCmd) together(ctx context.Context, cl *client.Client, from client.From, send func(followed) bool) {
	conn := cl.Connect(ctx, client.ConnOptions{
		Transport: c.Transport, PollInterval: c.PollInterval,
		OnRetry: func(channel string, err error, _ time.Duration) {
			send(followed{channel: channel, err: err, retry: true})
		},
	})
	defer conn.Close()
	for _, channel := range c.Channels {
		if _, err := conn.Follow(channel, client.ChannelOptions{From: from, Budget: c.Budget, Wait: !c.NoWait}); err != nil {
			send(followed{channel: channel, err: err})
			return
		}
	}
	for event, err := range conn.Events(ctx) {
		if !send(followed{channel: event.Channel, event: event, err: err}) || err != nil {
			return
		}
		if event.Closed && !send(followed{channel: event.Channel, done: true}) {
			return
		}
	}
}

// print prints events until all channels have ended. It alone writes.
func (c *followCmd) print(a *app, out *followOutput, events *fan) error {
	defer events.stop()
	notices := followNotices{w: a.Stderr, quiet: c.Quiet, down: map[string]bool{}}
	for open := len(c.Channels); open > 0; {
		var f followed
		select {
		case f = <-events.out:
		case <-a.Context.Done():
			return nil
		}
		switch {
		case f.retry:
			notices.retrying(f.channel, f.err)
			continue
		case f.err != nil:
			return f.err
		case f.done:
			open--
			continue
		}
		notices.event(f.channel, &f.event)
		if err := out.write(f.channel, &f.event); err != nil {
			return err
		}
		if err := c.saveOffset(f.event.Offset); err != nil {
			return err
		}
		if f.event.Reset != nil && c.FailOnReset {
			return &failure{message: fmt.Sprintf("%s: %v", f.channel, f.event.Reset), hint: "without --fail-on-reset it would have gone on"}
		}
	}
	return nil
}

// savedOffset is where to begin, by the offset file if it is there.
func (c *followCmd) savedOffset(from client.From) (client.From, error) {
	b, err := os.ReadFile(c.OffsetFile)
	switch offset := strings.TrimSpace(string(b)); {
	case errors.Is(err, os.ErrNotExist):
		return from, nil
	case err != nil:
		return from, &failure{message: "the offset file cannot be read", err: err}
	case offset == "" || strings.ContainsAny(offset, " \n\t"):
		return from, &failure{message: c.OffsetFile + " does not hold an offset", hint: "delete it to begin at --from"}
	default:
		return client.At(offset), nil
	}
}

// saveOffset replaces the offset file, whole or not at all.
func (c *followCmd) saveOffset(offset string) error {
	if c.OffsetFile == "" || offset == "" {
		return nil
	}
	fail := func(err error) error { return &failure{message: "the offset file cannot be written", err: err} }
	f, err := os.CreateTemp(filepath.Dir(c.OffsetFile), filepath.Base(c.OffsetFile)+".*")
	if err != nil {
		return fail(err)
	}
	_, err = f.WriteString(offset + "\n")
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.OffsetFile)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fail(err)
	}
	return nil
}

// parseFrom reads --from.
func parseFrom(s string, now time.Time) (client.From, error) {
	switch s {
	case "start":
		return client.Start(), nil
	case "now":
		return client.Now(), nil
	}
	var n uint64
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		if _, err := fmt.Sscanf(rest, "%d", &n); err == nil && fmt.Sprint(n) == rest {
			return client.Tail(n), nil
		}
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return client.Since(t), nil
	}
	if d, err := config.ParseDuration(strings.TrimSpace(strings.TrimSuffix(s, "ago"))); err == nil {
		return client.Since(now.Add(-d)), nil
	}
	// Offsets are opaque, but no server's has such characters.
	if s == "" || strings.ContainsAny(s, " \t\n") || strings.HasPrefix(s, "-") {
		return client.From{}, &usageError{message: fmt.Sprintf("--from %q is not a place to begin", s),
			hint: "use start, now, -10, an offset, a time like 2026-01-31T12:00:00Z, or an age like 5m or 7d"}
	}
	return client.At(s), nil
}
