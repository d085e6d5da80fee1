package uring

import (
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the kernel calls these is in <linux/io_uring.h>, as is their layout.
const (
	OpWrite = 23
	OpSend  = 26

	setupSubmitAll   = 1 << 7
	enterGetEvents   = 1 << 0
	featSingleMap    = 1 << 0
	registerEventFD  = 4
	offsetQueues     = 0
	offsetSubmission = 0x10000000
)

// Entry is an operation for the kernel.
type Entry struct {
	Op, flags uint8
	priority  uint16
	FD        int32
	Offset    uint64 // in the file
	address   uint64
	length    uint32
	Flags     uint32 // of the operation: MSG_* of a send, RWF_* of a write
	Data      uint64 // comes back with the result
	_         [3]uint64
}

// SetBytes sets what to send or write; of more than 1 GiB only the beginning.
func (e *Entry) SetBytes(b []byte) {
	e.address = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	e.length = uint32(min(len(b), 1<<30)) //nolint:gosec // bounded
}

// Done is what became of an entry.
type Done struct {
	Data   uint64
	Result int32 // as of the system call, or the negative errno
	_      uint32
}

type params struct {
	sqEntries, cqEntries, flags, _, _, features, _ uint32

	_  [3]uint32
	sq struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

// Ring is a queue of entries and one of results.
type Ring struct {
	fd          int
	queues      []byte // mapped: heads and tails, and the results
	submissions []byte // mapped
	sqTail      *uint32
	cqHead      *uint32
	cqTail      *uint32
	sqMask      uint32
	cqMask      uint32
	sqes        []Entry
	cqes        []Done
	put         int // entries that were not handed over
}

// New makes a ring for so many entries at a time, a power of two, where the
// kernel has rings and lets us.
func New(entries int) (*Ring, error) {
	p := params{flags: setupSubmitAll}
	fd, _, e := syscall.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(&p)), 0) //nolint:gosec // small
	if e != 0 {
		return nil, os.NewSyscallError("io_uring_setup", e)
	}
	r := &Ring{fd: int(fd)} //nolint:gosec // descriptors are small
	if p.features&featSingleMap == 0 {
		r.Close()
		return nil, os.NewSyscallError("io_uring_setup", unix.ENOSYS)
	}
	var err error
	size := max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(Done{})))
	if r.queues, err = unix.Mmap(r.fd, offsetQueues, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
		r.submissions, err = unix.Mmap(r.fd, offsetSubmission, int(p.sqEntries)*int(unsafe.Sizeof(Entry{})),
			unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		r.Close()
		return nil, os.NewSyscallError("mmap", err)
	}
	word := func(at uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.queues[at])) }
	r.sqTail, r.cqHead, r.cqTail = word(p.sq.tail), word(p.cq.head), word(p.cq.tail)
	r.sqMask, r.cqMask = *word(p.sq.mask), *word(p.cq.mask)
	r.sqes = unsafe.Slice((*Entry)(unsafe.Pointer(&r.submissions[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*Done)(unsafe.Pointer(&r.queues[p.cq.cqes])), p.cqEntries)
	for i := range p.sqEntries { // the n-th place is always for the n-th entry
		*word(p.sq.array + 4*i) = i
	}
	return r, nil
}

// Notify has an eventfd count the results that come.
func (r *Ring) Notify(eventFD int) error {
	fd := int32(eventFD) //nolint:gosec // descriptors are small
	_, _, e := syscall.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerEventFD, uintptr(unsafe.Pointer(&fd)), 1, 0, 0)
	if e != 0 {
		return os.NewSyscallError("io_uring_register", e)
	}
	return nil
}

// Close frees the ring. The kernel gives up what is still under way.
func (r *Ring) Close() {
	for _, m := range [][]byte{r.queues, r.submissions} {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
	_ = unix.Close(r.fd)
}

// Put puts an entry into the queue, which has room for as many as New was told
// between two calls of Submit.
func (r *Ring) Put(e *Entry) {
	tail := *r.sqTail // ours alone
	r.sqes[tail&r.sqMask] = *e
	atomic.StoreUint32(r.sqTail, tail+1)
	r.put++
}

// Submit hands over what was put, and returns of how many entries there will be
// a result. After an error the ring is of no use any more but for these. It
// does not block, and has the runtime's monitor look at nothing.
func (r *Ring) Submit() (n int, err error) {
	for r.put > 0 {
		took, _, e := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(r.put), 0, 0, 0, 0)
		switch {
		case e == unix.EINTR:
		case e != 0:
			return n, os.NewSyscallError("io_uring_enter", e)
		case took == 0:
			return n, os.NewSyscallError("io_uring_enter", unix.EIO)
		default:
			n += int(took) //nolint:gosec // at most put
			r.put -= int(took)
		}
	}
	return n, nil
}

// Wait blocks until there is a result.
func (r *Ring) Wait() error {
	_, _, e := syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, 1, enterGetEvents, 0, 0)
	if e != 0 && e != unix.EINTR {
		return os.NewSyscallError("io_uring_enter", e)
	}
	return nil
}

// Next takes a result, if there is one.
func (r *Ring) Next() (d Done, ok bool) {
	head := *r.cqHead // ours alone
	if head == atomic.LoadUint32(r.cqTail) {
		return Done{}, false
	}
	d = r.cqes[head&r.cqMask]
	atomic.StoreUint32(r.cqHead, head+1)
	return d, true
}

// FD is the ring's descriptor.
func (r *Ring) FD() int { return r.fd }
