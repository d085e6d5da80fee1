package disklog

import (
	"sync/atomic"
)

// Stats are counts since the engine was opened, and how things are now.
type Stats struct {
	Groups       uint64 // commits
	LoopGroups   uint64 // of them, on a loop
	Syncs        uint64 // commits and intervals that waited for the disk
	Items        uint64 // appends, creations, deletions and the like in all groups
	Appends      uint64
	AppendBytes  uint64 // of records
	Channels     int    // whose state is in memory
	DiskBytes    uint64 // that the store takes
	Compactions  int64
	JournalBytes int64 // that the store may need to carry out after a crash
	MemTableSize uint64
}

type counters struct {
	groups, onLoop, syncs, items, appends, bytes atomic.Uint64
}

func (c *counters) group(g *group) {
	c.items.Add(uint64(len(g.items)))
	if g.sync {
		c.syncs.Add(1)
	}
	if g.empty {
		return
	}
	c.groups.Add(1)
	if g.onLoop {
		c.onLoop.Add(1)
	}
	for _, it := range g.items {
		if it.kind == itemAppend {
			c.appends.Add(1)
			c.bytes.Add(uint64(len(it.add.Data)))
		}
	}
}

// Stats tells how much the engine did.
func (e *Engine) Stats() Stats {
	s := Stats{
		Groups: e.stats.groups.Load(), LoopGroups: e.stats.onLoop.Load(), Syncs: e.stats.syncs.Load(), Items: e.stats.items.Load(),
		Appends: e.stats.appends.Load(), AppendBytes: e.stats.bytes.Load(), Channels: e.cache.len(),
	}
	if e.begin("") != nil {
		return s
	}
	defer e.ops.Done()
	m := e.db.Metrics()
	s.Compactions, s.MemTableSize, s.JournalBytes = m.Compact.Count, m.MemTable.Size, e.journal.bytes.Load()
	s.DiskBytes = m.DiskSpaceUsage() + uint64(max(0, s.JournalBytes)) //nolint:gosec // not negative
	return s
}
