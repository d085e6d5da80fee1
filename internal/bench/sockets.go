package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// sockets is the driver for every system and for TLS: a goroutine for each
// reader. Their state has one lock, which is not held during I/O.
type sockets struct {
	base  context.Context
	dial  func(context.Context) (net.Conn, error)
	clock clock
	slots chan struct{} // taken while a connection is being made

	wg   sync.WaitGroup
	mu   sync.Mutex // guards what do may touch
	with map[*reader]*socket
}

// socket is one reader with its goroutine.
type socket struct {
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}

	mu   sync.Mutex    // guards gate
	gate chan struct{} // while it is not nil, nothing is read until it is closed
}

func newSockets(ctx context.Context, c clock, dial func(context.Context) (net.Conn, error)) *sockets {
	return &sockets{base: ctx, dial: dial, clock: c, slots: make(chan struct{}, connecting), with: map[*reader]*socket{}}
}

func (s *sockets) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *sockets) open(readers []*reader) {
	for _, r := range readers {
		one := &socket{ended: make(chan struct{})}
		one.ctx, one.cancel = context.WithCancel(s.base)
		s.do(func() {
			r.resumes()
			r.failed = nil
			s.with[r] = one
		})
		s.wg.Go(func() {
			defer close(one.ended)
			s.run(one, r)
		})
	}
}

func (s *sockets) drop(readers []*reader) {
	var ended []*socket
	s.do(func() {
		for _, r := range readers {
			if one := s.with[r]; one != nil {
				one.cancel()
				ended = append(ended, one)
				delete(s.with, r)
			}
		}
	})
	for _, one := range ended {
		<-one.ended
	}
}

func (s *sockets) stall(readers []*reader, stall bool) {
	for _, r := range readers {
		var one *socket
		s.do(func() { one = s.with[r] })
		one.setGate(stall)
	}
}

func (o *socket) setGate(shut bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if shut == (o.gate != nil) {
		return
	}
	if shut {
		o.gate = make(chan struct{})
		return
	}
	close(o.gate)
	o.gate = nil
}

// pass waits while the reader is stalled.
func (o *socket) pass() {
	o.mu.Lock()
	gate := o.gate
	o.mu.Unlock()
	if gate == nil {
		return
	}
	select {
	case <-gate:
	case <-o.ctx.Done():
	}
}

func (s *sockets) close() {
	s.do(func() {
		for _, one := range s.with {
			one.cancel()
		}
	})
	s.wg.Wait()
}

// run serves a reader until it is dropped or gives up.
func (s *sockets) run(one *socket, r *reader) {
	for {
		var next step
		conn, err := s.connect(one.ctx)
		if err == nil {
			next, err = s.talk(one, r, conn)
			_ = conn.Close()
		}
		if one.ctx.Err() != nil {
			return
		}
		var at int64
		s.do(func() {
			if err != nil {
				next = r.ended(s.clock.now(), err)
			} else {
				r.resumes()
			}
			at = r.askAt
		})
		if next == giveUp || s.rest(one, at) != nil {
			return
		}
	}
}

func (s *sockets) connect(ctx context.Context) (net.Conn, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.slots }()
	return s.dial(ctx)
}

func (s *sockets) rest(one *socket, until int64) error {
	return rest(one.ctx, time.Duration(until-s.clock.now()))
}

// talk uses one connection until its end. Without an error next says why it
// ended.
func (s *sockets) talk(one *socket, r *reader, conn net.Conn) (next step, err error) {
	stop := context.AfterFunc(one.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if r.group.small {
		if tcp, ok := conn.(interface{ SetReadBuffer(int) error }); ok {
			_ = tcp.SetReadBuffer(smallBuffer) // a wish
		}
	}
	buf := make([]byte, 16<<10)
	for next = askNext; ; {
		if next == askNext {
			var at int64
			s.do(func() { at = r.askAt })
			if at > s.clock.now() && s.rest(one, at) != nil {
				return giveUp, nil
			}
			var request []byte
			s.do(func() {
				request = r.request(nil)
				r.sent(s.clock.now())
			})
			if _, err = conn.Write(request); err != nil {
				return giveUp, err
			}
		}
		one.pass()
		n, err := conn.Read(buf)
		s.do(func() { next = r.feed(s.clock.now(), buf[:n]) })
		switch {
		case next == reopen || next == giveUp:
			return next, nil
		case errors.Is(err, io.EOF):
			return giveUp, errEnded
		case err != nil:
			return giveUp, err
		}
	}
}

var errEnded = errors.New("the server ended the connection")

// smallBuffer is the receive buffer of readers that are to fall behind.
const smallBuffer = 4 << 10
