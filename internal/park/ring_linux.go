package park

import (
	"golang.org/x/sys/unix"

	"twohop/internal/uring"
)

// ring sends to many sockets with one system call.
//
// Nothing is under way when send has returned: each send is tried at once, and
// fails with EAGAIN where it would wait. So no memory is the kernel's for longer
// than the call, and no descriptor can be used again under a send.
type ring struct {
	*uring.Ring
	joined []byte // pieces of one send, put together
}

const (
	ringEntries = 256     // sends in one system call
	ringWorth   = 2       // fewer are not worth it
	ringJoin    = 4 << 10 // several pieces go as one if they are no more
)

// newRing makes a ring, where the kernel has them and lets us.
func newRing() (*ring, error) {
	r, err := uring.New(ringEntries)
	if err != nil {
		return nil, err
	}
	return &ring{Ring: r}, nil
}

// send tries to send for at most ringEntries connections. It notes in each of
// them that was tried what became of it. On an error the ring is of no use any
// more; what is not noted as tried was not sent.
func (r *ring) send(batch []queued) error {
	entry := uring.Entry{Op: uring.OpSend, Flags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL}
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
		entry.FD, entry.Data = q.c.fd, uint64(i) //nolint:gosec // an index
		entry.SetBytes(b)
		r.Put(&entry)
	}
	r.joined = joined
	n, err := r.Submit()
	for done := r.reap(batch); done < n; done += r.reap(batch) {
		// A kernel that does not complete a send at once: what it has of ours
		// must not be touched before it has.
		if e := r.Wait(); e != nil {
			err = e
		}
	}
	return err
}

// reap notes what became of sends, and returns of how many.
func (r *ring) reap(batch []queued) (n int) {
	for d, ok := r.Next(); ok; d, ok = r.Next() {
		q := &batch[d.Data]
		q.tried, q.result = true, d.Result
		n++
	}
	return n
}
