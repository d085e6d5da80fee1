//go:build real && linux

package disk_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// run runs a program that must succeed.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	// Not bound to the test's context: file systems are unmounted at its end.
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil { //nolint:noctx // see above
		t.Fatalf("%s %v: %v: %s (these tests mount file systems and need root)", name, args, err, out)
	}
}

// mountMemory mounts a file system in memory of the given size.
func mountMemory(t *testing.T, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	run(t, "mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir)
	t.Cleanup(func() { run(t, "umount", dir) })
	return dir
}

func remount(t *testing.T, dir, size string) {
	t.Helper()
	run(t, "mount", "-o", "remount,size="+size, dir)
}

// image is a mounted file with a file system in it.
type image struct {
	t         *testing.T
	file, dir string
}

func mountImage(t *testing.T, size string) *image {
	t.Helper()
	dir := t.TempDir()
	m := &image{t: t, file: filepath.Join(dir, "image"), dir: filepath.Join(dir, "mounted")}
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, "truncate", "-s", size, m.file)
	run(t, "mkfs.ext4", "-q", m.file)
	run(t, "mount", "-o", "loop", m.file, m.dir)
	t.Cleanup(func() { run(t, "umount", m.dir) })
	return m
}

const (
	shutdownRequest = 0x8004587d // EXT4_IOC_SHUTDOWN
	shutdownNoFlush = 2          // what is not on the disk never gets there
)

// shutdown lets every later write and sync fail with EIO, and loses what was
// not synced.
func (m *image) shutdown() {
	m.t.Helper()
	d, err := os.Open(m.dir)
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = d.Close() }() // of a directory that was only opened
	how := uint32(shutdownNoFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, d.Fd(), shutdownRequest, uintptr(unsafe.Pointer(&how))); errno != 0 {
		m.t.Fatal("EXT4_IOC_SHUTDOWN: ", errno)
	}
}

// repair mounts the file system anew, which makes it whole.
func (m *image) repair() {
	m.t.Helper()
	run(m.t, "umount", m.dir)
	run(m.t, "mount", "-o", "loop", m.file, m.dir)
}
