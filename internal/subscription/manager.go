package subscription

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"twohop"
)

// Options of a Manager. The zero value is good for production.
type Options struct {
	// PublicURL is scheme and host by which webhook receivers reach the server.
	// If it is empty, the Host of the request that made or last confirmed the
	// subscription is used.
	PublicURL string

	AllowLoopback bool // webhooks may go to this machine, by plain HTTP
	AllowPrivate  bool // webhooks may go into private networks, by HTTPS

	WebhookTimeout   time.Duration // of one attempt, 0 is 30 s; the lease bounds it too
	MaxSubscriptions int           // that this node may make, 0 is 10,000
	MaxStreams       int           // channels linked to one subscription, 0 is 10,000
	NameBytes        int           // length of a channel's name, 0 is 255
	BodyBytes        int64         // length of a request's body, 0 is 1 MiB
	BodyTime         time.Duration // for a request's body to arrive, 0 is a minute

	// Transport sends webhooks in place of the built-in one, and then has to
	// judge the addresses that it connects to.
	Transport http.RoundTripper
	Log       *slog.Logger // nil discards
}

func (o *Options) setDefaults() {
	if o.WebhookTimeout = o.WebhookTimeout.Truncate(time.Millisecond); o.WebhookTimeout <= 0 {
		o.WebhookTimeout = 30 * time.Second
	}
	if o.MaxSubscriptions <= 0 {
		o.MaxSubscriptions = 10_000
	}
	if o.MaxStreams <= 0 {
		o.MaxStreams = 10_000
	}
	if o.NameBytes <= 0 {
		o.NameBytes = 255
	}
	if o.BodyBytes <= 0 {
		o.BodyBytes = 1 << 20
	}
	if o.BodyTime <= 0 {
		o.BodyTime = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.PublicURL = strings.TrimRight(o.PublicURL, "/")
}

func (o *Options) targets() targets {
	return targets{loopback: o.AllowLoopback, private: o.AllowPrivate}
}

// Manager keeps this node's subscriptions. It answers requests under
// /v1/stream/__ds/. Its methods may be called concurrently.
type Manager struct {
	store Store
	opt   Options
	node  string // names this node's writes
	http  *http.Client
	keys  atomic.Pointer[keys]

	watched atomic.Int64 // subscriptions in the index; 0 lets Changed and Deleted return at once
	writes  atomic.Uint64

	// marks holds what happened to channels, until dispatch tells the
	// subscriptions. It is all that an append has to wait for.
	marks struct {
		sync.Mutex

		channels map[string]mark
	}
	signal chan struct{} // one token: there are marks

	// mu guards what follows. It is never held across I/O; marks and a sub's
	// inbox are locked inside it.
	mu    sync.Mutex
	index *index
	subs  map[string]*sub
	made  map[string]int  // subscriptions that requests are making just now
	life  context.Context //nolint:containedctx // from Start to Stop; nil before
	stop  context.CancelFunc
	work  sync.WaitGroup // what Stop waits for; added to only while life runs, under mu
}

// New makes a Manager that does nothing until Start.
func New(store Store, o Options) *Manager {
	o.setDefaults()
	m := &Manager{
		store: store, opt: o, node: rand.Text(), index: newIndex(),
		subs: map[string]*sub{}, made: map[string]int{}, signal: make(chan struct{}, 1),
	}
	m.marks.channels = map[string]mark{}
	rt := o.Transport
	if rt == nil {
		rt = newSender(o.targets())
	}
	m.http = &http.Client{Transport: rt, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return m
}

// Start finds the subscriptions that exist and takes up their leases and
// retries. The Manager runs until Stop, or until ctx is done. It is called once.
func (m *Manager) Start(ctx context.Context) error {
	if u, err := url.Parse(m.opt.PublicURL); err != nil || m.opt.PublicURL != "" && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return &twohop.Error{Code: twohop.CodeInvalidParameter, Message: "the public URL " + m.opt.PublicURL + " is not an absolute http or https URL",
			Hint: "write it like https://events.example.com"}
	}
	var ids []string
	for after := ""; ; {
		names, err := m.store.List(ctx, stateChannels+"**", after, listPage)
		if err != nil {
			return err
		}
		for _, n := range names {
			if id := strings.TrimPrefix(n, stateChannels); checkID(id) == nil {
				ids = append(ids, id)
			}
		}
		if len(names) < listPage {
			break
		}
		after = names[len(names)-1]
	}
	m.mu.Lock()
	m.life, m.stop = context.WithCancel(ctx)
	m.work.Go(func() { m.dispatchLoop(m.life) })
	m.mu.Unlock()
	for _, id := range ids {
		if _, err := m.open(id, nil); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends all work and waits for it. Wakes in flight stay in the logs.
func (m *Manager) Stop() {
	m.mu.Lock()
	if m.stop != nil {
		m.stop()
	}
	m.mu.Unlock()
	m.work.Wait()
	m.http.CloseIdleConnections()
}

// Changed tells that a channel has a new tail. It never waits for I/O, and
// costs one atomic load as long as there are no subscriptions.
func (m *Manager) Changed(channel string, tail twohop.Offset) {
	// A change of a subscription must be seen by a node that has none yet.
	if m.watched.Load() == 0 && !strings.HasPrefix(channel, stateChannels) {
		return
	}
	m.mark(channel, mark{tail: tail})
}

// Deleted tells that a channel was deleted or has expired. It never waits for
// I/O. Of a subscription's own channel it need not be told: who writes there
// finds out.
func (m *Manager) Deleted(channel string) {
	if m.watched.Load() == 0 || twohop.Reserved(channel) {
		return
	}
	m.mark(channel, mark{deleted: true})
}

// mark is what became of a channel since it was last looked at.
type mark struct {
	tail    twohop.Offset // zero if nothing came after the deletion
	deleted bool          // and maybe made anew since
}

// after is a mark that follows an older one.
func (n mark) after(old mark) mark {
	n.deleted = n.deleted || old.deleted
	return n
}

func (m *Manager) mark(channel string, n mark) {
	m.marks.Lock()
	m.marks.channels[channel] = n.after(m.marks.channels[channel])
	m.marks.Unlock()
	wakeUp(m.signal)
}

// Recheck makes every subscription look at all its channels again. It is to be
// called when changes may have been missed.
func (m *Manager) Recheck() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.index.all() {
		s.tellRecheck()
	}
}

// wakeUp puts a token into a Go channel that holds one.
func wakeUp(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (m *Manager) dispatchLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.signal:
			m.dispatch()
		}
	}
}

// dispatch hands the marks to the subscriptions that may follow the channels.
// When it returns, all changes told before it was called have been handed over.
func (m *Manager) dispatch() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.marks.Lock()
	var marks map[string]mark
	if n := len(m.marks.channels); n > 0 {
		marks, m.marks.channels = m.marks.channels, make(map[string]mark, min(n, 1024))
	}
	m.marks.Unlock()
	for channel, mk := range marks {
		if id, ok := strings.CutPrefix(channel, stateChannels); ok {
			if m.made[id] > 0 {
				continue // by this node: create opens it
			}
			if s, err := m.openLocked(id, nil); err == nil {
				s.tellState(mk.tail)
			}
			continue
		}
		if !twohop.Reserved(channel) { // what the server writes for itself wakes nobody
			m.index.find(channel, func(s *sub) { s.tellMark(channel, mk) })
		}
	}
}

// open returns a subscription, and begins to keep it if it was not known here.
// Whether it exists is found out by its goroutine. made is one that this node
// just created, or nil.
func (m *Manager) open(id string, made *sub) (*sub, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.openLocked(id, made)
}

func (m *Manager) openLocked(id string, made *sub) (*sub, error) {
	if s := m.subs[id]; s != nil {
		return s, nil
	}
	if m.life == nil || m.life.Err() != nil {
		return nil, errNotRunning
	}
	s := made
	if s == nil {
		s = newSub(m, id)
	}
	m.subs[id] = s
	life := m.life
	m.work.Go(func() { s.run(life) })
	return s, nil
}

// follow enters into the index what a subscription follows.
func (m *Manager) follow(s *sub, c *config, links map[string]link) {
	e := entry{pattern: c.Pattern, wakeStream: c.WakeStream}
	for name, l := range links {
		if l.Explicit {
			e.streams = append(e.streams, name)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index.set(s, e)
	m.watched.Store(int64(len(m.index.entries)))
}

// making counts the requests that are making a subscription.
func (m *Manager) making(id string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.made[id] += n; m.made[id] == 0 {
		delete(m.made, id)
	}
}

// forget drops a subscription from memory.
func (m *Manager) forget(s *sub) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.subs[s.id] == s {
		delete(m.subs, s.id)
	}
	m.index.remove(s)
	m.watched.Store(int64(len(m.index.entries)))
}

// full reports whether no more subscriptions may be made.
func (m *Manager) full() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.subs) >= m.opt.MaxSubscriptions
}

// isWakeStream reports whether wake events go to a channel. Patterns do not
// match those: subscriptions would wake each other for ever.
func (m *Manager) isWakeStream(channel string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.index.wakes[channel] > 0
}
