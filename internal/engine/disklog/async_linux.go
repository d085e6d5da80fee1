package disklog

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"twohop/internal/uring"
)

// asyncWriter writes and syncs with no thread blocked. A goroutine that blocks
// in a system call costs more than the disk does: the runtime's monitor wakes up
// for it, looks around every 20 us for a while, and takes its processor away.
type asyncWriter struct {
	ring *uring.Ring // nil where there is none
	done *os.File    // an eventfd that counts results
	raw  syscall.RawConn
	got  uring.Done
}

// newAsyncWriter makes a writer, which writes as any other if it has to.
func newAsyncWriter() *asyncWriter {
	w := &asyncWriter{}
	ring, err := uring.New(2)
	if err != nil {
		return w
	}
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		ring.Close()
		return w
	}
	w.done = os.NewFile(uintptr(fd), "results")
	if w.raw, err = w.done.SyscallConn(); err == nil {
		err = ring.Notify(fd)
	}
	if w.ring = ring; err != nil {
		w.close()
	}
	return w
}

// close frees what the writer has. Nothing may be under way.
func (w *asyncWriter) close() {
	if w != nil && w.ring != nil {
		w.ring.Close()
		_ = w.done.Close() // nothing is in it
		w.ring = nil
	}
}

// pwrite is pwritev2 of one piece; it may write less than all of it.
func (w *asyncWriter) pwrite(fd int, b []byte, at int64, flags int) (int, error) {
	if w == nil || w.ring == nil {
		return unix.Pwritev2(fd, [][]byte{b}, at, flags)
	}
	e := uring.Entry{Op: uring.OpWrite, FD: int32(fd), Offset: uint64(at), Flags: uint32(flags)} //nolint:gosec // none is negative or large
	e.SetBytes(b)
	w.ring.Put(&e)
	if n, err := w.ring.Submit(); n == 0 {
		w.close()
		return unix.Pwritev2(fd, [][]byte{b}, at, flags)
	} else if err != nil {
		return 0, err
	}
	if err := w.raw.Read(w.arrived); err != nil {
		return 0, err // b is the kernel's still, so nothing goes on with it
	}
	if n := w.got.Result; n >= 0 {
		return int(n), nil
	}
	err := syscall.Errno(-w.got.Result)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ECANCELED) { // it was not done, and nothing is wrong with the disk
		return unix.Pwritev2(fd, [][]byte{b}, at, flags)
	}
	return 0, err
}

// arrived takes the result, if it is there.
func (w *asyncWriter) arrived(eventFD uintptr) (ok bool) {
	if w.got, ok = w.ring.Next(); ok {
		var count [8]byte
		_, _, _ = syscall.RawSyscall(unix.SYS_READ, eventFD, uintptr(unsafe.Pointer(&count)), uintptr(len(count)))
	}
	return ok
}
