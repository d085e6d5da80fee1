package enginetest

import "twohop"

func deleteCases() []testCase {
	return []testCase{
		{name: "Absent", run: deleteAbsent},
		{name: "Forgets", run: deleteForgets},
		{name: "Neighbours", run: deleteNeighbours},
	}
}

func deleteAbsent(f *fixture) {
	f.absent("a", twohop.CodeNotFound)
	f.channel("a", "x")
	f.remove("a")
	f.absent("a", twohop.CodeNotFound)
	f.eng.Touch("a") // of no channel: nothing happens
}

// deleteForgets checks that nothing of a channel is left for its successor.
func deleteForgets(f *fixture) {
	f.channel("a")
	first := func() *twohop.Append {
		a := f.produce("a", "p", 3, 0, "x")
		a.Key, a.Seq = "k", "9"
		return a
	}
	f.must(first())
	f.must(f.closing(f.produce("a", "p", 3, 1)))
	f.remove("a")
	f.create("a", &twohop.Spec{ContentType: json})
	f.remove("a")
	f.create("a", f.spec())
	a := first()
	a.Producer.Epoch, a.Seq = 1, "1"
	f.must(a)
}

// deleteNeighbours checks names that an engine could take for one another.
func deleteNeighbours(f *fixture) {
	names := []string{"a", "a/", "a/b", "a/b/c", "ab", "a\u00ff", "a!", "A"}
	names[1] = "a0" // the byte after the slash
	for _, n := range names {
		f.channel(n, "in "+n)
	}
	for len(names) > 0 {
		f.remove(names[0])
		f.absent(names[0], twohop.CodeNotFound)
		names = names[1:]
		f.checkAll()
	}
}
