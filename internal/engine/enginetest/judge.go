package enginetest

import (
	"time"

	"twohop"
)

func judgeCases() []testCase {
	return []testCase{
		{name: "Order", run: judgeOrder},
		{name: "ContentType", run: judgeContentType},
		{name: "StreamSeq", run: judgeStreamSeq},
		{name: "If", run: judgeIf, needs: hasConditions},
		{name: "IfUnsupported", run: judgeIfUnsupported, needs: lacksConditions},
		{name: "Key", run: judgeKey},
		{name: "KeyWindow", run: judgeKeyWindow, bubble: true},
	}
}

// judgeOrder makes appends that several rules refuse and takes the conditions
// away one by one.
func judgeOrder(f *fixture) {
	f.channel("a", "x")
	seq := func(a *twohop.Append) *twohop.Append { a.Seq = "5"; return a }
	f.must(seq(f.produce("a", "p", 3, 0, "y")))
	key := f.appendOf("a", "z")
	key.Key = "k"
	keyed := f.must(key)

	elsewhere := twohop.Offset{Epoch: 1, Pos: 1}
	bad := func() *twohop.Append {
		a := f.produce("a", "p", 2, 7, "no")
		a.Key, a.ContentType, a.Seq = "k", json, "1"
		if f.eng.Capabilities().Conditional {
			a.If = &elsewhere
		}
		return a
	}
	a := bad()
	f.refused(a, twohop.CodeProducerEpoch)
	a.Producer = &twohop.Producer{ID: "p", Epoch: 3, Seq: 9}
	f.repeated(a, keyed.Offset)
	a.Key = "other"
	f.refused(a, twohop.CodeContentType)
	a.ContentType = text
	f.refused(a, twohop.CodeProducerSeq)
	a.Producer.Seq = 1
	f.refused(a, twohop.CodeSeqRegression)
	a.Seq = "6"
	if a.If != nil {
		f.refused(a, twohop.CodeTailMoved)
	}

	end := f.appendOf("a")
	end.Close = true
	f.must(end)
	a = bad()
	f.refused(a, twohop.CodeProducerEpoch)
	a.Producer.Epoch = 4
	f.repeated(a, keyed.Offset)
	a.Key = ""
	f.refused(a, twohop.CodeClosed)
}

func judgeContentType(f *fixture) {
	f.channel("a", "x")
	a := f.appendOf("a", "y")
	a.ContentType = json
	f.refused(a, twohop.CodeContentType)
	a.ContentType = "text/PLAIN; charset=utf-8"
	f.must(a)
	b := f.appendOf("a", "z")
	b.ContentType = ""
	f.must(b)
	c := f.appendOf("a")
	c.ContentType, c.Close = json, true
	f.must(c) // without records it brings no content
}

func judgeStreamSeq(f *fixture) {
	f.channel("a")
	f.channel("b")
	send := func(name, seq string, ok bool) {
		f.Helper()
		a := f.appendOf(name, "r"+seq)
		a.Seq = seq
		if ok {
			f.must(a)
		} else {
			f.refused(a, twohop.CodeSeqRegression)
		}
	}
	send("a", "09", true)
	send("a", "09", false)
	send("a", "08", false)
	send("a", "10", true)
	send("a", "2", true) // compared byte by byte
	send("a", "10", false)
	f.append("a", "without")
	send("a", "1", false)
	send("b", "01", true) // its scope is the channel
}

func judgeIf(f *fixture) {
	f.channel("a")
	first := f.info("a").Tail
	when := func(o twohop.Offset, rec string) *twohop.Append {
		a := f.appendOf("a", rec)
		a.If = &o
		return a
	}
	one := f.must(when(first, "one")).Offset
	e := f.refusal(when(first, "no"), twohop.CodeTailMoved)
	if e.Tail == nil || *e.Tail != one {
		f.Errorf("the refusal names the tail %v, want %s", e.Tail, one)
	}
	f.refused(when(twohop.Offset{}, "no"), twohop.CodeTailMoved)
	f.refused(when(twohop.Offset{Epoch: one.Epoch, Pos: one.Pos + 1}, "no"), twohop.CodeTailMoved)
	f.refused(when(twohop.Offset{Epoch: one.Epoch + 1, Pos: one.Pos}, "no"), twohop.CodeTailMoved)
	f.must(when(one, "two"))
	f.channel("b")
	b := f.appendOf("b", "x")
	b.If = &twohop.Offset{}
	f.must(b) // the beginning of any log is the tail of an empty one
}

func judgeIfUnsupported(f *fixture) {
	f.channel("a", "x")
	tail := f.info("a").Tail
	a := f.appendOf("a", "y")
	a.If = &tail
	f.refused(a, twohop.CodeUnsupported)
}

func judgeKey(f *fixture) {
	f.channel("a")
	f.channel("b")
	keyed := func(name, key, rec string) *twohop.Append {
		a := f.appendOf(name, rec)
		a.Key = key
		return a
	}
	one := f.must(keyed("a", "k1", "one"))
	two := f.must(keyed("a", "k2", "two"))
	f.append("a", "three")
	f.repeated(keyed("a", "k1", "one"), one.Offset)
	f.repeated(keyed("a", "k2", "another"), two.Offset)
	f.must(keyed("b", "k1", "x")) // its scope is the channel
	refusedFirst := keyed("a", "k3", "four")
	refusedFirst.ContentType = json
	f.refused(refusedFirst, twohop.CodeContentType)
	f.must(keyed("a", "k3", "four")) // what was refused did not use the key
}

// judgeKeyWindow needs an engine that is opened with the default window of
// five minutes.
func judgeKeyWindow(f *fixture) {
	f.channel("a")
	a := func() *twohop.Append { a := f.appendOf("a", "x"); a.Key = "k"; return a }
	one := f.must(a())
	f.pass(4 * time.Minute)
	f.repeated(a(), one.Offset)
	f.pass(10 * time.Minute)
	two := f.must(a())
	f.repeated(a(), two.Offset)
}

func producerCases() []testCase {
	return []testCase{
		{name: "Sequence", run: producerSequence, both: true},
		{name: "LastFive", run: producerLastFive},
		{name: "Epochs", run: producerEpochs},
		{name: "Independent", run: producersIndependent},
		{name: "WithKey", run: producerWithKey},
	}
}

func (f *fixture) produce(name, id string, epoch, seq uint64, recs ...string) *twohop.Append {
	a := f.appendOf(name, recs...)
	a.Producer = &twohop.Producer{ID: id, Epoch: epoch, Seq: seq}
	return a
}

func producerSequence(f *fixture) {
	f.channel("a")
	e := f.refusal(f.produce("a", "p", 0, 1, "no"), twohop.CodeProducerSeq)
	if e.Expect != 0 || e.Got != 1 {
		f.Errorf("expected %d, got %d; want 0, 1", e.Expect, e.Got)
	}
	for i := range uint64(3) {
		if ack := f.must(f.produce("a", "p", 0, i, "x", "y")); ack.Seq != i {
			f.Errorf("the highest number is %d, want %d", ack.Seq, i)
		}
	}
	e = f.refusal(f.produce("a", "p", 0, 4, "no"), twohop.CodeProducerSeq)
	if e.Expect != 3 || e.Got != 4 {
		f.Errorf("expected %d, got %d; want 3, 4", e.Expect, e.Got)
	}
	f.must(f.produce("a", "p", 0, 3, "z"))
}

func producerLastFive(f *fixture) {
	f.channel("a")
	var acks []twohop.Ack
	for i := range uint64(8) {
		acks = append(acks, f.must(f.produce("a", "p", 0, i, "x")))
		f.append("a", "between")
	}
	for i := range uint64(8) {
		ack, err := f.send(f.produce("a", "p", 0, i, "x"))
		if err != nil || !ack.Duplicate || ack.Seq != 7 {
			f.Fatalf("repeated %d: %+v, %v; want a duplicate, highest number 7", i, ack, err)
		}
		if known := i >= 3; known && ack.Offset != acks[i].Offset || !known && ack.Offset != acks[i].Offset && !ack.Offset.IsZero() {
			f.Errorf("repeated %d: offset %s, the first time %s", i, ack.Offset, acks[i].Offset)
		}
	}
	f.check("a")
}

func producerEpochs(f *fixture) {
	f.channel("a")
	old := f.must(f.produce("a", "p", 1, 0, "x"))
	f.must(f.produce("a", "p", 1, 1, "y"))
	f.refused(f.produce("a", "p", 2, 2, "no"), twohop.CodeProducerStart)
	f.must(f.produce("a", "p", 2, 0, "z"))
	e := f.refusal(f.produce("a", "p", 1, 2, "no"), twohop.CodeProducerEpoch)
	if e.Epoch != 2 {
		f.Errorf("the refusal names epoch %d, want 2", e.Epoch)
	}
	f.refused(f.produce("a", "p", 1, 0, "x"), twohop.CodeProducerEpoch)
	again := f.produce("a", "p", 2, 0, "z")
	if ack, err := f.send(again); err != nil || !ack.Duplicate || ack.Offset == old.Offset {
		f.Errorf("repeated in the new epoch: %+v, %v", ack, err)
	}
	f.must(f.produce("a", "p", 2, 1, "u"))
	f.must(f.produce("a", "p", 9, 0, "v"))
}

func producersIndependent(f *fixture) {
	f.channel("a")
	f.channel("b")
	for i := range uint64(3) {
		f.must(f.produce("a", "p", 0, i, "x"))
		f.must(f.produce("a", "q", 5, i, "y"))
		f.must(f.produce("b", "p", 7, i, "z"))
	}
}

func producerWithKey(f *fixture) {
	f.channel("a")
	one := f.produce("a", "p", 0, 0, "x")
	one.Key = "k"
	ack := f.must(one)
	two := f.produce("a", "p", 0, 1, "y")
	two.Key = "k"
	f.repeated(two, ack.Offset)
	f.must(f.produce("a", "p", 0, 1, "y")) // the duplicate of the key did not count
}
