package wire

import "testing"

func TestProxied(t *testing.T) {
	for field, want := range map[string]bool{
		"Accept: */*":                false,
		"Via: 1.1 edge":              true,
		"via: 1.1 edge":              true,
		"Forwarded: for=192.0.2.1":   true,
		"X-Forwarded-For: 192.0.2.1": true,
		"X-Real-IP: 192.0.2.1":       true,
		"X-Request-Idx: 1":           false,
	} {
		var r Request
		if _, v := ParseRequest([]byte("GET / HTTP/1.1\r\nHost: x\r\n"+field+"\r\n\r\n"), &r); v != Plain {
			t.Fatalf("%s: verdict %d", field, v)
		}
		if got := r.Proxied(); got != want {
			t.Errorf("%s: proxied is %v", field, got)
		}
	}
}
