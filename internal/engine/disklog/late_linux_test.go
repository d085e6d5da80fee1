package disklog

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"twohop"
	"twohop/internal/uring"
)

// An entry that reaches the disk after the process that wrote it was killed, and
// after the next one had begun a file of its own, is neither carried out nor in
// the way.
func TestLateEntry(t *testing.T) {
	fs := vfs.NewMem()
	e := openAt(t, fs, Options{})
	mustCreate(t, e, "a", twohop.Spec{Sync: twohop.SyncAlways}, "1,")
	name := "data/" + journals(t, fs)[0]
	before, err := readSynced(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, e, "a", "late,")
	after, err := readSynced(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	e.guard.kill()
	_ = e.Close()

	overwrite(t, fs, name, before)
	e = openAt(t, fs, Options{})
	mustAppend(t, e, "a", "2,", "3,")
	e.guard.kill()
	_ = e.Close()
	overwrite(t, fs, name, after)
	for range 2 {
		e = openAt(t, fs, Options{})
		if got, want := readAll(t, e, "a", twohop.Offset{}, 1000), []string{"1,", "2,", "3,"}; !slices.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
		e.guard.kill()
		_ = e.Close()
	}
}

const (
	lateFile  = "TWOHOP_TEST_LATE_FILE"
	lateBytes = 64 << 20
)

// A direct write that a killed process left under way is waited for.
func TestAwaitDirect(t *testing.T) {
	if name := os.Getenv(lateFile); name != "" {
		writeAndDie(t, name)
	}
	name := filepath.Join(t.TempDir(), "log")
	f, err := vfs.Default.Create(name, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Write(make([]byte, lateBytes)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil { // or the writer's first step would be to wait for that
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self, "-test.run=^TestAwaitDirect$")
	child.Env = append(os.Environ(), lateFile+"="+name)
	out, err := child.CombinedOutput()
	if strings.Contains(string(out), "cannot write so") {
		return // here there is nothing to wait for
	}
	if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the writer was not killed: %v\n%s", err, out)
	}
	if err := awaitDirect(f); err != nil {
		t.Error(err)
	}
	const looks = 64
	written := 0
	for i := range int64(looks) { // from the end, which comes last
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, lateBytes-1-i*lateBytes/looks); err != nil {
			t.Fatal(err)
		}
		written += int(b[0])
	}
	if written > 0 && written < looks {
		t.Errorf("%d of %d places had been written", written, looks)
	}
}

// writeAndDie hands a large write to the kernel and kills its own process.
func writeAndDie(t *testing.T, name string) {
	t.Helper()
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_DIRECT, 0)
	ring, ringErr := uring.New(2)
	if err != nil || ringErr != nil {
		_, _ = fmt.Fprintln(os.Stdout, "cannot write so:", err, ringErr)
		os.Exit(1)
	}
	b, err := unix.Mmap(-1, 0, lateBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] = 1
	}
	e := uring.Entry{Op: uring.OpWrite, FD: int32(fd), Flags: unix.RWF_DSYNC} //nolint:gosec // a descriptor is small
	e.SetBytes(unsafe.Slice(unsafe.SliceData(b), len(b)))
	ring.Put(&e)
	if n, err := ring.Submit(); n != 1 {
		t.Fatal(n, err)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
