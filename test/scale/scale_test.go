//go:build linux

// Package scale tests that a server's cost is that of the channels in use, not
// of those it keeps: it starts as fast, and as small, with a million on disk.
//
// Invariant: the server is the real command, and everything is asked of it
// over HTTP or, its memory, of the kernel.
package scale

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"twohop/test/rig"
)

var channels = flag.Int("channels", 1_000_000, "how many channels TestChannelsOnDisk makes")

const (
	batch      = 1000 // channels made by one request
	publishers = 4
	reads      = 10_000

	startAtMost  = 2 * time.Second
	memoryAtMost = 150 // MiB
	timesAtMost  = 10  // the first read of a channel against the next ones
)

const config = `
rules:
  - match: "devices/**"
    create: on-publish
`

// TestChannelsOnDisk makes many channels, kills the server, and looks what they
// cost the next one: while it starts, while they are idle, and when one is read
// for the first time.
func TestChannelsOnDisk(t *testing.T) {
	s := rig.Serve(t, rig.Build(t), rig.Options{Config: config})
	began := time.Now()
	create(t, s.URL, *channels)
	t.Logf("%d channels made in %v; %d MiB resident", *channels, time.Since(began).Round(time.Millisecond), memory(t, s))
	s.Kill()

	began = time.Now()
	s.Start()
	rig.WaitFor(t, "the server to be ready", func() bool {
		a, err := rig.Send(t.Context(), http.MethodGet, s.URL+"/ready", nil, "")
		return err == nil && a.Status == http.StatusOK
	})
	took := time.Since(began)
	t.Logf("ready after %v with %d MiB resident", took.Round(time.Millisecond), memory(t, s))
	if took > startAtMost {
		t.Errorf("ready %v after the start, want at most %v", took, startAtMost)
	}
	if m := memory(t, s); m > memoryAtMost {
		t.Errorf("%d MiB resident with all channels idle, want at most %d", m, memoryAtMost)
	}

	random := rand.New(rand.NewPCG(uint64(*channels), 1)) //nolint:gosec // chance is wanted
	first := readAll(t, s.URL, func() int { return random.IntN(*channels) })
	again := readAll(t, s.URL, func() int { return 1 })
	t.Logf("first reads take %v, repeated ones %v; %d MiB resident", first, again, memory(t, s))
	if first > timesAtMost*again {
		t.Errorf("the first read of a channel takes %v, a repeated one %v: more than %d times", first, again, timesAtMost)
	}
	if m := memory(t, s); m > memoryAtMost {
		t.Errorf("%d MiB resident after %d first reads, want at most %d", m, reads, memoryAtMost)
	}
}

func name(i int) string { return fmt.Sprintf("devices/%07d/state", i) }

// create makes n channels with a record each, by publishing.
func create(t *testing.T, url string, n int) {
	t.Helper()
	var next atomic.Int64
	done := make(chan error, publishers)
	for range publishers {
		go func() {
			for {
				from := int(next.Add(batch)) - batch
				if from >= n {
					done <- nil
					return
				}
				if err := publish(url, from, min(n, from+batch)); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range publishers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func publish(url string, from, to int) error {
	body := []byte{'['}
	for i := from; i < to; i++ {
		body = fmt.Appendf(body, `{"channel":%q,"records":[{"device":%d}]},`, name(i), i)
	}
	body[len(body)-1] = ']'
	answer, err := http.Post(url+"/v1/publish", "application/json", bytes.NewReader(body)) //nolint:noctx // loopback, and the server ends with the test
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	said, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %.500s", answer.StatusCode, said)
	}
	return err
}

// readAll reads many channels one after the other and returns the median time
// of a read.
func readAll(t *testing.T, url string, next func() int) time.Duration {
	t.Helper()
	took := make([]time.Duration, reads)
	for i := range took {
		n := next()
		began := time.Now()
		got := read(t, url+"/v1/stream/"+name(n)+"?offset=-1")
		took[i] = time.Since(began)
		if want := fmt.Sprintf(`[{"device":%d}]`, n); got != want {
			t.Fatalf("%s holds %q, want %q", name(n), got, want)
		}
	}
	slices.Sort(took)
	return took[len(took)/2]
}

func read(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url) //nolint:noctx // loopback, and the server ends with the test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v: %s", url, answer.StatusCode, err, body)
	}
	return string(body)
}
