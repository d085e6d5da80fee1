package client

import "sync"

// buffers are for what is read at once and soon over: large events and frames.
// Many followers share them, so that each holds one only while it reads.
var buffers sync.Pool // of *[]byte

const (
	leastBuffer = 64 << 10
	mostBuffer  = 1 << 20 // that is kept
)

// takeBuffer returns a buffer of at least so many bytes, with anything in it.
func takeBuffer(least int) []byte {
	if b, ok := buffers.Get().(*[]byte); ok && len(*b) >= least {
		return *b
	}
	return make([]byte, max(least, leastBuffer))
}

// giveBuffer takes back what nobody uses any more.
func giveBuffer(b []byte) {
	if b = b[:cap(b)]; len(b) <= mostBuffer {
		buffers.Put(&b)
	}
}
