package hub

import (
	"sync/atomic"

	"twohop"
)

// View is one page of a channel as it was at one moment. It is immutable and
// shared by all that read at the same offset.
type View struct {
	twohop.Batch
	UpToDate bool // nothing followed the page
	Closed   bool // nothing will: the channel is closed

	frames [3]atomic.Pointer[Frame]
}

// Frame is a view in the framing of a transport.
type Frame struct {
	Token uint64 // the cache token it was made with
	Bytes []byte
}

// Frame returns the view in a framing, encoding it at most once for each cache
// token (twice, if two readers are first at the same time).
func (v *View) Frame(framing int, token uint64, encode func(dst []byte) []byte) []byte {
	if f := v.frames[framing].Load(); f != nil && f.Token == token {
		return f.Bytes
	}
	f := &Frame{Token: token, Bytes: encode(make([]byte, 0, len(v.Data)+len(v.Data)/8+256))}
	v.frames[framing].Store(f)
	return f.Bytes
}
