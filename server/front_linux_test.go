package server

import "testing"

// Connections leave the store the descriptors that it needs.
func TestMostConnections(t *testing.T) {
	for _, c := range []struct {
		set   int64
		files uint64
		want  int64
	}{
		{0, 20_000, 19_300}, {100, 20_000, 100}, {19_999, 20_000, 19_300}, {0, 1024, 768}, {5, 1024, 5},
		{0, 0, 0}, {7, 0, 7}, {0, 1 << 63, 0}, {7, 1 << 63, 7},
	} {
		if got := mostConnections(c.set, c.files); got != c.want {
			t.Errorf("%d set, %d files: %d connections, want %d", c.set, c.files, got, c.want)
		}
	}
}
