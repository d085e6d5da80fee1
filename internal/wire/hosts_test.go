package wire

import "testing"

func TestHosts(t *testing.T) {
	hosts := Hosts{"live.example.com"}
	for _, host := range []string{"", "localhost", "localhost:4437", "LocalHost.:1", "a.localhost:1", "127.0.0.1", "10.1.2.3:80", "[::1]", "[::1]:4437",
		"backend", "alocalhost:1", "live.example.com", "Live.Example.com:443", "live.example.com."} {
		if !hosts.Allow(host) {
			t.Errorf("%s is refused", host)
		}
	}
	for _, host := range []string{"evil.example", "evil.example:4437", "x.live.example.com", "localhost.evil.example", "127.0.0.1.evil.example:80",
		"::", "[", "a.]"} {
		if hosts.Allow(host) {
			t.Errorf("%s may pass", host)
		}
		if !Hosts(nil).Allow(host) {
			t.Errorf("%s is refused where any may pass", host)
		}
	}
	if (Hosts{}).Allow("live.example.com") {
		t.Error("no name is any name")
	}
}
