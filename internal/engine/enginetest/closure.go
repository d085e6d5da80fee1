package enginetest

import "twohop"

func closeCases() []testCase {
	return []testCase{
		{name: "Alone", run: closeAlone, both: true},
		{name: "WithRecords", run: closeWithRecords, both: true},
		{name: "Empty", run: closeEmpty},
		{name: "ByProducer", run: closeByProducer},
		{name: "ByProducerAlone", run: closeByProducerAlone},
		{name: "ByOther", run: closeByOther},
		{name: "WithKey", run: closeWithKey},
		{name: "NotByRefused", run: closeNotByRefused},
	}
}

func (f *fixture) closing(a *twohop.Append) *twohop.Append {
	a.Close = true
	return a
}

func closeAlone(f *fixture) {
	f.channel("a", "x")
	tail := f.info("a").Tail
	if ack := f.must(f.closing(f.appendOf("a"))); !ack.Closed || ack.Offset != tail {
		f.Errorf("closed: %+v, want the tail %s", ack, tail)
	}
	if ack := f.repeated(f.closing(f.appendOf("a")), tail); !ack.Closed {
		f.Errorf("closed again: %+v", ack)
	}
	e := f.refusal(f.appendOf("a", "y"), twohop.CodeClosed)
	if e.Tail == nil || *e.Tail != tail {
		f.Errorf("the refusal names the tail %v, want %s", e.Tail, tail)
	}
	f.refused(f.closing(f.appendOf("a", "y")), twohop.CodeClosed)
	f.holds("a", "x")
}

func closeWithRecords(f *fixture) {
	f.channel("a", "x")
	ack := f.must(f.closing(f.appendOf("a", "y", "z")))
	if !ack.Closed || ack.Offset != f.info("a").Tail {
		f.Errorf("closed: %+v", ack)
	}
	f.holds("a", "x", "y", "z")
	f.refused(f.appendOf("a", "u"), twohop.CodeClosed)
}

func closeEmpty(f *fixture) {
	f.channel("a")
	f.must(f.closing(f.appendOf("a")))
	f.holds("a")
	f.refused(f.appendOf("a", "x"), twohop.CodeClosed)
}

func closeByProducer(f *fixture) {
	f.channel("a")
	first := f.must(f.produce("a", "p", 0, 0, "x"))
	last := f.must(f.closing(f.produce("a", "p", 0, 1, "y")))
	if ack := f.repeated(f.closing(f.produce("a", "p", 0, 1, "y")), last.Offset); !ack.Closed || ack.Seq != 1 {
		f.Errorf("closed again: %+v", ack)
	}
	f.refused(f.produce("a", "p", 0, 2, "z"), twohop.CodeClosed)
	f.repeated(f.produce("a", "p", 0, 0, "x"), first.Offset) // it is in the log
	f.refused(f.produce("a", "q", 0, 0, "z"), twohop.CodeClosed)
	f.refused(f.closing(f.produce("a", "p", 0, 2)), twohop.CodeClosed)
}

func closeByProducerAlone(f *fixture) {
	f.channel("a", "x")
	tail := f.info("a").Tail
	f.must(f.closing(f.produce("a", "p", 4, 0)))
	f.repeated(f.closing(f.produce("a", "p", 4, 0)), tail)
	f.repeated(f.closing(f.appendOf("a")), tail)
	f.refused(f.closing(f.produce("a", "p", 5, 0)), twohop.CodeClosed)
}

func closeByOther(f *fixture) {
	f.channel("a")
	first := f.must(f.produce("a", "p", 0, 0, "x"))
	f.must(f.closing(f.appendOf("a")))
	f.repeated(f.produce("a", "p", 0, 0, "x"), first.Offset)
	f.refused(f.produce("a", "p", 0, 1, "y"), twohop.CodeClosed)
}

func closeWithKey(f *fixture) {
	f.channel("a")
	a := f.closing(f.appendOf("a", "x"))
	a.Key = "k"
	ack := f.must(a)
	if again := f.repeated(a, ack.Offset); !again.Closed {
		f.Errorf("closed again: %+v", again)
	}
}

func closeNotByRefused(f *fixture) {
	f.channel("a", "x")
	a := f.closing(f.appendOf("a", "y"))
	a.ContentType = json
	f.refused(a, twohop.CodeContentType)
	f.refused(f.closing(f.produce("a", "p", 0, 1)), twohop.CodeProducerSeq)
	f.append("a", "z")
}
