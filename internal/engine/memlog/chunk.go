package memlog

// chunk is where a channel that holds much puts the bytes of its next appends,
// one behind the other: there they take no more than their length, and the
// kernel gives the memory many pages at a time. At most an eighth of what the
// channel holds is unused for it. A channel that holds little has the bytes as
// they came. What is in a chunk never changes, and the chunk is there as long as
// anybody has a slice of it.
type chunk struct {
	free  []byte // the rest of it, empty but with room
	ready int    // bytes of free for which the kernel was asked
	size  int
}

const (
	chunkFrom  = 64 << 10 // bytes of a channel from which it has chunks
	chunkShare = 8        // a new chunk is as large as this part of the channel
	chunkMost  = 8 << 20
	chunkUnit  = 8 << 10
	chunkStep  = 128 << 10 // bytes that are asked for at a time
)

// keep returns data, or a copy of it in the chunk. held is what the channel has.
func (c *chunk) keep(data []byte, held int64) []byte {
	n := len(data)
	if cap(c.free) < n {
		size := int(min(held/chunkShare, chunkMost)) &^ (chunkUnit - 1)
		if held < chunkFrom || n > size/4 {
			return data
		}
		*c = chunk{free: counted(make([]byte, 0, size)), size: size}
	}
	if c.ready < n && c.size >= chunkStep {
		ask := min(n+chunkStep, cap(c.free))
		populate(c.free[c.ready:ask])
		c.ready = ask
	}
	at := append(c.free, data...)
	c.free, c.ready = at[n:], c.ready-n
	return at[:n:n]
}

// fits reports whether the chunk is no larger than what belongs to a channel
// that holds so much.
func (c *chunk) fits(held int64) bool { return int64(c.size) <= held/2 }
