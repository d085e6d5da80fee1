package disklog

import (
	"encoding/binary"
	"math"
)

// The first byte of a key says what it holds. Numbers are big-endian, so that
// keys sort by position and by time.
const (
	kindBatch    = 'b' // epoch, first position -> stored batch
	kindChannel  = 'c' // name -> channel
	kindKeyDue   = 'i' // due, channel id, idempotency key -> nothing
	kindKey      = 'k' // channel id, idempotency key -> its answer
	kindMeta     = 'm' // what is known of the store itself
	kindProducer = 'p' // channel id, producer id -> producer state
	kindDue      = 'x' // due, channel id -> name of a channel to look at then
)

func channelKey(name string) []byte { return append([]byte{kindChannel}, name...) }

func batchKey(epoch, pos uint64) []byte { return putBatchKey(make([]byte, 0, batchKeyLen), epoch, pos) }

const batchKeyLen = 17

func putBatchKey(b []byte, epoch, pos uint64) []byte {
	b = append(b, kindBatch)
	b = binary.BigEndian.AppendUint64(b, epoch)
	return binary.BigEndian.AppendUint64(b, pos)
}

// batchPos is the position in a batch's key.
func batchPos(key []byte) uint64 { return binary.BigEndian.Uint64(key[9:]) }

// ownedKey is the key of something that belongs to a channel: its producers and
// idempotency keys, by the channel's id.
func ownedKey(kind byte, id uint64, rest string) []byte {
	b := make([]byte, 0, 9+len(rest))
	b = binary.BigEndian.AppendUint64(append(b, kind), id)
	return append(b, rest...)
}

// owned spans all keys of one kind that belong to a channel.
func owned(kind byte, id uint64) (from, to []byte) {
	return ownedKey(kind, id, ""), ownedKey(kind, id+1, "")
}

func dueKey(kind byte, due int64, id uint64, rest string) []byte {
	b := make([]byte, 0, batchKeyLen+len(rest))
	b = binary.BigEndian.AppendUint64(append(b, kind), uint64(max(due, 0))) //nolint:gosec // not negative
	b = binary.BigEndian.AppendUint64(b, id)
	return append(b, rest...)
}

// due is an entry of an index by time.
type due struct {
	at   int64 // Unix microseconds
	id   uint64
	rest string
}

// parseDue takes a due key apart.
func parseDue(key []byte) due {
	at := int64(min(binary.BigEndian.Uint64(key[1:]), math.MaxInt64)) //nolint:gosec // clamped
	return due{at, binary.BigEndian.Uint64(key[9:]), string(key[17:])}
}

// The keys of what is known of the store itself.
var (
	agesKey  = []byte{kindMeta, 'a'} // see Engine.agesValue
	epochKey = []byte{kindMeta, 'e'} // the newest log epoch
	runKey   = []byte{kindMeta, 'r'} // see Engine.run
	seqKey   = []byte{kindMeta, 's'} // see journal

	secretKey = []byte{kindMeta, 'c'} // see Engine.learnSecret
)
