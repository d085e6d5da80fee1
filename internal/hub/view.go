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

	frames [framings]atomic.Pointer[frame]
}

// overtaken reports whether the view is an empty page that more followed already.
// No reader is given one.
func (v *View) overtaken() bool { return len(v.Data) == 0 && !v.UpToDate }

// ManyFramings is the first framing of those that connections with many
// channels use; the ones below are those of single channels.
const (
	ManyFramings = 9
	framings     = ManyFramings + 4
)

// FrameKey is what a frame depends on besides its view.
type FrameKey struct {
	Token  uint64 // the cache token in it
	Room   uint64 // how much larger that may be
	Second int64  // the date in it
	Budget int64  // the budget that it repeats
}

// serves reports whether a frame of f does where one of k is wanted.
func (f *FrameKey) serves(k *FrameKey) bool {
	return f.Second == k.Second && f.Budget == k.Budget && f.Token-k.Token <= k.Room // a smaller token wraps around
}

type frame struct {
	key   FrameKey
	bytes []byte
}

// Frame returns the view in one of the transports' framings, encoding it at
// most once for a key (twice, if two readers are first at the same time). Around
// the records it takes about so many bytes more.
func (v *View) Frame(framing int, key FrameKey, around int, encode func(dst []byte) []byte) []byte {
	if f := v.frames[framing].Load(); f != nil && f.key.serves(&key) {
		return f.bytes
	}
	f := &frame{key: key, bytes: encode(make([]byte, 0, len(v.Data)+len(v.Data)/8+around))}
	v.frames[framing].Store(f)
	return f.bytes
}
