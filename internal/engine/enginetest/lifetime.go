package enginetest

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"twohop"
)

// lazy is how long an engine may take, in the time of a bubble, to do what it
// does on its own.
const lazy = 2 * time.Minute

func codeOf(err error) twohop.Code {
	if e, ok := errors.AsType[*twohop.Error](err); ok {
		return e.Code
	}
	return twohop.Code(fmt.Sprint(err))
}

// eventually waits for what an engine does on its own soon after an answer.
func (f *fixture) eventually(what string, ok func() bool) {
	f.Helper()
	for range 1_000_000 {
		if ok() {
			return
		}
		runtime.Gosched()
	}
	f.Fatalf("it never comes to be that %s", what)
}

func lifetimeCases() []testCase {
	return []testCase{
		{name: "TTL", run: ttlExpires, bubble: true},
		{name: "TTLWrites", run: ttlWrites, bubble: true},
		{name: "TTLTouch", run: ttlTouch, bubble: true},
		{name: "TTLNotRenewed", run: ttlNotRenewed, bubble: true},
		{name: "ExpiresAt", run: expiresAt, bubble: true},
		{name: "Recreate", run: expiredRecreate, bubble: true},
		{name: "ByAppend", run: expiredAppendCreates, bubble: true},
		{name: "Events", run: expiredEvents, bubble: true},
	}
}

// expired checks that a channel is gone, now.
func (f *fixture) expired(name string) {
	f.Helper()
	delete(f.logs, name)
	f.absent(name, twohop.CodeNotFound)
}

func ttlExpires(f *fixture) {
	f.pass(33 * time.Millisecond) // so that it is due at an odd time
	f.create("a", &twohop.Spec{ContentType: f.kind, TTL: time.Minute})
	f.create("b", &twohop.Spec{ContentType: f.kind, TTL: 90 * time.Second})
	f.pass(time.Minute - time.Millisecond)
	f.check("a")
	f.pass(time.Millisecond)
	f.expired("a")
	f.check("b")
	f.pass(30 * time.Second)
	f.expired("b")
}

func ttlWrites(f *fixture) {
	f.create("a", &twohop.Spec{ContentType: f.kind, TTL: time.Minute})
	for range 5 {
		f.pass(50 * time.Second)
		f.append("a", "x")
	}
	f.pass(time.Minute)
	f.expired("a")
}

func ttlTouch(f *fixture) {
	f.create("a", &twohop.Spec{ContentType: f.kind, TTL: time.Minute})
	for range 5 {
		f.pass(50 * time.Second)
		f.eng.Touch("a")
	}
	f.check("a")
	f.pass(time.Minute)
	f.eng.Touch("a")
	f.expired("a")
}

// ttlNotRenewed does what is neither a read of a client nor a write.
func ttlNotRenewed(f *fixture) {
	f.create("a", &twohop.Spec{ContentType: f.kind, TTL: time.Minute})
	f.pass(50 * time.Second)
	f.info("a")
	f.check("a")
	f.refused(f.produce("a", "p", 0, 7, "no"), twohop.CodeProducerSeq)
	f.pass(10 * time.Second)
	f.expired("a")
}

func expiresAt(f *fixture) {
	at := time.Now().Add(time.Minute)
	f.create("a", &twohop.Spec{ContentType: f.kind, ExpiresAt: at})
	f.create("far", &twohop.Spec{ContentType: f.kind, ExpiresAt: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)})
	f.create("long", &twohop.Spec{ContentType: f.kind, TTL: 1<<63 - 1})
	if got := f.info("a").ExpiresAt; !got.Equal(at) {
		f.Errorf("ExpiresAt = %s, want %s", got, at)
	}
	f.pass(50 * time.Second)
	f.append("a", "x")
	f.eng.Touch("a")
	f.pass(10 * time.Second)
	f.expired("a")
	f.pass(48 * time.Hour)
	f.check("far")
	f.check("long")
}

func expiredRecreate(f *fixture) {
	f.pass(33 * time.Millisecond) // so that it is due at an odd time
	spec := &twohop.Spec{ContentType: f.kind, TTL: time.Minute}
	f.create("a", spec)
	f.append("a", "old")
	old := f.info("a")
	f.pass(time.Minute)
	delete(f.logs, "a")
	f.create("a", spec)
	f.wantReset("a", old.Tail, twohop.ResetEpoch)
	f.append("a", "new")
	f.holds("a", "new")
	f.pass(59 * time.Second)
	f.check("a")
	f.pass(time.Second)
	f.expired("a")
}

func expiredAppendCreates(f *fixture) {
	f.pass(33 * time.Millisecond) // so that it is due at an odd time
	f.create("a", &twohop.Spec{ContentType: f.kind, TTL: time.Minute})
	f.append("a", "old")
	f.pass(time.Minute)
	delete(f.logs, "a")
	a := f.appendOf("a", "new")
	a.Create = &twohop.Spec{ContentType: f.kind}
	if ack := f.must(a); !ack.Created {
		f.Errorf("the append after the expiry says %+v", ack)
	}
	f.holds("a", "new")
}

// expiredEvents looks at nothing: the feed tells of the expiry all the same.
func expiredEvents(f *fixture) {
	f.create("a", &twohop.Spec{ContentType: f.kind, TTL: time.Minute})
	f.create("b", &twohop.Spec{ContentType: f.kind, ExpiresAt: time.Now().Add(time.Hour)})
	f.logs = nil
	f.pass(time.Minute + lazy)
	f.feed.awaitDeleted(f, "a")
	f.pass(time.Hour)
	f.feed.awaitDeleted(f, "b")
}
