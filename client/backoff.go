package client

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// maxRetryAfter bounds the wait that a server may ask for.
const maxRetryAfter = 5 * time.Minute

// backoff spaces out the tries of one request: exponential, with full jitter,
// so that clients that lost their server together do not come back together.
type backoff struct {
	min, max time.Duration
	fails    int
}

func (c *Client) backoff() backoff { return backoff{min: c.opts.BackoffMin, max: c.opts.BackoffMax} }

// bound is the longest wait of the next try.
func (b *backoff) bound() time.Duration {
	d := b.min
	for range b.fails {
		if d >= b.max/2 {
			return b.max
		}
		d *= 2
	}
	return min(d, b.max)
}

// next is how long to wait after one more failure. A server that says when to
// come back is obeyed, with the jitter on top.
func (b *backoff) next(retryAfter time.Duration) time.Duration {
	d := rand.N(b.bound() + 1) //nolint:gosec // jitter, not a secret
	b.fails++
	return min(retryAfter, maxRetryAfter) + d
}

// reset forgets the failures: something succeeded.
func (b *backoff) reset() { b.fails = 0 }

// retryAfter reads a Retry-After header: seconds, or a date.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(s) * time.Second //nolint:gosec // 31 bits
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}
