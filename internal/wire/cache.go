package wire

import (
	"time"

	"twohop"
)

// Cache tokens (the Stream-Cursor header, DS 10.1) number intervals of twenty
// seconds.
const tokenInterval = 20 * time.Second

var tokenEpoch = time.Date(2024, 10, 9, 0, 0, 0, 0, time.UTC)

// CacheToken is the token of a moment.
func CacheToken(now time.Time) uint64 {
	return uint64(max(0, now.Sub(tokenEpoch)/tokenInterval)) //nolint:gosec // not negative
}

// NextCacheToken is the token to answer a client that holds the token echoed:
// always a larger one, so that no cache can serve the same answer for ever.
func NextCacheToken(now time.Time, echoed uint64, has bool) uint64 {
	t := CacheToken(now)
	if has && echoed >= t {
		return echoed + 1
	}
	return t
}

// CacheTokenRoom is how much larger a token of NextCacheToken may be where it is
// larger than that of the moment: an hour's worth in all (DS 8.1). Those who
// read the same page can share one then, however often each of them has asked.
func CacheTokenRoom(now time.Time, token uint64) uint64 {
	if token > CacheToken(now) {
		return uint64(time.Hour/tokenInterval) - 1
	}
	return 0
}

// ETag is the entity tag of a page: it changes with its ends, when the page
// stops being the last one, and when the channel is closed.
func ETag(from, next twohop.Offset, upToDate, closed bool) string {
	b := make([]byte, 0, 2*twohop.OffsetLen+8)
	b = append(b, '"')
	b = from.AppendTo(b)
	b = append(b, ':')
	b = next.AppendTo(b)
	if upToDate {
		b = append(b, ":u"...)
	}
	if closed {
		b = append(b, ":c"...)
	}
	return string(append(b, '"'))
}
