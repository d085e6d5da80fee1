package client

import (
	"container/list"
	"context"
	"iter"
	"math/rand/v2"
	"time"

	"twohop"
)

// ChannelOptions say how a Conn follows a channel. The zero value reads all of
// it and goes on with what comes.
type ChannelOptions struct {
	From From

	// Budget is how late an update may be: the server collects within it. 0 is
	// as soon as possible.
	Budget time.Duration

	// Wait waits for a channel that does not exist (any more) to be created,
	// instead of ending with not_found.
	Wait bool
}

// Following is a channel that a Conn follows.
//
// What came is kept until it is ranged over, up to the Conn's BufferBytes; then
// the channel is no longer followed on the wire, and when there is room again it
// is read on from where it stood. So one that is slow holds up no other, and
// what it has not read waits in the channel itself.
type Following struct {
	// Set by Follow.
	c       *Conn
	channel string
	opts    ChannelOptions
	age     uint64        // how many were followed before
	wake    chan struct{} // to who ranges over it: look; holds at most one

	// Guarded by c.mu.
	from     From
	offset   string // after the last event that was queued
	json     bool
	upToDate bool
	told     bool   // an event told that the channel is gone
	advice   Advice // the server's for this channel
	budget   time.Duration

	queue   []queued
	bytes   int    // of records in queue
	read    string // the offset after the last event that was handed out
	full    bool   // nothing more is taken until the queue is shorter
	held    bool   // not asked for until a time has passed
	hold    *time.Timer
	backoff backoff
	looks   int           // for it in a row that found nothing
	ended   bool          // nothing more will be queued
	err     error         // why, if not because the channel is closed
	ready   *list.Element // of c.ready, while there is something to hand out
}

// Channel is its name.
func (f *Following) Channel() string { return f.channel }

// Offset is the offset after the last event that was handed out, "" before the
// first: where to go on, in another process too.
func (f *Following) Offset() string {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	return f.read
}

// Budget is the budget in force, as the server said.
func (f *Following) Budget() time.Duration {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	return f.budget
}

// Close ends it. Events that were not ranged over are gone; Offset is before
// them.
func (f *Following) Close() {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.queue, f.bytes = nil, 0
	f.settle()
	f.end(errStopped)
}

// Events ranges over what comes in this channel, as Client.Follow does. An event
// is handed out once: here or by Conn.Events.
func (f *Following) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			if err := ctx.Err(); err != nil {
				yield(Event{Channel: f.channel}, err)
				return
			}
			f.c.mu.Lock()
			q, ok := f.next()
			ended, err := f.ended, f.err
			f.c.mu.Unlock()
			switch {
			case ok && q.err == nil:
				if !yield(q.event, nil) {
					return
				}
				continue
			case ended && (err == nil || err == errStopped): //nolint:errorlint // comes bare
				return
			case ended:
				yield(Event{Channel: f.channel}, err)
				return
			}
			select {
			case <-f.wake:
			case <-ctx.Done():
			}
		}
	}
}

// queued is what is to be handed out: an event, or why there are no more.
type queued struct {
	event Event
	err   error
}

// next takes the first that is queued. The lock is held, as for all that
// follows.
func (f *Following) next() (queued, bool) {
	if len(f.queue) == 0 {
		return queued{}, false
	}
	q := f.queue[0]
	f.queue[0] = queued{}
	f.queue = f.queue[1:]
	f.settle()
	if q.err != nil {
		return q, true
	}
	f.bytes -= q.event.size()
	f.read = q.event.Offset
	if f.full && f.bytes <= f.c.opts.BufferBytes/2 && len(f.queue) <= maxQueued/2 {
		f.full = false
		f.c.changed(f.channel)
	}
	return q, true
}

// settle takes it off the list of those with something to hand out.
func (f *Following) settle() {
	if f.ready != nil && len(f.queue) == 0 {
		f.c.ready.Remove(f.ready)
		f.ready = nil
	}
}

// maxQueued is how many events are queued at most, however small.
const maxQueued = 256

func (e *Event) size() int {
	n := 0
	for _, r := range e.Records {
		n += len(r)
	}
	return n
}

// put queues an event.
func (f *Following) put(e Event) {
	e.Channel = f.channel
	f.queue = append(f.queue, queued{event: e})
	f.bytes += e.size()
	if !f.full && (f.bytes >= f.c.opts.BufferBytes || len(f.queue) >= maxQueued) {
		f.full = true
		f.c.changed(f.channel)
	}
	f.signal()
}

// signal tells who ranges over this channel, or over all.
func (f *Following) signal() {
	notify(f.wake)
	if f.ready == nil && len(f.queue) > 0 {
		f.ready = f.c.ready.PushBack(f)
	}
	notify(f.c.wake)
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// stands is the offset after all that came, "" where none is known.
func (f *Following) stands() string {
	if f.named() {
		return f.from.value
	}
	return f.offset
}

// moved notes where the channel is followed from.
func (f *Following) moved(offset string, upToDate bool) {
	if offset < f.stands() {
		return // back goes only a reset, which says so itself
	}
	f.take(nil, offset, upToDate, false)
}

// take queues what a frame brought; offset is the one after it.
func (f *Following) take(records [][]byte, offset string, upToDate, closed bool) {
	moved := len(records) > 0 || offset != f.offset
	news := moved || upToDate && !f.upToDate || closed
	f.offset, f.from, f.upToDate, f.told = offset, At(offset), upToDate, false
	f.looks = 0
	if moved {
		f.backoff.reset()
		f.c.useful()
	}
	if news {
		f.put(Event{Records: records, JSON: f.json, Offset: offset, UpToDate: upToDate, Closed: closed})
	}
	if closed {
		f.end(nil)
	}
}

// reset queues the news that the place is lost.
func (f *Following) reset(r *Reset, offset string) {
	if offset != "" && offset != f.offset {
		f.offset, f.from = offset, At(offset)
		f.c.useful()
	}
	f.upToDate = false
	f.told = r.Reason == twohop.ResetDeleted
	f.put(Event{JSON: f.json, Offset: f.offset, Reset: r})
}

// absent handles a channel that is not there. The offset stays as it is: should
// the very same log be back, nothing is read twice, and of another one the
// server says so.
func (f *Following) absent(fail *failure, wait time.Duration) {
	if !f.opts.Wait {
		f.end(fail.err)
		return
	}
	if f.offset != "" && !f.told {
		f.reset(&Reset{Reason: twohop.ResetDeleted}, "")
	}
	f.from = f.from.onceAbsent(f.offset, fail)
	f.backoff.reset()
	f.c.retrying(f.channel, fail, wait)
	if wait > 0 {
		f.pause(wait)
	}
}

// absentFor is how long to wait before a channel is looked for again. Over
// requests a look asks for all channels anew, so there are fewer and fewer, and
// none more often than polls.
func (f *Following) absentFor() time.Duration {
	wait := absentWait/2 + rand.N(absentWait) //nolint:gosec // jitter, not a secret
	s, ok := f.c.session.(*listSession)
	if !ok {
		return wait
	}
	wait <<= min(f.looks, maxLooks)
	f.looks++
	if s.transport == Poll {
		wait = max(wait, f.c.interval())
	}
	return wait
}

// lookNow ends the wait for a channel that was not there over requests.
func (f *Following) lookNow() {
	if f.held && f.looks > 0 {
		f.hold.Stop()
		f.held, f.looks = false, 0
	}
}

// maxLooks bounds the wait to 24 s.
const maxLooks = 4

// refused handles the server's word that it does not follow the channel.
func (f *Following) refused(fail *failure) {
	switch code := fail.err.Code; {
	case code == twohop.CodeNotFound || code == twohop.CodeGone:
		f.absent(fail, f.absentFor())
	case fail.retry:
		wait := f.backoff.next(0)
		f.c.retrying(f.channel, fail, wait)
		f.pause(wait)
	default:
		f.end(fail.err)
	}
}

// pause asks for the channel again after a time.
func (f *Following) pause(wait time.Duration) {
	f.held = true
	f.hold = time.AfterFunc(wait, func() {
		f.c.mu.Lock()
		defer f.c.mu.Unlock()
		f.held = false
		f.c.changed(f.channel)
	})
}

// end is the end, told after the events that are queued.
func (f *Following) end(err error) {
	if f.ended {
		return
	}
	f.ended, f.err = true, err
	if f.hold != nil {
		f.hold.Stop()
	}
	if f.c.channels[f.channel] == f {
		delete(f.c.channels, f.channel)
		f.c.advice = Advice{} // it was for this one too
		f.c.changed(f.channel)
	}
	if err != nil && err != errStopped { //nolint:errorlint // comes bare
		f.queue = append(f.queue, queued{Event{Channel: f.channel}, err})
	}
	f.signal()
}

// wanted reports whether its frames are taken.
func (f *Following) wanted() bool { return !f.ended && !f.full && !f.held }
