package park

import (
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring sends to many sockets with one system call, by io_uring. It is used by
// one goroutine at a time, on any thread.
//
// Nothing is under way when submit has returned: each send is tried at once,
// and fails with EAGAIN where it would wait. So no memory is the kernel's for
// longer than the call, and no descriptor can be used again under a send.
type ring struct {
	fd          int
	queues      []byte // mapped: heads and tails, and the completions
	submissions []byte // mapped
	sqTail      *uint32
	cqHead      *uint32
	cqTail      *uint32
	sqMask      uint32
	cqMask      uint32
	sqes        []submission
	cqes        []completion
	joined      []byte // pieces of one send, put together
}

const (
	ringEntries = 256     // sends in one system call
	ringWorth   = 2       // fewer are not worth it
	ringJoin    = 4 << 10 // several pieces go as one if they are no more
)

// What the kernel calls these is in <linux/io_uring.h>, as is their layout.
const (
	opSend           = 26
	setupSubmitAll   = 1 << 7
	enterGetEvents   = 1 << 0
	featSingleMap    = 1 << 0
	offsetQueues     = 0
	offsetSubmission = 0x10000000
)

type submission struct {
	op, flags   uint8
	priority    uint16
	fd          int32
	offset      uint64
	address     uint64
	length      uint32
	messageFlag uint32
	data        uint64
	_           [3]uint64
}

type completion struct {
	data   uint64
	result int32
	_      uint32
}

type ringParams struct {
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

// newRing makes a ring, where the kernel has them and lets us.
func newRing() (*ring, error) {
	params := ringParams{flags: setupSubmitAll}
	fd, _, e := syscall.Syscall(unix.SYS_IO_URING_SETUP, ringEntries, uintptr(unsafe.Pointer(&params)), 0)
	if e != 0 {
		return nil, os.NewSyscallError("io_uring_setup", e)
	}
	r := &ring{fd: int(fd)} //nolint:gosec // descriptors are small
	if params.features&featSingleMap == 0 {
		r.close()
		return nil, os.NewSyscallError("io_uring_setup", unix.ENOSYS)
	}
	var err error
	size := max(params.sq.array+params.sqEntries*4, params.cq.cqes+params.cqEntries*uint32(unsafe.Sizeof(completion{})))
	if r.queues, err = unix.Mmap(r.fd, offsetQueues, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
		r.submissions, err = unix.Mmap(r.fd, offsetSubmission, int(params.sqEntries)*int(unsafe.Sizeof(submission{})),
			unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		r.close()
		return nil, os.NewSyscallError("mmap", err)
	}
	word := func(at uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.queues[at])) }
	r.sqTail, r.cqHead, r.cqTail = word(params.sq.tail), word(params.cq.head), word(params.cq.tail)
	r.sqMask, r.cqMask = *word(params.sq.mask), *word(params.cq.mask)
	r.sqes = unsafe.Slice((*submission)(unsafe.Pointer(&r.submissions[0])), params.sqEntries)
	r.cqes = unsafe.Slice((*completion)(unsafe.Pointer(&r.queues[params.cq.cqes])), params.cqEntries)
	for i := range params.sqEntries { // the n-th place is always for the n-th entry
		*word(params.sq.array + 4*i) = i
	}
	return r, nil
}

func (r *ring) close() {
	for _, m := range [][]byte{r.queues, r.submissions} {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
	_ = unix.Close(r.fd)
}

// send tries to send for at most ringEntries connections. It notes in each of
// them that was tried what became of it. On an error the ring is of no use any
// more; what is not noted as tried was not sent.
func (r *ring) send(batch []queued) error {
	tail := *r.sqTail // ours alone
	n := 0
	joined := r.joined[:0]
	for i := range batch {
		q := &batch[i]
		if q.c == nil {
			continue
		}
		b := q.pieces[0]
		if len(q.pieces) > 1 {
			if joined == nil {
				joined = make([]byte, 0, 16*ringJoin)
			}
			if q.size > min(ringJoin, cap(joined)-len(joined)) {
				continue // by writev
			}
			from := len(joined)
			for _, piece := range q.pieces {
				joined = append(joined, piece...)
			}
			b = joined[from:]
		}
		r.sqes[tail&r.sqMask] = submission{op: opSend, fd: q.c.fd, address: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))),
			length: uint32(min(len(b), 1<<30)), messageFlag: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL, data: uint64(i)} //nolint:gosec // bounded
		tail++
		n++
	}
	r.joined = joined
	atomic.StoreUint32(r.sqTail, tail)
	var err error
	left := n
	for left > 0 && err == nil {
		took, _, e := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(left), 0, 0, 0, 0)
		switch {
		case e == unix.EINTR:
		case e != 0:
			err = os.NewSyscallError("io_uring_enter", e)
		case took == 0:
			err = os.NewSyscallError("io_uring_enter", unix.EIO)
		default:
			left -= int(took) //nolint:gosec // at most left
		}
	}
	for done := r.reap(batch); done < n-left; done += r.reap(batch) {
		// A kernel that does not complete a send at once: what it has of ours
		// must not be touched before it has.
		_, _, e := syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, 1, enterGetEvents, 0, 0)
		if e != 0 && e != unix.EINTR {
			err = os.NewSyscallError("io_uring_enter", e)
		}
	}
	return err
}

// reap notes what became of sends, and returns of how many.
func (r *ring) reap(batch []queued) (n int) {
	head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
	for ; head != tail; head++ {
		c := &r.cqes[head&r.cqMask]
		q := &batch[c.data]
		q.tried, q.result = true, c.result
		n++
	}
	atomic.StoreUint32(r.cqHead, head)
	return n
}
