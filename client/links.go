package client

import (
	"cmp"
	"maps"
	"slices"

	"twohop"
)

// linkState is how a channel stands on one connection.
type linkState uint8

const (
	linkOff     linkState = iota // not followed
	linkAsked                    // asked for; the answer is to come
	linkOn                       // followed
	linkLeaving                  // to be followed no more; the answer is to come
)

// link is a channel on one connection.
//
//	off --subscribe--> asked --subscribed--> on --unsubscribe--> leaving --unsubscribed, error--> off
//	                   asked --error, ended--> off <--error, ended-- on
//
// Frames count only while it is on, for the Following that asked, and until the
// first one that was not taken: from then on they would leave a gap, and only
// asking again, from the offset, closes it. A reset may also come between the
// question and its answer.
type link struct {
	state linkState
	f     *Following
	gap   bool
}

// takes reports whether frames of the channel count.
func (l *link) takes() bool {
	return l != nil && l.state == linkOn && !l.gap && l.f.wanted()
}

// must tells what is to be done so that f, which may be nil, is followed if it
// is wanted, and nothing else is.
func (l *link) must(f *Following) (leave, ask bool) {
	want := f != nil && f.wanted()
	if l == nil || l.state == linkOff {
		return false, want
	}
	return l.state == linkOn && (l.gap || !want || l.f != f), false
}

// links are all channels of one connection.
type links map[string]*link

func (ls links) ask(f *Following) {
	ls[f.channel] = &link{state: linkAsked, f: f}
}

// answered is called when a poll was answered: the server tells where a channel
// stands only if the request did not.
func (ls links) answered() {
	for _, l := range ls {
		if l.state == linkAsked && l.f.named() {
			l.state = linkOn
			l.f.c.changed(l.f.channel)
		}
	}
}

// take handles a frame about a channel. news is true if the channel stands
// elsewhere now, or need not be asked for again at once: another request would
// not bring the same.
func (ls links) take(fr *frame) (news bool, err error) {
	l := ls[fr.Channel]
	if l == nil {
		return false, nil // a channel that a list no longer has
	}
	if l.state == linkOn && !l.takes() && !l.gap {
		l.gap = true
		l.f.c.changed(fr.Channel) // what comes for nobody need not come
	}
	if l.state == linkAsked && fr.Type == frameData {
		return false, malformed("records of a channel before it was followed")
	}
	stood, wanted := l.f.stands(), l.f.wanted()
	switch fr.Type {
	case frameSubscribed:
		err = ls.subscribed(l, fr)
	case frameData:
		ls.data(l, fr)
	case frameReset:
		ls.reset(l, fr)
	case frameUnsubscribed:
		l.off()
	case frameAdvice:
		if l.f.advice = fr.advice(); l.f.advice.Transport != Auto {
			l.f.c.advised()
		}
	case frameError:
		ls.refused(l, fr)
	}
	return l.f.stands() != stood || wanted && !l.f.wanted(), err
}

func (l *link) off() {
	l.state = linkOff
	l.f.c.changed(l.f.channel)
}

func (ls links) subscribed(l *link, fr *frame) error {
	f := l.f
	switch l.state {
	case linkAsked:
		l.state = linkOn
		f.c.changed(f.channel)
		if !f.wanted() || f.c.channels[f.channel] != f {
			l.gap = true
			return nil
		}
	case linkOn: // it was waiting, and is there now
		if l.gap {
			return nil
		}
	case linkOff, linkLeaving:
		return nil
	}
	f.budget = milliseconds(fr.Budget)
	if fr.Waiting {
		if f.offset == "" {
			f.from = At(fr.Offset) // of what comes, all is wanted
		}
		f.absent(notThereYet(f.channel), 0)
		return nil
	}
	f.json = twohop.IsJSON(fr.ContentType)
	if fr.UpToDate || !f.named() { // else a reset may follow: who named the place hears of what is there
		f.moved(fr.Offset, fr.UpToDate)
	}
	return nil
}

// notThereYet is the failure to find a channel that its first publish creates.
func notThereYet(channel string) *failure {
	return &failure{retry: true, err: &twohop.Error{
		Code: twohop.CodeNotFound, Channel: channel,
		Message: "there is no such channel yet", Hint: "publish to it, or wait for it",
	}}
}

func (ls links) data(l *link, fr *frame) {
	if f := l.f; l.takes() {
		records, isJSON := fr.records()
		stands := f.stands()
		if fr.Offset <= stands { // what is at or before the offset was delivered
			records = nil
		}
		if len(records) > 0 {
			f.json = isJSON
			f.c.counted(len(records))
		}
		if fr.Offset >= stands {
			f.take(records, fr.Offset, fr.UpToDate || fr.Closed, fr.Closed)
		}
	}
	if fr.Closed && l.state == linkOn {
		l.off()
	}
}

func (ls links) reset(l *link, fr *frame) {
	f := l.f
	asked := l.state == linkAsked && f.wanted() && f.c.channels[f.channel] == f
	deleted := fr.Reason == twohop.ResetDeleted
	switch {
	case !asked && !l.takes():
	case deleted:
		f.reset(fr.reset(), "") // see Following.absent
		f.absent(wasDeleted(f.channel), f.absentFor())
	default:
		f.reset(fr.reset(), fr.Offset)
	}
	if deleted && l.state == linkOn {
		l.off()
	}
}

// wasDeleted is the failure of a channel that was deleted while it was followed.
func wasDeleted(channel string) *failure {
	return &failure{retry: true, err: &twohop.Error{
		Code: twohop.CodeNotFound, Channel: channel,
		Message: "the channel was deleted", Hint: "follow it again when it is there again, or wait for it",
	}}
}

// refused handles an error about a channel.
func (ls links) refused(l *link, fr *frame) {
	switch l.state {
	case linkAsked:
		l.off()
		if l.f.wanted() {
			l.f.refused(fr.failure())
		}
	case linkOn:
		takes := l.takes()
		l.off()
		if takes {
			l.f.refused(fr.failure())
		}
	case linkLeaving: // it had ended by itself
		l.off()
	case linkOff:
	}
}

// reconcile finds what to ask for and what to leave, of the channels that
// changed.
func (ls links) reconcile(channels map[string]*Following, changed map[string]struct{}) (ask []*Following, leave []string) {
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		f, l := channels[name], ls[name]
		leaves, asks := l.must(f)
		switch {
		case leaves:
			leave = append(leave, name)
		case asks:
			ask = append(ask, f)
		case f == nil && l != nil && l.state == linkOff:
			delete(ls, name)
		}
	}
	sortByAge(ask)
	return ask, leave
}

// sortByAge puts what was followed first first.
func sortByAge(fs []*Following) {
	slices.SortFunc(fs, func(a, b *Following) int { return cmp.Compare(a.age, b.age) })
}

// whole reports whether the connection carries all that is wanted of the
// channels that changed, without a gap, and nothing of others.
func (ls links) whole(channels map[string]*Following, changed map[string]struct{}) bool {
	for name := range changed {
		f, l := channels[name], ls[name]
		if l != nil && l.gap && l.state == linkOn || f != nil && f.wanted() && (l == nil || l.state == linkOff || l.f != f) {
			return false
		}
	}
	return true
}
