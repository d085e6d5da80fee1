package enginetest

import (
	"fmt"
	"slices"
	"time"

	"twohop"
)

func createCases() []testCase {
	return []testCase{
		{name: "Empty", run: createEmpty, both: true},
		{name: "Initial", run: createInitial, both: true},
		{name: "Compare", run: createCompare},
		{name: "CompareClosed", run: createCompareClosed},
		{name: "DefaultContentType", run: createDefault},
		{name: "ByAppend", run: createByAppend},
		{name: "ByRefusedAppend", run: createByRefused},
		{name: "Cancelled", run: createCancelled},
		{name: "List", run: listPages},
	}
}

func createEmpty(f *fixture) {
	before := time.Now()
	info := f.create("a/b", f.spec())
	if info.Start != info.Tail || info.Tail.IsZero() {
		f.Errorf("an empty channel from %s to %s; want one place, not the zero offset", info.Start, info.Tail)
	}
	if info.Created.Before(before.Add(-time.Minute)) || info.Created.After(time.Now().Add(time.Minute)) {
		f.Errorf("Created = %s", info.Created)
	}
	for _, from := range []twohop.Offset{{}, info.Tail} {
		if b := f.read("a/b", from, huge); b.Len() != 0 || b.From != info.Tail || b.Next != info.Tail {
			f.Errorf("an empty channel reads from %s: %+v", from, b)
		}
	}
	f.absent("a", twohop.CodeNotFound)
	f.absent("a/b/c", twohop.CodeNotFound)
}

func createInitial(f *fixture) {
	info := f.create("a", f.spec("one", "two", "three"))
	f.holds("a", "one", "two", "three")
	if got := f.info("a"); got.Tail != info.Tail || got.Start != info.Start {
		f.Errorf("Create answered %+v, Info %+v", info, got)
	}
	f.append("a", "four")
	f.holds("a", "one", "two", "three", "four")
}

func createCompare(f *fixture) {
	at := time.Now().Add(time.Hour).Truncate(time.Second)
	specs := map[string]twohop.Spec{
		"plain":   {ContentType: text},
		"json":    {ContentType: json},
		"ttl":     {ContentType: text, TTL: time.Hour},
		"ttl2":    {ContentType: text, TTL: 2 * time.Hour},
		"expires": {ContentType: text, ExpiresAt: at},
		"later":   {ContentType: text, ExpiresAt: at.Add(time.Second)},
		"closed":  {ContentType: text, Closed: true},
	}
	for name, spec := range specs {
		f.create(name, &spec)
		f.compares(name, &spec, true)
		for other, spec := range specs {
			if other != name {
				f.compares(name, &spec, false)
			}
		}
	}
	f.compares("plain", &twohop.Spec{ContentType: "TEXT/plain; charset=utf-8"}, true)
	f.append("plain", "x")
	f.compares("plain", f.spec("not", "appended"), true)
	f.holds("plain", "x")
}

// compares checks that a Create of a channel that exists finds it to be the
// same one or another.
func (f *fixture) compares(name string, spec *twohop.Spec, same bool) {
	f.Helper()
	info, created, err := f.eng.Create(f.Context(), name, spec)
	switch {
	case !same:
		f.wantCode(err, twohop.CodeExists)
	case err != nil || created:
		f.Fatalf("Create(%q, %+v) = created %v, %v; want the channel that exists", name, spec, created, err)
	case info.Tail != f.info(name).Tail:
		f.Fatalf("Create(%q) = %+v; Info says %+v", name, info, f.info(name))
	}
	f.check(name)
}

func createCompareClosed(f *fixture) {
	f.create("a", f.spec("x"))
	a := f.appendOf("a")
	a.Close = true
	f.must(a)
	f.compares("a", f.spec(), false)
	f.compares("a", &twohop.Spec{ContentType: text, Closed: true}, true)
	f.create("b", &twohop.Spec{ContentType: text, Closed: true, Data: []byte("all"), Ends: []uint32{3}})
	f.holds("b", "all")
	f.refused(f.appendOf("b", "more"), twohop.CodeClosed)
}

func createDefault(f *fixture) {
	f.create("a", &twohop.Spec{})
	if got := f.info("a").ContentType; got != "application/octet-stream" {
		f.Errorf("content type %q", got)
	}
	f.compares("a", &twohop.Spec{}, true)
	f.compares("a", &twohop.Spec{ContentType: "application/octet-stream"}, true)
}

func createByAppend(f *fixture) {
	a := f.appendOf("new", "x", "y")
	a.Create = f.spec()
	if ack := f.must(a); !ack.Created {
		f.Errorf("the append that created the channel says %+v", ack)
	}
	f.holds("new", "x", "y")
	b := f.appendOf("new", "z")
	b.Create = f.spec()
	if ack := f.must(b); ack.Created {
		f.Errorf("the second append says %+v", ack)
	}
	c := f.appendOf("shut", "only")
	c.Create, c.Close = f.spec(), true
	if ack := f.must(c); !ack.Created || !ack.Closed {
		f.Errorf("the append that created and closed the channel says %+v", ack)
	}
	f.refused(f.appendOf("none", "x"), twohop.CodeNotFound)
}

// createByRefused checks that what is judged and refused leaves no channel.
func createByRefused(f *fixture) {
	a := f.appendOf("new", "x")
	a.Create = &twohop.Spec{ContentType: json}
	f.refused(a, twohop.CodeContentType)
	f.absent("new", twohop.CodeNotFound)
	b := f.appendOf("new", "x")
	b.Create, b.Producer = f.spec(), &twohop.Producer{ID: "p", Seq: 3}
	f.refused(b, twohop.CodeProducerSeq)
	f.absent("new", twohop.CodeNotFound)
	f.channel("new", "first")
	f.holds("new", "first")
	c := f.appendOf("fork", "x")
	c.Create, c.ContentType = &twohop.Spec{Fork: &twohop.Fork{Source: "new"}}, json
	f.refused(c, twohop.CodeContentType)
	f.absent("fork", twohop.CodeNotFound)
	f.remove("new")
	f.absent("new", twohop.CodeNotFound) // the fork that never was does not need it
}

func createCancelled(f *fixture) {
	if _, _, err := f.eng.Create(cancelled(f), "a", f.spec()); err == nil {
		f.Error("Create with a cancelled context went through")
	}
	f.absent("a", twohop.CodeNotFound)
	f.channel("b", "x")
	if err := f.eng.Delete(cancelled(f), "b"); err == nil {
		f.Error("Delete with a cancelled context went through")
	}
	f.check("b")
}

func listPages(f *fixture) {
	want := []string{"$sys/a", "a", "a/b", "a/c/d", "b", "ä"}
	for i := 10; i < 30; i++ {
		want = append(want, fmt.Sprintf("n/%d", i))
	}
	slices.Sort(want)
	for _, name := range want {
		f.create(name, f.spec())
	}
	list := func(glob, after string, n int) []string {
		f.Helper()
		names, err := f.eng.List(f.Context(), glob, after, n)
		if err != nil {
			f.Fatal(err)
		}
		return names
	}
	for _, size := range []int{1, 3, len(want), 100} {
		var got []string
		for after := ""; ; after = got[len(got)-1] {
			page := list("**", after, size)
			if got = append(got, page...); len(page) < size {
				break
			}
		}
		if !slices.Equal(got, want) {
			f.Errorf("List in pages of %d = %q, want %q", size, got, want)
		}
	}
	for glob, want := range map[string][]string{"a": {"a"}, "a/*": {"a/b"}, "a/**": {"a", "a/b", "a/c/d"}, "n/1?": want[slices.Index(want, "n/10"):][:10], "x": nil} {
		if got := list(glob, "", 100); !slices.Equal(got, want) {
			f.Errorf("List(%q) = %q, want %q", glob, got, want)
		}
	}
	if got := list("n/*", "n/155", 2); !slices.Equal(got, []string{"n/16", "n/17"}) {
		f.Errorf("List after a name that is not there = %q", got)
	}
	if got := list("**", "", 0); len(got) != 0 {
		f.Errorf("List of none = %q", got)
	}
}
