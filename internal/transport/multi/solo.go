package multi

import (
	"sync"
	"time"
)

// held is what a connection that has a goroutine is told.
type held interface {
	room() // all that was queued has been sent
	due()  // the time set by SetDue has come
}

// solo is the runner and the port of a single connection that has a goroutine.
// Writing blocks that goroutine and nobody else.
type solo struct {
	write func(pieces [][]byte) error
	pause func(on bool) // nil where nothing is read
	shut  func()        // ends what is written, nil where it cannot be ended alone
	abort func() error  // closes the connection, nil where somebody else does

	// owned by the goroutine
	queue  [][]byte
	size   int
	timer  *time.Timer
	late   bool // the timer has fired
	closed bool

	mu     sync.Mutex // guards posted; a leaf
	posted []task
	signal chan struct{} // of one: something was posted
	stop   chan struct{} // closed by cut
	once   sync.Once
}

func newSolo() *solo {
	p := &solo{signal: make(chan struct{}, 1), stop: make(chan struct{}), timer: time.NewTimer(time.Hour)}
	p.timer.Stop()
	return p
}

// Post implements runner.
func (p *solo) Post(t task) {
	p.mu.Lock()
	p.posted = append(p.posted, t)
	p.mu.Unlock()
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

// PostFanOut implements runner.
func (p *solo) PostFanOut(g *group) { p.Post(g) }

// take takes what was posted.
func (p *solo) take() []task {
	p.mu.Lock()
	defer p.mu.Unlock()
	posted := p.posted
	p.posted = nil
	return posted
}

// cut ends serve, wherever it stands.
func (p *solo) cut() {
	p.once.Do(func() {
		close(p.stop)
		if p.abort != nil {
			_ = p.abort() // which may have been done
		}
	})
}

// serve runs tasks until the connection is closed or over.
func (p *solo) serve(c held, over <-chan struct{}) {
	defer p.timer.Stop()
	var turns []task
	for much := false; ; {
		turns = append(p.take(), turns...) // answers before what takes turns
		keep := turns[:0]
		for _, t := range turns {
			if t.Turn() {
				keep = append(keep, t)
			}
		}
		clear(turns[len(keep):])
		turns = keep
		if p.late {
			p.late = false
			c.due() // only now: what came during a long write may be what it waits for
		}
		if much {
			c.room()
		}
		much = p.Blocked()
		p.Flush()
		if p.closed {
			return
		}
		if much || len(turns) > 0 {
			select {
			case <-p.timer.C:
				p.late = true
			case <-over:
				return
			case <-p.stop:
				return
			default:
			}
			continue
		}
		select {
		case <-p.signal:
		case <-p.timer.C:
			p.late = true
		case <-over:
			return
		case <-p.stop:
			return
		}
	}
}

// settle takes what was begun elsewhere for a connection that is over: channels
// that were opened are to be closed, and publishes counted.
func (p *solo) settle(n *node) {
	p.closed = true
	for n.away > 0 {
		<-p.signal
		for _, t := range p.take() {
			for t.Turn() {
			}
		}
	}
}

// Queue implements port.
func (p *solo) Queue(b []byte) {
	if !p.closed && len(b) > 0 {
		p.queue = append(p.queue, b)
		p.size += len(b)
	}
}

// QueueCopy implements port.
func (p *solo) QueueCopy(b []byte) { p.Queue(append([]byte(nil), b...)) }

// Flush implements port.
func (p *solo) Flush() {
	if len(p.queue) == 0 {
		return
	}
	queue := p.queue
	p.queue, p.size = nil, 0
	if p.write(queue) != nil {
		p.closed = true
	}
}

// Blocked implements port.
func (p *solo) Blocked() bool { return p.size >= eventSize }

// Unsent implements port: what is queued has only just been, as writing blocks.
func (p *solo) Unsent() int { return 0 }

// Favor implements port: there are no others.
func (p *solo) Favor() {}

// Pause implements port.
func (p *solo) Pause(on bool) {
	if p.pause != nil {
		p.pause(on)
	}
}

// SetDue implements port.
func (p *solo) SetDue(d time.Duration) {
	p.timer.Stop()
	p.late = false
	if d > 0 {
		p.timer.Reset(d)
	}
}

// CloseWrite implements port.
func (p *solo) CloseWrite() {
	p.Flush()
	if !p.closed && p.shut != nil {
		p.shut()
	}
}

// Close implements port.
func (p *solo) Close() {
	p.Flush()
	p.closed = true
}
