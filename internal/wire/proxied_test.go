package wire

import (
	"testing"
	"time"
)

func TestHeartbeat(t *testing.T) {
	for field, want := range map[string]time.Duration{
		"Accept: */*":                45 * time.Second,
		"Via: 1.1 edge":              15 * time.Second,
		"via: 1.1 edge":              15 * time.Second,
		"Forwarded: for=192.0.2.1":   15 * time.Second,
		"X-Forwarded-For: 192.0.2.1": 15 * time.Second,
		"X-Real-IP: 192.0.2.1":       15 * time.Second,
		"X-Request-Idx: 1":           45 * time.Second,
	} {
		var r Request
		if _, v := ParseRequest([]byte("GET / HTTP/1.1\r\nHost: x\r\n"+field+"\r\n\r\n"), &r); v != Plain {
			t.Fatalf("%s: verdict %d", field, v)
		}
		if got := r.Heartbeat(15 * time.Second); got != want {
			t.Errorf("%s: a heartbeat each %v, want %v", field, got, want)
		}
	}
}
