package client

import (
	"context"
	"sync"
	"time"
)

// path remembers what gets through between here and the server, for all that a
// Client does. The ladder is WebSocket, SSE, long poll, which always gets
// through: it is an ordinary request.
type path struct {
	mu      sync.Mutex
	blocked [WebSocket + 1]block
}

// block is a transport that did not get through.
type block struct {
	is   bool
	due  time.Time     // when to look again
	wait time.Duration // from the last look to the next
}

const (
	probeFirst = 3 * time.Minute // from a block to the first look
	probeMost  = 30 * time.Minute

	// proofTime is how long Auto gives a response that begins at once, the first
	// comment of SSE or the welcome of a WebSocket, from the moment that there is
	// a connection. What holds that up holds up all of it.
	proofTime = 2 * time.Second
)

// best is the highest rung that gets through, at most want. Where nothing
// serves yet, a block that is due for a look does not count: there is nothing
// to lose by trying.
func (p *path) best(want Transport, serving bool) Transport {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := want; t > LongPoll; t-- {
		if b := &p.blocked[t]; !b.is || !serving && !time.Now().Before(b.due) {
			return t
		}
	}
	return min(want, LongPoll)
}

// block says that a transport does not get through.
func (p *path) block(t Transport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := &p.blocked[t]
	b.is = true
	b.wait = min(max(2*b.wait, probeFirst), probeMost)
	b.due = time.Now().Add(b.wait)
}

// clear says that it does.
func (p *path) clear(t Transport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blocked[t] = block{}
}

// due is which blocked rung above serving, up to want, is to be looked at first,
// and when.
func (p *path) due(want, serving Transport) (rung Transport, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := want; t > max(serving, LongPoll); t-- {
		if b := &p.blocked[t]; b.is && (rung == Auto || b.due.Before(at)) {
			rung, at = t, b.due
		}
	}
	return rung, at
}

// climb looks again and again whether a higher rung gets through, while a lower
// one serves, and returns when one does, or with false at the end of the
// context. probe tries one.
func (p *path) climb(ctx context.Context, want, serving Transport, probe func(context.Context, Transport) error) bool {
	for p.best(want, true) <= serving {
		rung, at := p.due(want, serving)
		if rung == Auto || sleep(ctx, time.Until(at)) != nil {
			return false
		}
		if r, a := p.due(want, serving); r != rung || !a.Equal(at) {
			continue // someone else has looked in the meantime
		}
		err := probe(ctx, rung)
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			p.block(rung)
		default:
			p.clear(rung)
		}
	}
	return true
}
