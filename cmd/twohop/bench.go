package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"twohop/internal/bench"
	"twohop/server"
)

type benchCmd struct {
	Scenarios []string `arg:"" optional:"" name:"scenario" help:"idle, fanout, channels, publish, resume, poll, slow, mixed. Without any, all of them."`

	Server     string            `placeholder:"URL" help:"The server; $TWOHOP_SERVER is not looked at, so that nobody loads one by accident. Without it one is started for the purpose, and ended."`
	PID        int               `name:"pid" placeholder:"PID" help:"The server's process, if it is on this machine: its CPU and memory are measured."`
	Engine     string            `enum:"memory,disk" default:"memory" help:"Of a server that is started: memory or disk."`
	Header     []string          `sep:"none" placeholder:"LINE" help:"A header for every request, such as \"Authorization: Bearer ...\". Can be repeated."`
	Transport  []bench.Transport `placeholder:"NAMES" help:"sse, ws, long-poll, poll, with commas. Default sse,ws,long-poll."`
	Readers    int               `placeholder:"N" help:"Default 1000."`
	Rate       *float64          `placeholder:"R" help:"Records published a second; 0 is as fast as they are acknowledged. Default several, one after the other."`
	Size       int               `placeholder:"BYTES" help:"Of a record. Default 128."`
	Channels   int               `placeholder:"N" help:"Of scenarios with many. Default 200."`
	Missed     int               `placeholder:"N" help:"Records that readers miss who resume. Default 100."`
	Budget     time.Duration     `placeholder:"TIME" help:"Latency that readers tolerate; also the time between polls. Default none, and up to 1s for polls."`
	Duration   time.Duration     `placeholder:"TIME" help:"Of each figure. Default 2s."`
	Bulk       int               `placeholder:"N" help:"Records in a bulk request. Default 100."`
	Publishers int               `placeholder:"N" help:"Connections that publish. Default what the scenario needs."`
	Output     string            `short:"o" enum:"table,json" default:"table" placeholder:"FORM" help:"table or json."`
	Calibrate  string            `placeholder:"FILE" help:"Write what each thing costs on this machine to this file, for twohop advise. Not with --server."`
	CheckModel bool              `help:"Measure several loads and what things cost, in turns, and compare the loads with what twohop advise predicts. Exit code 1 if it is off by more than 25 %."`
	Rounds     int               `placeholder:"N" help:"Of --calibrate and --check-model, whose medians count. Default 3 and 5."`
}

// Help is what --help says below the usage.
func (benchCmd) Help() string {
	return `Loads a server and says what that costs. The scenarios:

  idle      readers that wait: memory, CPU when idle and to connect
  fanout    one channel, many readers
  channels  many channels, few readers each
  publish   no readers: one connection, many, in bulk, pipelined
  resume    readers leave, miss records, and come back all at once
  poll      polling: nothing new, not changed, ten records
  slow      some readers stop reading; the others must not notice
  mixed     all transports and budgets on the same channels, with resumes

Every record carries its time and number, and every reader checks that it gets
each once and in order; otherwise the exit code is 1. Latency counts from when a
record was due, to the read that brings it. CPU and memory are of the server's
process only, so the bench's own work is not in them, but it takes its share of
the machine. docs/bench.md has examples.

A server that exists gets channels named bench/..., which are deleted at the
end, and expire after an hour in any case.

Ctrl-C ends early, prints what was measured, and ends with exit code 130.
Other exit codes: 0 all is well, 1 something was lost, failed or was too much,
2 usage.`
}

// Run measures and prints.
func (c *benchCmd) Run(a *app) error {
	progress := &benchProgress{w: a.Stderr, terminal: a.StderrIsTerminal}
	o := c.options(progress)
	if err := c.ownProgram(&o); err != nil {
		return err
	}
	run := bench.Run
	if c.CheckModel {
		err := c.checkModel(a, o)
		progress.clear()
		return err
	}
	var costs *bench.Costs
	if c.Calibrate != "" {
		if len(c.Scenarios) > 0 {
			return &usageError{message: "--calibrate measures what it needs, and scenarios are given", hint: "leave one of them out"}
		}
		costs = &bench.Costs{Version: server.ReadBuild().Version}
		run = costs.Measure
	}
	result, failed := run(a.Context, o)
	progress.clear()
	if result == nil {
		return benchError(failed)
	}
	if err := c.print(a.Stdout, result); err != nil {
		return err
	}
	faults := result.Faults()
	switch {
	case failed != nil:
		return benchError(failed)
	case faults.Any():
		return &failure{message: faults.Summary(), hint: "all that is known of it is printed above"}
	case result.Interrupted:
		return errInterrupted
	case costs != nil:
		return c.write(a, costs)
	}
	return nil
}

func (c *benchCmd) options(p *benchProgress) bench.Options {
	o := bench.Options{
		Scenarios: c.Scenarios, Server: c.Server, PID: c.PID, Engine: c.Engine, Headers: c.Header,
		Transports: c.Transport, Readers: c.Readers, Rate: c.Rate, Size: c.Size, Channels: c.Channels, Missed: c.Missed,
		Budget: c.Budget, Duration: c.Duration, Bulk: c.Bulk, Publishers: c.Publishers, Rounds: c.Rounds,
		Note: p.note,
	}
	if p.terminal {
		o.Status = p.status
	}
	return o
}

// ownProgram names this very executable, for servers to be started.
func (c *benchCmd) ownProgram(o *bench.Options) error {
	if c.Server != "" {
		return nil
	}
	if c.PID != 0 {
		return &usageError{message: "--pid is of a server that runs already", hint: "name it with --server, too"}
	}
	program, err := os.Executable()
	if err != nil {
		return &failure{message: "a server cannot be started", hint: "start one yourself and name it with --server", err: err}
	}
	o.Program = program
	return nil
}

func (c *benchCmd) print(w io.Writer, r *bench.Result) error {
	if c.Output == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	return r.WriteTable(w)
}

func (c *benchCmd) write(a *app, costs *bench.Costs) error {
	text, err := json.MarshalIndent(costs, "", "  ")
	if err == nil {
		err = os.WriteFile(c.Calibrate, append(text, '\n'), 0o644) //nolint:gosec // it holds no secret
	}
	if err != nil {
		return &failure{message: "the costs cannot be written", err: err}
	}
	_, _ = fmt.Fprintf(a.Stderr, "the costs are in %s\n", c.Calibrate)
	return nil
}

func benchError(err error) error {
	if e, ok := errors.AsType[*bench.UsageError](err); ok {
		return &usageError{message: e.Error(), hint: "twohop bench --help lists the scenarios and flags"}
	}
	return err
}

// benchProgress shows how a bench goes: a line that is rewritten on a terminal,
// and a line for each step.
type benchProgress struct {
	mu       sync.Mutex // one line at a time
	w        io.Writer
	terminal bool
	drawn    bool // the terminal's line is not empty
}

const clearLine = "\r\x1b[K"

func (p *benchProgress) status(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.w, "%s%.78s", clearLine, line)
	p.drawn = true
}

func (p *benchProgress) note(line string) {
	p.clear()
	_, _ = fmt.Fprintln(p.w, line)
}

func (p *benchProgress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		_, _ = fmt.Fprint(p.w, clearLine)
		p.drawn = false
	}
}
