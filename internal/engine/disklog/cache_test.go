package disklog

import (
	"fmt"
	"testing"
	"time"
)

// Entries whose last use is not persisted stay, are named once each, and do not
// make the cache age at every step, however many they are.
func TestCacheKeepsWhatIsUnsaved(t *testing.T) {
	const limit, many = 10, 2000
	c := newCache(limit, func(name string) (*channel, int64, error) {
		ch := &channel{}
		ch.Name, ch.TTL = name, time.Hour
		return ch, 0, nil
	})
	now := time.Now().UnixMicro()
	named, aged := 0, 0
	for i := range many {
		name := fmt.Sprint(i)
		e, err := c.pin(name)
		if err != nil {
			t.Fatal(err)
		}
		c.publish(e, e.ch, now)
		c.unpin(e)
		if c.mu.stayed != aged {
			aged, named = c.mu.stayed, named+1
		}
	}
	if c.len() != many {
		t.Errorf("%d of %d are left", c.len(), many)
	}
	if named > 2*many/limit {
		t.Errorf("it aged %d times", named)
	}
	names := map[string]int{}
	for _, name := range c.unsaved(false) {
		names[name]++
	}
	for name, n := range names {
		if n > 1 {
			t.Fatalf("%s is named %d times", name, n)
		}
	}
	if len(names) < many/2 {
		t.Errorf("%d of %d are named", len(names), many)
	}
	c.age()
	c.age()
	if again := c.unsaved(false); len(again) < many/2 {
		t.Errorf("%d are named once more, as they are not saved yet", len(again))
	}
}
