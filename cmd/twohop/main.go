// Command twohop is the server and the tools around it, one file for each
// subcommand.
//
// Invariant: a subcommand talks to the world through its app only: standard
// streams, the context that Ctrl-C cancels, and the error that it returns. main
// alone prints errors and chooses the exit code: 0 is success, 1 failure, 2 a
// fault in how the command was called, 130 an interrupt that cut work short.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"twohop"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// errInterrupted ends a subcommand that a signal cut short. It is not printed.
var errInterrupted = errors.New("interrupted")

// app is what a subcommand has of the world. Run methods get a pointer to it.
type app struct {
	Context context.Context // cancelled by the first SIGINT or SIGTERM; a second one ends the process
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer

	StdinIsTerminal  bool
	StdoutIsTerminal bool
	StderrIsTerminal bool
}

// cli is the command line: a field for each subcommand.
type cli struct {
	Serve   serveCmd   `cmd:"" help:"Run the server."`
	Demo    demoCmd    `cmd:"" help:"Run the server with demos of what it is for, and people to use them."`
	Publish publishCmd `cmd:"" help:"Publish messages, a file's lines or the standard input's to a channel."`
	Follow  followCmd  `cmd:"" help:"Print what is in channels, and what comes."`
	Config  configCmd  `cmd:"" help:"Check or print the server's configuration."`
	Advise  adviseCmd  `cmd:"" help:"Which transport? What an audience costs by each of them."`
	Bench   benchCmd   `cmd:"" help:"Measure what a server costs on this machine, or how a deployment does."`
	Version versionCmd `cmd:"" help:"Print the version and how this twohop was built."`
}

// usageError is a fault in how the command was called.
type usageError struct{ message, hint string }

func (e *usageError) Error() string { return e.message }

// failure is an error with a hint for whoever called the command.
type failure struct {
	message, hint string
	err           error
}

func (e *failure) Error() string {
	if e.err != nil {
		return e.message + ": " + e.err.Error()
	}
	return e.message
}

func (e *failure) Unwrap() error { return e.err }

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)   // with the default handling back, a second signal ends the process
	signal.Ignore(syscall.SIGPIPE) // whoever read the output may be gone before the work is done

	a := &app{
		Context: ctx, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		StdinIsTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		StdoutIsTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		StderrIsTerminal: term.IsTerminal(int(os.Stderr.Fd())),
	}
	return report(a.Stderr, parseAndRun(a, args))
}

func parseAndRun(a *app, args []string) error {
	commands := cli{
		Serve:  serveCmd{optionFlags: newOptionFlags()},
		Demo:   demoCmd{newOptionFlags()},
		Config: configCmd{Print: configPrintCmd{newOptionFlags()}},
	}
	parser, err := kong.New(&commands,
		kong.Name("twohop"),
		kong.Description("Real-time updates from your backend to browsers, phones and services, over plain HTTP."),
		kong.Writers(a.Stdout, a.Stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Bind(a),
	)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return &usageError{message: err.Error(), hint: "twohop --help lists the commands, twohop COMMAND --help what each takes"}
	}
	return single(parsed.Run())
}

// single takes an error out of the joins that hold nothing else: kong makes one
// of what Run and its hooks return.
func single(err error) error {
	for {
		joined, ok := err.(interface{ Unwrap() []error })
		if !ok || len(joined.Unwrap()) != 1 {
			return err
		}
		err = joined.Unwrap()[0]
	}
}

// report prints an error as "twohop: message" with its hint below, and returns
// the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errInterrupted) {
		return exitInterrupted
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok && e.Path == os.Stdout.Name() && errors.Is(e, syscall.EPIPE) {
		return exitOK // whoever reads has enough
	}
	message, hint, code := messageOf(err), "", exitFailure
	if e, ok := errors.AsType[*usageError](err); ok {
		hint, code = e.hint, exitUsage
	} else if e, ok := errors.AsType[*failure](err); ok {
		hint = e.hint
	} else if e, ok := errors.AsType[*twohop.Error](err); ok {
		hint = e.Hint
	}
	_, _ = fmt.Fprintf(w, "twohop: %s\n", message)
	if hint != "" {
		_, _ = fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(hint, "\n", "\n  "))
	}
	return code
}

// messageOf is an error's text for a person: without the code, which is for
// programs.
func messageOf(err error) string {
	e, ok := err.(*twohop.Error) //nolint:errorlint // a wrapped one has more to say
	if !ok {
		return err.Error()
	}
	message := e.Message
	if e.Channel != "" {
		message = e.Channel + ": " + message
	}
	if e.Err != nil {
		message += ": " + e.Err.Error()
	}
	return message
}
