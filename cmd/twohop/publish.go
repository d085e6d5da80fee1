package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"twohop"
	"twohop/client"
	"twohop/internal/config"
)

// serverFlag is the flag of every subcommand that talks to a server.
type serverFlag struct {
	Server string `env:"TWOHOP_SERVER" default:"http://127.0.0.1:4437" placeholder:"URL" help:"The server."`
}

type publishCmd struct {
	Channel  string   `arg:"" help:"The channel, for example logs/app."`
	Messages []string `arg:"" optional:"" name:"message" help:"Records to publish. Without any, the standard input's lines are."`

	serverFlag
	File     string `short:"f" placeholder:"FILE" help:"Publish this file's lines instead of the standard input's."`
	JSON     bool   `name:"json" help:"The input is JSON values, one a line or back to back; each is a record."`
	Key      string `placeholder:"KEY" help:"Publish change events of this key (Durable Streams State Protocol)."`
	Type     string `default:"record" help:"The type in change events."`
	ID       string `name:"id" placeholder:"ID" help:"Run again with the same ID and input, and nothing is published twice. See above."`
	Batch    int    `default:"1" placeholder:"N" help:"With --id: records in each request."`
	NoCreate bool   `help:"Do not create the channel."`
	TTL      span   `placeholder:"TIME" help:"A channel that is created expires after this long without reads or writes, for example 7d."`
	Close    bool   `help:"Close the channel at the end."`
	Quiet    bool   `short:"q" help:"Say nothing but errors."`
}

// span is a duration as it is written in the configuration.
type span time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *span) UnmarshalText(text []byte) error {
	d, err := config.ParseDuration(string(text))
	*s = span(d)
	return err
}

// Help is what --help says below the usage.
func (publishCmd) Help() string {
	return `Each line is a record, its line break included, so that reading the channel
gives the input back byte for byte. A line is sent as soon as it is there; what
comes while a request is under way goes out together in the next one. In a
channel of application/json that exists already, lines are published as JSON
strings, without their line breaks. A MESSAGE gets a line break, as from echo.

A server that is away is waited for. Each request is repeated until the server
acknowledges it, and takes effect once.

--id makes that hold for the whole command: run it again after a crash, with the
same ID and the same input, and what was published before stays as it is. Record
number n is known to the server as (ID, 0, n), so input that has grown since goes
on where it ended. Each record is a request of its own then. --batch N puts N
into each, which is faster; but then repeat with the same N and the very same
input: at its end a batch that is not full counts as done. One ID is for one
input.

Ctrl-C publishes what was read, with --batch whole batches of it, and ends with
exit code 130; a second one ends at once. Other exit codes: 0 all is
acknowledged, 1 something failed, 2 usage.`
}

// flushTime is how long an interrupted publish waits for acknowledgements.
const flushTime = 10 * time.Second

// Run publishes the input.
func (c *publishCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return err
	}
	cl, err := client.New(c.Server, client.Options{})
	if err != nil {
		return err
	}
	input, err := c.input(a)
	if err != nil {
		return err
	}
	defer func() { _ = input.Close() }()

	status := newPublishStatus(a, c)
	contentType, err := c.prepare(a, cl, status)
	if err != nil {
		return err
	}
	// The publisher outlives an interrupt: what was read is published.
	p, err := cl.NewPublisher(context.WithoutCancel(a.Context), c.Channel, c.options(contentType, status))
	if err != nil {
		return err
	}
	err = c.pump(a, p, c.records(input, twohop.IsJSON(contentType)), status)
	if err == nil && c.Close {
		err = retrying(a.Context, status.waiting, func() error { return cl.CloseChannel(a.Context, c.Channel) })
	}
	status.summary(err)
	return err
}

func (c *publishCmd) check() error {
	switch {
	case c.File != "" && len(c.Messages) > 0:
		return &usageError{message: "both messages and --file are given", hint: "publish one or the other"}
	case c.Batch < 1:
		return &usageError{message: fmt.Sprintf("--batch %d is not a number of records", c.Batch), hint: "use 1 or more"}
	case c.Batch > 1 && c.ID == "":
		return &usageError{message: "--batch is for --id", hint: "without --id batches are made as fits best"}
	}
	return nil
}

// input is what is read, if it is not messages.
func (c *publishCmd) input(a *app) (io.ReadCloser, error) {
	switch {
	case len(c.Messages) > 0:
		return io.NopCloser(nil), nil
	case c.File != "":
		f, err := os.Open(c.File)
		if err != nil {
			return nil, &failure{message: "the input cannot be read", err: err}
		}
		return f, nil
	}
	if a.StdinIsTerminal && !c.Quiet {
		_, _ = fmt.Fprintln(a.Stderr, "each line that you type is published; Ctrl-D ends")
	}
	return io.NopCloser(a.Stdin), nil
}

// prepare finds the channel's content type, and creates the channel if it is
// not there.
func (c *publishCmd) prepare(a *app, cl *client.Client, status *publishStatus) (string, error) {
	wantsJSON := c.JSON || c.Key != ""
	contentType := "text/plain"
	if wantsJSON {
		contentType = "application/json"
	}
	var info client.Info
	err := retrying(a.Context, status.waiting, func() (err error) {
		info, err = cl.Head(a.Context, c.Channel)
		if client.IsCode(err, twohop.CodeNotFound) && !c.NoCreate {
			info, err = cl.Create(a.Context, c.Channel, client.CreateOptions{ContentType: contentType, TTL: time.Duration(c.TTL)})
			if client.IsCode(err, twohop.CodeExists) { // created meanwhile
				info, err = cl.Head(a.Context, c.Channel)
			}
		}
		return err
	})
	switch {
	case client.IsCode(err, twohop.CodeNotFound) && c.NoCreate:
		return contentType, nil // the server's rules may create it at the first publish
	case err != nil:
		return "", err
	case wantsJSON && !twohop.IsJSON(info.ContentType):
		return "", &failure{message: fmt.Sprintf("%s keeps %s, and --json and --key need application/json", c.Channel, info.ContentType),
			hint: "leave them out, or use another channel"}
	}
	return info.ContentType, nil
}

func (c *publishCmd) options(contentType string, status *publishStatus) client.PublisherOptions {
	o := client.PublisherOptions{
		ContentType: contentType,
		Lines:       len(c.Messages) == 0, // a message may hold line breaks and is one record still
		OnAck:       status.acknowledged,
		OnRetry:     func(err error, _ time.Duration) { status.retrying(err) },
	}
	if !c.NoCreate {
		o.Create = &client.CreateOptions{TTL: time.Duration(c.TTL)}
	}
	if c.ID != "" {
		o.ProducerID, o.FixedBatches, o.MaxBatchRecords, o.MaxInFlight = c.ID, true, c.Batch, 5
	}
	return o
}

// pump publishes all records, and shows how it goes. An interrupt ends the
// reading, not the publishing.
func (c *publishCmd) pump(a *app, p *client.Publisher, records recordSeq, status *publishStatus) error {
	read := make(chan error, 1)
	go func() { // ends with the input; an interrupt leaves it to the end of the process, for a read cannot be stopped
		for record, err := range records {
			if err == nil {
				err = p.Publish(context.WithoutCancel(a.Context), record)
			}
			if err != nil {
				read <- err
				return
			}
		}
		read <- nil
	}()
	closed := make(chan error, 1)
	var failed error
	var givenUp int
	interrupt, ended := a.Context.Done(), p.Done()
	tick := status.ticks()
	defer tick.Stop()
	closing := false
	flush := func(ctx context.Context) {
		if closing {
			return
		}
		closing = true
		whole := failed == nil
		go func() { // ends before pump does
			if whole {
				closed <- p.Close(ctx)
				return
			}
			n, err := p.Stop(ctx)
			givenUp = n
			closed <- err
		}()
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.Context))
	defer cancel()
	for {
		select {
		case err := <-read:
			if !closing { // else it is the input's end, or that nothing is taken any more
				failed = err
			}
			flush(ctx)
		case <-ended: // refused for good, while the input may be idle
			ended = nil
			flush(ctx)
		case <-interrupt:
			interrupt = nil
			failed = errInterrupted
			timeout := time.AfterFunc(flushTime, cancel)
			defer timeout.Stop()
			flush(ctx)
		case <-tick.C:
			status.show()
		case err := <-closed:
			if err != nil && (failed == nil || errors.Is(failed, errInterrupted) || errors.Is(failed, client.ErrPublisherClosed)) {
				failed = c.unpublished(p, err)
			}
			if givenUp > 0 {
				status.givenUp(givenUp)
			}
			return failed
		}
	}
}

// unpublished is the error for records that were read and not acknowledged.
func (c *publishCmd) unpublished(p *client.Publisher, err error) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	return &failure{message: fmt.Sprintf("interrupted with %d records not acknowledged by the server", p.Pending()),
		hint: "they may be in the channel or not; with --id, running the command again settles it"}
}

// retrying calls f until it succeeds, fails for good or the context ends.
func retrying(ctx context.Context, told func(error), f func() error) error {
	for {
		err := f()
		switch {
		case ctx.Err() != nil:
			return errInterrupted
		case !client.IsCode(err, twohop.CodeUnavailable):
			return err
		}
		told(err)
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return errInterrupted
		}
	}
}

const retryPause = 500 * time.Millisecond
