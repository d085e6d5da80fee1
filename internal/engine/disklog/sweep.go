package disklog

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"twohop"
)

const (
	sweepItems = 512         // due entries that are dealt with at a time
	sweepRetry = time.Second // until entries that could not be dealt with are tried again
	cacheAge   = time.Minute // one generation of the cache
)

// sweeper sleeps until the next entry of the due indexes.
type sweeper struct {
	woken chan struct{}

	mu struct {
		sync.Mutex
		next int64 // when it wakes by itself, Unix microseconds
	}
}

// wakeAt has the sweeper look at the due indexes at a time, or before.
func (s *sweeper) wakeAt(due int64) {
	s.mu.Lock()
	earlier := due < s.mu.next
	if earlier {
		s.mu.next = due
	}
	s.mu.Unlock()
	if !earlier {
		return
	}
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// sleepTime is how long the sweeper may sleep.
func (s *sweeper) sleepTime() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.next == math.MaxInt64 {
		return math.MaxInt64
	}
	return max(0, time.Until(time.UnixMicro(s.mu.next)))
}

func (s *sweeper) set(next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.next = next
}

// sweepLoop deals with what is due and ages the cache.
func (e *Engine) sweepLoop() {
	age := time.NewTicker(cacheAge)
	defer age.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	if err := e.lookAtNewAges(); err != nil {
		e.opts.Logger.Error("whether records are older than retention allows now is not known", slog.Any("error", err))
	}
	for {
		select {
		case <-e.stop:
			return
		case <-age.C:
			e.cache.age()
			e.saveUses(false)
			continue
		case <-e.sweeper.woken:
		case <-timer.C:
			e.sweeper.set(math.MaxInt64) // before looking: what comes due meanwhile wakes
			next, err := e.sweep()
			if err != nil {
				e.opts.Logger.Error("the sweep failed", slog.Any("error", err))
				next = time.Now().Add(sweepRetry).UnixMicro()
			}
			e.sweeper.wakeAt(next)
		}
		timer.Reset(e.sweeper.sleepTime())
	}
}

// saveUses has the last uses of channels persisted: of those that are to leave
// the cache, or of all.
func (e *Engine) saveUses(all bool) {
	if !all && e.guard.trouble() != nil {
		return // it can wait longer than what it would pile up
	}
	for _, name := range e.cache.unsaved(all) {
		_ = e.queue.add(&item{kind: itemTouch, name: name}) // tried again at the next age
	}
}

// sweep deals with all that is due and returns when the next thing will be.
func (e *Engine) sweep() (next int64, err error) {
	next = math.MaxInt64
	for _, kind := range []byte{kindDue, kindKeyDue} {
		var first dueName
		for {
			found, later, err := e.dueBefore(kind, time.Now().UnixMicro())
			if err != nil {
				return 0, err
			}
			if len(found) == 0 {
				next = min(next, later)
				break
			}
			again := found[0] == first // it failed, as the committer logged
			first = found[0]
			ok := !again
			if ok {
				_, ok = e.dealWith(kind, found, false)
			}
			if !ok {
				next = min(next, time.Now().Add(sweepRetry).UnixMicro())
				break
			}
		}
	}
	return next, nil
}

// lookAtNewAges has the committer look at the channels for which retention has
// another age than when they were last saved: of those that nothing is appended
// to any more nobody else would find out.
func (e *Engine) lookAtNewAges() error {
	if e.opts.Retention == nil || e.agesKnown {
		return nil
	}
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: channelKey(""), UpperBound: []byte{kindChannel + 1}})
	if err != nil {
		return err
	}
	var found []dueName
	all := true
	look := func() {
		failed, ok := e.dealWith(kindDue, found, true)
		all = all && ok && failed == 0
		found = found[:0]
		e.saveUses(false) // or none of those that were loaded leaves the cache
	}
	for ok := it.First(); ok && !e.closing(); ok = it.Next() {
		name := string(it.Key()[1:])
		r, has := e.opts.Retention(name)
		if !has {
			continue
		}
		ch, err := decodeChannel(name, it.Value())
		if err != nil {
			all = false // what is wrong with it is told where it is used
			continue
		}
		if ch.dueAge == r.Age {
			continue
		}
		if found = append(found, dueName{due{at: ch.due, id: ch.id}, name}); len(found) == sweepItems {
			look()
		}
	}
	if len(found) > 0 {
		look()
	}
	err = it.Close()
	e.agesKnown = all && err == nil && !e.closing() && e.opts.RetentionVersion != ""
	return err
}

// dueBefore reads what is due from an index, and when the first entry is that
// is not.
func (e *Engine) dueBefore(kind byte, now int64) (found []dueName, next int64, err error) {
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return nil, 0, err
	}
	next = math.MaxInt64
	for ok := it.First(); ok && len(found) < sweepItems; ok = it.Next() {
		d := parseDue(it.Key())
		if d.at > now {
			next = d.at
			break
		}
		found = append(found, dueName{d, string(it.Value())})
	}
	return found, next, it.Close()
}

// dueName is an entry of a due index with its value.
type dueName struct {
	due
	name string
}

// dealWith has the committer deal with due entries, or with channels whatever
// their entries are by now. It reports whether it did, and how many failed.
func (e *Engine) dealWith(kind byte, found []dueName, whatever bool) (failed int32, ok bool) {
	var left, failures atomic.Int32
	ended := make(chan struct{})
	done := func(r *result) {
		if r.err != nil {
			failures.Add(1)
		}
		if left.Add(-1) == 0 {
			close(ended)
		}
	}
	if kind == kindKeyDue {
		left.Store(1)
		keys := make([]due, len(found))
		for i, f := range found {
			keys[i] = f.due
		}
		ok = e.queue.add(&item{kind: itemForget, keys: keys, done: done}) == nil && e.ended(ended)
		return failures.Load(), ok
	}
	left.Store(int32(len(found))) //nolint:gosec // sweepItems at most
	for _, f := range found {
		if e.queue.add(&item{kind: itemLook, name: f.name, due: f.due, any: whatever, done: done}) != nil {
			return 0, false
		}
	}
	ok = e.ended(ended)
	return failures.Load(), ok
}

func (e *Engine) ended(ended <-chan struct{}) bool {
	select {
	case <-ended:
		return true
	case <-e.stop:
		return false
	}
}

// List implements engine.Engine.
func (e *Engine) List(ctx context.Context, glob, after string, n int) (names []string, err error) {
	if err := e.begin(""); err != nil {
		return nil, err
	}
	defer e.ops.Done()
	prefix := glob
	if i := strings.IndexAny(glob, `*?[\`); i >= 0 {
		prefix = glob[:i]
	}
	// A glob like a/** matches a, too.
	prefix = strings.TrimSuffix(prefix, "/")
	from := prefix
	if after >= prefix {
		from = after + "\x00"
	}
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: channelKey(from), UpperBound: []byte{kindChannel + 1}})
	if err != nil {
		return nil, readFailed("", err)
	}
	now := time.Now()
	for ok := it.First(); ok && len(names) < n && ctx.Err() == nil; ok = it.Next() {
		name := string(it.Key()[1:])
		if !strings.HasPrefix(name, prefix) {
			break
		}
		if twohop.Match(glob, name) && e.listed(name, it.Value(), now) {
			names = append(names, name)
		}
	}
	if err := it.Close(); err != nil {
		return nil, readFailed("", err)
	}
	return names, ctx.Err()
}

// listed reports whether readers see a channel that is in the store.
func (e *Engine) listed(name string, value []byte, now time.Time) bool {
	ch, used, ok := e.cache.peek(name)
	if !ok {
		var err error
		if ch, err = decodeChannel(name, value); err != nil {
			return false
		}
		if ch.TTL > 0 { // its last append counts
			if ch, used, err = e.cache.get(name); err != nil {
				return false
			}
		}
	}
	_, err := ch.seen(name, used, now)
	return err == nil
}
