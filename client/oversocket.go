package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// socketSession carries the channels of a Conn over a WebSocket. One goroutine
// reads, another writes, so that neither ever waits for the other.
type socketSession struct {
	c      *Conn
	s      *socket
	ctx    context.Context
	cancel context.CancelCauseFunc

	// Guarded by c.mu.
	links      links
	lastID     frameID
	asked      map[frameID]*question
	pending    map[frameID]*publishing
	unanswered int            // bytes of those at most
	out        []*clientFrame // to write, in order
	tokenID    frameID        // of the token whose answer is to come, or 0
	pong       bool           // one is due
	leaving    bool           // it ends when nothing is pending
	interval   time.Duration  // that silence may last

	lasts chan time.Duration // to renew: the answer to its token; holds at most one
}

// question is a subscribe frame that was not answered in full.
type question struct {
	channels []string
	left     int
}

// publishing is a publish under way.
type publishing struct {
	done chan struct{} // closed when the next two are set
	ack  Ack
	err  error
	item *publishItem

	limit time.Duration // for the answer to come

	s  *socketSession
	id frameID
}

// lingerTime is how long a connection that is no longer wanted waits for
// acknowledgements.
const lingerTime = 5 * time.Second

// overSocket carries the channels over one WebSocket to its end.
func (c *Conn) overSocket(ctx context.Context, cancel context.CancelCauseFunc) error {
	proof := time.Duration(0)
	c.mu.Lock()
	if c.transport == Auto {
		proof = proofTime
	}
	c.mu.Unlock()
	sock, err := c.c.dial(ctx, proof)
	if err != nil {
		return err
	}
	s := &socketSession{
		c: c, s: sock, ctx: ctx, cancel: cancel, links: links{},
		asked: map[frameID]*question{}, pending: map[frameID]*publishing{},
		interval: silence(c.c.opts.Silence, sock.welcome.Heartbeat), lasts: make(chan time.Duration, 1),
	}
	var writers sync.WaitGroup
	c.locked(func() { c.begin(s, WebSocket) })
	writers.Go(s.renew)
	writers.Go(func() {
		if err := s.write(); err != nil {
			cancel(err)
		}
	})
	err = s.read()
	if errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	c.locked(func() {
		c.session = nil // no publish comes in any more
		unanswered := *asFailure(err)
		unanswered.retry, unanswered.unknown, unanswered.told = true, true, false
		for id, p := range s.pending {
			s.answer(id, p, Ack{}, &unanswered)
		}
	})
	cancel(nil)
	sock.close()
	writers.Wait()
	return err
}

// silence is how long a connection may bring nothing, with a server that breaks
// its silence every heartbeat.
func silence(least time.Duration, heartbeat int64) time.Duration {
	return max(least, 3*milliseconds(heartbeat))
}

// read takes frames until the end.
func (s *socketSession) read() error {
	dog := time.AfterFunc(s.interval, func() { s.cancel(errSilent) })
	defer dog.Stop()
	for {
		f, n, err := s.s.read(s.ctx, func() { dog.Reset(s.interval) })
		if err != nil {
			return err
		}
		s.c.locked(func() {
			s.c.status.BytesIn += uint64(n) //nolint:gosec // a length
			err = s.take(f)
		})
		if err != nil {
			return err
		}
	}
}

// take handles a frame. The lock is held, as for all that follows but write.
func (s *socketSession) take(f *frame) error {
	switch f.Type {
	case framePing:
		s.pong = true
		notify(s.c.kick)
		return nil
	case frameDrain:
		return f.drain()
	case frameToken:
		if f.ID == s.tokenID && f.ID != 0 {
			s.renewed(milliseconds(f.Expires))
		}
		return nil
	case framePublished:
		if p := s.pending[f.ID]; p != nil {
			s.answer(f.ID, p, f.ack(p.item.Close), nil)
		}
		s.c.serves()
		s.c.useful()
		return nil
	case frameError:
		if p := s.pending[f.ID]; p != nil {
			s.answer(f.ID, p, Ack{}, f.failure())
			return nil
		}
		if f.ID == s.tokenID && f.ID != 0 {
			s.c.retrying("", f.failure(), 0)
			s.renewed(0)
			return nil
		}
		if f.Channel == "" {
			return s.refused(f)
		}
	case frameAdvice:
		if f.Channel == "" {
			s.c.advice = f.advice()
			s.c.advised()
			return nil
		}
	}
	s.answered(f.ID)
	if f.serves() {
		s.c.serves()
	}
	_, err := s.links.take(f)
	return err
}

// refused handles an error that names no channel: of a whole subscribe frame,
// or of what the server took for no frame.
func (s *socketSession) refused(f *frame) error {
	q := s.asked[f.ID]
	if q == nil {
		return f.failure()
	}
	delete(s.asked, f.ID)
	for _, channel := range q.channels {
		each := *f
		each.Channel = channel
		if _, err := s.links.take(&each); err != nil {
			return err
		}
	}
	return nil
}

// answered counts the answers to a subscribe frame.
func (s *socketSession) answered(id frameID) {
	if q := s.asked[id]; q != nil {
		if q.left--; q.left == 0 {
			delete(s.asked, id)
		}
	}
}

// answer ends a publish.
func (s *socketSession) answer(id frameID, p *publishing, ack Ack, err error) {
	p.ack, p.err = ack, err
	delete(s.pending, id)
	s.unanswered -= p.item.size()
	close(p.done)
	if s.leaving && len(s.pending) == 0 {
		s.cancel(errLeft)
	}
}

func (s *socketSession) leave() {
	if s.leaving {
		return
	}
	s.leaving = true
	if len(s.pending) == 0 {
		s.cancel(errLeft)
		return
	}
	linger := time.AfterFunc(lingerTime, func() { s.cancel(errLeft) })
	context.AfterFunc(s.ctx, func() { linger.Stop() })
}

func (s *socketSession) publish(item *publishItem) (*publishing, bool) {
	if s.leaving || item.size() > s.s.welcome.maxMessage() {
		return nil, false
	}
	s.lastID++
	s.unanswered += item.size()
	p := &publishing{done: make(chan struct{}), item: item, limit: timeToSend(s.unanswered), s: s, id: s.lastID}
	s.pending[s.lastID] = p
	s.out = append(s.out, &clientFrame{Type: framePublish, ID: s.lastID, publishItem: item})
	notify(s.c.kick)
	return p, true
}

// withdraw takes a publish back that nobody waits for any more, if it is not
// written yet, and reports whether it did.
func (s *socketSession) withdraw(p *publishing, why error) (done bool) {
	s.c.locked(func() {
		i := slices.IndexFunc(s.out, func(f *clientFrame) bool { return f.ID == p.id })
		if done = i >= 0 && s.pending[p.id] == p; done {
			s.out = slices.Delete(s.out, i, i+1)
			s.answer(p.id, p, Ack{}, why)
		}
	})
	return done
}

// write writes what is due until the end.
func (s *socketSession) write() error {
	for {
		select {
		case <-s.c.kick:
		case <-s.ctx.Done():
			return nil
		}
		for f := s.next(); f != nil; f = s.next() {
			if err := s.s.write(s.ctx, f); err != nil {
				return err
			}
		}
	}
}

// next takes the next frame to write, or nil. A channel that is followed before
// something is published is asked for before that is sent.
func (s *socketSession) next() (f *clientFrame) {
	s.c.locked(func() {
		if due := s.due(); len(due) > 0 {
			s.out = append(due, s.out...)
		}
		if len(s.out) > 0 {
			f, s.out[0] = s.out[0], nil
			s.out = s.out[1:]
		}
	})
	return f
}

// due are the frames to write now, but for those that wait in out.
func (s *socketSession) due() []*clientFrame {
	var frames []*clientFrame
	if s.pong {
		s.pong = false
		frames = append(frames, &clientFrame{Type: framePong})
	}
	ask, leave := s.links.reconcile(s.c.channels, s.c.dirty)
	clear(s.c.dirty)
	if len(leave) > 0 {
		for _, name := range leave {
			s.links[name].state = linkLeaving
		}
		s.lastID++
		frames = append(frames, &clientFrame{Type: frameUnsubscribe, ID: s.lastID, Channels: leave})
	}
	for len(ask) > 0 {
		var requests []channelRequest
		q, size := &question{}, 0
		for _, f := range ask {
			r := f.request()
			if size += r.size(); size > s.s.welcome.maxMessage() && len(requests) > 0 {
				break
			}
			s.links.ask(f)
			requests = append(requests, r)
			q.channels = append(q.channels, f.channel)
		}
		ask = ask[len(requests):]
		q.left = len(requests)
		s.lastID++
		s.asked[s.lastID] = q
		frames = append(frames, &clientFrame{Type: frameSubscribe, ID: s.lastID, Channels: requests})
	}
	return frames
}
