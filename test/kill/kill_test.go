// Package kill tests twohop as its users run it: built, on the command line,
// with a server that is killed.
//
// Invariant: the programs here are the real ones, and know nothing of the test.
package kill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"twohop/test/rig"
)

const (
	lines   = 100_000
	kills   = 5
	timeout = 50 * time.Second
)

// TestKill publishes a real text from the command line while the server is
// killed with SIGKILL and restarted: each follower's output is the text.
func TestKill(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	bin := rig.Build(t)
	text := sourceText(t)
	s := rig.Serve(t, bin, rig.Options{})

	followers := map[string]*program{}
	for _, transport := range []string{"poll", "long-poll", "sse", "ws"} {
		followers[transport] = run(ctx, t, nil, bin, "follow", "logs/source", "--server", s.URL,
			"--transport", transport, "--poll-interval", "50ms")
	}
	input, feed := io.Pipe()
	publisher := run(ctx, t, input, bin, "publish", "logs/source", "--server", s.URL, "--close")

	restarted := make(chan struct{})
	go pour(ctx, feed, text, restarted)
	for range kills {
		wait(ctx, 200*time.Millisecond+time.Duration(random.Int64N(int64(time.Second))))
		s.Kill()
		wait(ctx, time.Duration(random.Int64N(int64(300*time.Millisecond))))
		s.Start()
	}
	close(restarted)
	publisher.finish()
	t.Logf("publish said: %s", &publisher.stderr)
	for transport, f := range followers {
		f.finish()
		if got, want := sha256.Sum256(f.stdout.Bytes()), sha256.Sum256(text); got != want {
			t.Errorf("%s: %d bytes came, differing from the %d published at byte %d", transport, f.stdout.Len(), len(text),
				firstDifference(f.stdout.Bytes(), text))
		}
	}
}

// pour writes the text slowly enough for all kills to fall into it, and the
// last of it when they are over.
func pour(ctx context.Context, w *io.PipeWriter, text []byte, restarted <-chan struct{}) {
	defer func() { _ = w.Close() }() // a pipe's Close does not fail
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	part := len(text) / 800 // 8 s, more than the kills take
	for len(text) > part {
		select {
		case <-tick.C:
		case <-restarted:
			part = len(text)
		case <-ctx.Done():
			return
		}
		n := min(part, len(text))
		if _, err := w.Write(text[:n]); err != nil {
			return
		}
		text = text[n:]
	}
	_, _ = w.Write(text) // a publisher that ended early has said why
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// sourceText is the beginning of Go's own source code, as many lines as are
// wanted.
func sourceText(t *testing.T) []byte {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	n := 0
	err = filepath.WalkDir(filepath.Join(strings.TrimSpace(string(root)), "src"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		b, err := os.ReadFile(path)
		text.Write(b)
		if n += bytes.Count(b, []byte{'\n'}); n >= lines {
			return fs.SkipAll
		}
		return err
	})
	if err != nil || n < lines {
		t.Fatalf("%d lines of Go's source found: %v", n, err)
	}
	return text.Bytes()
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// program is a command that runs to its end.
type program struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	name           string
}

func run(ctx context.Context, t *testing.T, stdin io.Reader, name string, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.CommandContext(ctx, name, args...), name: strings.Join(args, " ")}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// finish waits for the end and wants it to be a success.
func (p *program) finish() {
	p.t.Helper()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("twohop %s: %v\n%s", p.name, err, &p.stderr)
	}
}
