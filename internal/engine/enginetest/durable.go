package enginetest

import (
	"fmt"
	"time"

	"twohop"
)

func durableCases() []testCase {
	return []testCase{
		{name: "Records", run: durableRecords, both: true},
		{name: "WriterState", run: durableWriterState},
		{name: "Closed", run: durableClosed},
		{name: "Forks", run: durableForks},
		{name: "Deleted", run: durableDeleted},
		{name: "Epochs", run: durableEpochs},
		{name: "Lifetime", run: durableLifetime, bubble: true},
		{name: "Retention", run: durableRetention, bubble: true, needs: hasRetention},
	}
}

// durableRecords compares after each reopening all offsets and bytes; reopen
// does so.
func durableRecords(f *fixture) {
	mixed(f, "a")
	f.channel("empty")
	for i := range 3 {
		before := map[string]twohop.Info{"a": f.info("a"), "empty": f.info("empty")}
		f.reopen()
		for name, want := range before {
			if got := f.info(name); got.Start != want.Start || got.Tail != want.Tail || !got.Created.Equal(want.Created) {
				f.Errorf("%s: before %+v, after %+v", name, want, got)
			}
		}
		f.append("a", fmt.Sprint("more", i), "y")
		f.compares("a", f.spec(), true)
	}
}

func durableWriterState(f *fixture) {
	f.channel("a")
	var acks []twohop.Ack
	for i := range uint64(5) {
		acks = append(acks, f.must(f.produce("a", "p", 2, i, "x")))
	}
	last := f.appendOf("a", "y")
	last.Key, last.Seq = "k", "7"
	ack := f.must(last)
	f.reopen()
	for i, a := range acks {
		f.repeated(f.produce("a", "p", 2, uint64(i), "x"), a.Offset)
	}
	f.repeated(last, ack.Offset)
	f.refused(f.produce("a", "p", 1, 9, "no"), twohop.CodeProducerEpoch)
	f.refused(f.produce("a", "p", 2, 6, "no"), twohop.CodeProducerSeq)
	again := f.appendOf("a", "no")
	again.Seq = "6"
	f.refused(again, twohop.CodeSeqRegression)
	f.must(f.produce("a", "p", 2, 5, "z"))
}

func durableClosed(f *fixture) {
	f.channel("a")
	last := f.must(f.closing(f.produce("a", "p", 0, 0, "x")))
	f.reopen()
	f.repeated(f.closing(f.produce("a", "p", 0, 0, "x")), last.Offset)
	f.refused(f.appendOf("a", "y"), twohop.CodeClosed)
	f.compares("a", &twohop.Spec{ContentType: text, Closed: true}, true)
}

func durableForks(f *fixture) {
	f.channel("a", "one", "two")
	at := f.walk("a")[0].after
	f.fork("b", "a", &at, 1)
	f.append("b", "own")
	f.fork("c", "b", nil, 0)
	f.append("c", "deeper")
	f.remove("a")
	f.remove("b")
	f.reopen()
	f.absent("a", twohop.CodeGone)
	f.absent("b", twohop.CodeGone)
	if got := f.content("c"); got != "onetowndeeper" {
		f.Errorf("c holds %q", got)
	}
	f.append("c", "more")
	f.fork("d", "c", &at, 0)
	f.holds("d", "one")
	f.reopen()
	f.remove("c")
	f.remove("d")
	for _, name := range []string{"a", "b", "c"} {
		f.eventually(name+" is collected", func() bool { return f.codeOf(name) == twohop.CodeNotFound })
	}
	f.reopen()
	f.channel("a", "new")
	f.holds("a", "new")
}

func durableDeleted(f *fixture) {
	f.channel("a", "x")
	f.channel("b", "y")
	old := f.info("a").Tail
	f.remove("a")
	f.reopen()
	f.absent("a", twohop.CodeNotFound)
	f.channel("a", "new")
	f.wantReset("a", old, twohop.ResetEpoch)
	f.reopen()
	f.holds("a", "new")
}

// durableEpochs checks that log epochs grow over reopenings.
func durableEpochs(f *fixture) {
	var last twohop.Offset
	for i := range 5 {
		info := f.create("a", f.spec("x"))
		if info.Start.Compare(last) <= 0 {
			f.Errorf("the log of opening %d begins at %s, the one before ended at %s", i, info.Start, last)
		}
		last = info.Tail
		f.remove("a")
		f.reopen()
	}
}

func durableLifetime(f *fixture) {
	f.create("ttl", &twohop.Spec{ContentType: f.kind, TTL: time.Hour})
	f.create("at", &twohop.Spec{ContentType: f.kind, ExpiresAt: time.Now().Add(90 * time.Minute)})
	f.pass(30 * time.Minute)
	f.append("ttl", "x")
	f.reopen()
	f.pass(59 * time.Minute)
	f.check("ttl")
	f.pass(time.Minute)
	f.expired("ttl")
	delete(f.logs, "at")
	f.reopen()
	f.expired("at")
}

func durableRetention(f *fixture) {
	spec := f.spec()
	spec.Retention.Records = 3
	f.create("a", spec)
	var appends [][]string
	for i := range 8 {
		appends = f.grow("a", appends, []string{fmt.Sprint(i)}, min(i+1, 3))
	}
	f.reopen()
	f.holds("a", "5", "6", "7")
	f.grow("a", appends, []string{"8"}, 3)
}
