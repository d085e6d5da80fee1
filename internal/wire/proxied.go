package wire

import "time"

// Proxied reports whether the request shows that it came through a proxy: by a
// field that proxies add (RFC 9110 7.6.3, RFC 7239, and customary ones).
func (r *Request) Proxied() bool {
	for i := range r.Fields[:r.N] {
		f := &r.Fields[i]
		switch len(f.Name) {
		case len("via"):
			if f.Is("via") {
				return true
			}
		case len("forwarded"):
			if f.Is("forwarded") || f.Is("x-real-ip") {
				return true
			}
		case len("x-forwarded-for"):
			if f.Is("x-forwarded-for") {
				return true
			}
		}
	}
	return false
}

// Paces of heartbeats. What a heartbeat is for is whoever stands between, and
// would cut a silent connection. Where nobody shows, the usual 50 s to 60 s of
// those who don't show are kept, and the kernel's own probes do the rest.
const (
	Heartbeat       = 15 * time.Second
	DirectHeartbeat = 45 * time.Second
)

// AnswerTime is for a peer to take an answer that is no stream.
const AnswerTime = 3 * time.Minute
