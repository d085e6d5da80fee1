package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

// child is a server that the bench started.
type child struct {
	cmd *exec.Cmd
	dir string
	url string
	wg  sync.WaitGroup // the process, and the reader of its log

	mu  sync.Mutex // guards log
	log []string   // the last lines
}

// startChild starts "PROGRAM serve" on a free port of this machine, with an
// empty data directory and no configuration but the engine.
func startChild(ctx context.Context, program, engine string) (*child, error) {
	dir, err := os.MkdirTemp("", "twohop-bench-")
	if err != nil {
		return nil, err
	}
	c := &child{dir: dir}
	c.cmd = exec.Command(program) //nolint:noctx // stop ends it, after the figures were taken
	c.cmd.Args = []string{"twohop", "serve", "--listen", "127.0.0.1:0", "--engine", engine, "--data", dir, "--log-format", "json", "--drain", "0s"}
	c.cmd.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TWOHOP_") {
			c.cmd.Env = append(c.cmd.Env, v)
		}
	}
	apart(c.cmd)
	stderr, err := c.cmd.StderrPipe()
	if err == nil {
		err = c.start()
	}
	if err == nil {
		err = c.ready(ctx, stderr)
	}
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// start starts the process. The system ends it with the thread that started it,
// so that thread stays until then.
func (c *child) start() error {
	started := make(chan error)
	c.wg.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_, _ = c.cmd.Process.Wait() // its log tells why it ended
		}
	})
	if err := <-started; err != nil {
		return fmt.Errorf("a server cannot be started: %w", err)
	}
	return nil
}

// ready waits until the server's log names the address it listens on. The log
// is read to its end.
func (c *child) ready(ctx context.Context, stderr io.ReadCloser) error {
	serving := make(chan string, 1)
	c.wg.Go(func() {
		defer close(serving)
		defer func() { _ = stderr.Close() }()
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				serving <- "http://" + line.Address
			}
			c.note(lines.Text())
		}
	})
	late := time.NewTimer(patience)
	defer late.Stop()
	var ok bool
	select {
	case c.url, ok = <-serving:
		if ok {
			return nil
		}
		return errors.New("the server ended at once: " + c.lastLines())
	case <-late.C:
		return errors.New("the server does not begin to serve: " + c.lastLines())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *child) note(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log[max(0, len(c.log)-5):], line)
}

func (c *child) lastLines() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.log, "; ")
}

// stop ends the process, and waits for that.
func (c *child) stop() {
	if c.cmd.Process != nil {
		_ = c.cmd.Process.Kill() // its data goes anyway
	}
	c.wg.Wait()
	_ = os.RemoveAll(c.dir)
}
