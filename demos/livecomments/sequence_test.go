package livecomments

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

func record(source string, number uint64) []byte {
	text, err := json.Marshal(comment{origin{source, number, milliseconds(time.UnixMilli(1))}, "Ana", `says "hi", n:`})
	if err != nil {
		panic(err)
	}
	return text
}

func TestMark(t *testing.T) {
	source, number, ok := mark(record("show-1", 42))
	if !ok || string(source) != "show-1" || number != 42 {
		t.Errorf("mark of a comment: %q, %d, %v", source, number, ok)
	}
	for _, strange := range []string{
		``, `{}`, `{"s":"a"}`, `{"s":"","n":1,"t":1}`, `{"s":"a","n":0,"t":1}`, `{"s":"a","n":-1,"t":1}`, `{"s":"a","n":1}`,
		`{"n":1,"s":"a","t":1}`, `{"s":"a\"b","n":1,"t":1}`, `{"s":"a","n":1e3,"t":1}`, `{"s":"a","n":99999999999999999999,"t":1}`,
		`{"s":"a name that is longer than any that we give","n":1,"t":1}`, `["s"]`, `1`,
	} {
		if _, _, ok := mark([]byte(strange)); ok {
			t.Errorf("%s passes for a record of the demo", strange)
		}
	}
}

func TestSequence(t *testing.T) {
	var s sequence
	want := func(what string, records, missing, twice uint64) {
		t.Helper()
		if s.records != records || s.missing != missing || s.twice != twice {
			t.Errorf("%s: %d records, %d missing, %d twice; want %d, %d, %d", what, s.records, s.missing, s.twice, records, missing, twice)
		}
	}
	s.take(record("a", 7)) // the first that is seen is where counting begins
	s.take(record("a", 8))
	s.take(record("b", 1))
	want("in order", 3, 0, 0)
	s.take(record("a", 10))
	want("9 was skipped", 4, 1, 0)
	s.take(record("a", 10))
	want("10 came again", 5, 1, 1)
	s.take(record("a", 9))
	want("9 came late, which is too late", 6, 1, 2)
	s.take(record("b", 2))
	s.take(record("a", 11))
	want("in order again", 8, 1, 2)
	s.take([]byte(`"hello"`))
	want("and one that the demo did not make", 9, 1, 2)
}

// Hundreds of viewers count every record.
func TestSequenceAllocatesNothing(t *testing.T) {
	var s sequence
	var records [102][]byte
	for i := range records {
		records[i] = record("show-1", uint64(i)+1)
	}
	s.take(records[0])
	if n := testing.AllocsPerRun(100, func() { s.take(records[s.records]) }); n != 0 || s.missing+s.twice != 0 {
		t.Errorf("counting a record allocates %v times", n)
	}
}

func TestSequenceIsBounded(t *testing.T) {
	var s sequence
	for i := range 10 * maxSources {
		s.take(record(fmt.Sprintf("page-%d", i), 1))
	}
	if len(s.last) > maxSources {
		t.Errorf("%d sources are remembered, want %d at most", len(s.last), maxSources)
	}
	if s.missing+s.twice != 0 {
		t.Errorf("%d missing, %d twice, though each source said one thing", s.missing, s.twice)
	}
}

func TestFold(t *testing.T) {
	c := counts{}
	for _, text := range []string{
		`{"s":"a","n":1,"t":1,"r":{"heart":3,"fire":1}}`, `{"s":"a","n":2,"t":1,"r":{"heart":2,"bomb":9}}`,
		`{"s":"a","n":3,"t":1,"r":{"wow":999999999}}`, `{"s":"a","n":4,"t":1,"r":{"wow":-1}}`, `"no"`, `{"r":5}`,
	} {
		c.fold([]byte(text))
	}
	if c["heart"] != 5 || c["fire"] != 1 || c["wow"] != maxReactions || c["bomb"] != 0 {
		t.Errorf("the sum is %v", c)
	}
}
