package rig

import (
	"bufio"
	"context"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Process is a program that can be killed and started again. What it writes goes
// to the log of the test. Its methods are called by one goroutine at a time.
type Process struct {
	t       *testing.T
	program string
	args    []string
	group   bool              // it starts others, which end with it
	hear    func(line string) // what it writes; nil when nobody needs to

	cmd     *exec.Cmd
	started bool          // and neither killed nor stopped since
	ended   chan struct{} // closed when it has ended
	err     error         // how; to be read after ended
}

// Run runs a program, which is killed, with those that it started, at the end of
// the test at the latest.
func Run(t *testing.T, program string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, program: program, args: args, group: true}
	t.Cleanup(p.Kill)
	p.Start()
	return p
}

// Start starts the program again, after Kill or Stop.
func (p *Process) Start() {
	p.t.Helper()
	p.start(p.args)
}

func (p *Process) start(args []string) {
	p.t.Helper()
	// Not bound to the test's context: Kill ends it, also at the end of the test.
	p.cmd = exec.CommandContext(context.WithoutCancel(p.t.Context()), p.program, args...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: p.group}
	said, err := p.cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd.Stdout = p.cmd.Stderr
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.started, p.ended = true, make(chan struct{})
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			p.t.Logf("%s: %s", filepath.Base(p.program), lines.Text())
			if p.hear != nil {
				p.hear(lines.Text())
			}
		}
		p.err = p.cmd.Wait()
	}()
}

// Kill ends the program as a power cut does: at once. It wants it to have run
// until then.
func (p *Process) Kill() {
	p.t.Helper()
	if !p.started {
		return
	}
	p.started = false
	pid := p.PID()
	if p.group {
		pid = -pid
	}
	select {
	case <-p.ended:
		p.t.Errorf("%s ended by itself: %v", p.program, p.err)
	default:
		_ = syscall.Kill(pid, syscall.SIGKILL) // if it has ended since, then it is gone
		<-p.ended
	}
}

// Stop asks the program to end, and returns how it did.
func (p *Process) Stop() error {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		p.started = false
	case <-time.After(Patience):
		p.t.Errorf("%s does not end", p.program)
		p.Kill()
	}
	return p.err
}

// Signal sends a signal to the program itself.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("%s: %v", p.program, err)
	}
}

// PID is the number of the process, until it ends.
func (p *Process) PID() int { return p.cmd.Process.Pid }
