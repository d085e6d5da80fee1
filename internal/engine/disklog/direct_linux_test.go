package disklog

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"twohop"
)

// After each sync the file holds what was written, and zeros up to its size, for
// whoever reads it: with a ring where there is one, without, and with one that
// fails.
func TestDirectLogHoldsWhatWasWritten(t *testing.T) {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(null) }()
	f := func(what string, writer func() *asyncWriter) {
		t.Run(what, func(t *testing.T) { directLogHolds(t, writer) })
	}
	f("ring", newAsyncWriter)
	f("no ring", func() *asyncWriter { return &asyncWriter{} })
	f("a ring that fails", func() *asyncWriter {
		w := newAsyncWriter()
		if w.ring != nil {
			if err := unix.Dup3(null, w.ring.FD(), unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
		}
		return w
	})
}

func directLogHolds(t *testing.T, writer func() *asyncWriter) {
	const size = 1 << 20
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // chance is wanted, and to be repeated
		z := &zeroed{FS: vfs.Default, bytes: size, writer: writer()}
		name := filepath.Join(t.TempDir(), journalName(1))
		f, err := z.Create(name, "test")
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		check := func() {
			got, err := os.ReadFile(name)
			if err != nil || len(got) < len(want) || !bytes.Equal(got[:len(want)], want) {
				t.Fatalf("seed %d: %d bytes are not what was written: %v", seed, len(want), err)
			}
			if len(bytes.Trim(got[len(want):], "\x00")) > 0 {
				t.Fatalf("seed %d: something behind %d bytes", seed, len(want))
			}
		}
		most := 1 << (11 + seed) // 256 KiB in the last
		for len(want) < size+size/4 {
			p := make([]byte, 1+random.IntN(most))
			for i := range p {
				p[i] = byte(1 + random.IntN(255)) //nolint:gosec // a byte
			}
			if n, err := f.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
			want = append(want, p...)
			if random.IntN(3) == 0 {
				if err := f.SyncData(); err != nil {
					t.Fatal(err)
				}
				if len(want) < 64<<10 || random.IntN(200) == 0 {
					check()
				}
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		check()
		z.close()
	}
}

// What was acknowledged is in the files, whatever becomes of the process.
func TestAcknowledgedIsInTheFiles(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	if _, _, err := e.Create(t.Context(), "a", &twohop.Spec{Sync: twohop.SyncAlways}); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 0)) //nolint:gosec // chance is wanted, and to be repeated
	var want []byte
	for i := range 40 {
		rec := bytes.Repeat([]byte{byte('a' + i%26)}, 1+random.IntN(20_000))
		done := make(chan error, 1)
		e.Append(t.Context(), &twohop.Append{Channel: "a", Data: rec, Ends: []uint32{uint32(len(rec))}}, func(_ twohop.Ack, err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want = append(want, rec...)
		if i%8 != 7 {
			continue
		}
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		after, err := Open(copied, Options{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := after.Read(t.Context(), "a", twohop.Offset{}, 1<<30)
		if err != nil || !bytes.Equal(b.Data, want) {
			t.Errorf("after %d appends there are %d bytes, want %d: %v", i+1, len(b.Data), len(want), err)
		}
		if err := after.Close(); err != nil {
			t.Error(err)
		}
	}
}
