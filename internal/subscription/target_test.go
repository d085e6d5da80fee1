package subscription

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"twohop"
)

func TestWebhookURLs(t *testing.T) {
	const (
		never = iota
		always
		loopback // with AllowLoopback
		private  // with AllowPrivate
	)
	f := func(raw string, when int) {
		t.Helper()
		for _, p := range []targets{{}, {loopback: true}, {private: true}, {loopback: true, private: true}} {
			want := when == always || when == loopback && p.loopback || when == private && p.private
			err := p.checkURL(raw)
			if (err == nil) != want {
				t.Errorf("%s with %+v: %v", raw, p, err)
			}
			if err != nil && codeOf(err) != twohop.CodeWebhookURL {
				t.Errorf("%s: %v", raw, err)
			}
		}
	}
	f("https://worker.example/hooks?x=1", always)
	f("https://worker.example:8443/hooks", always)
	f("HTTPS://WORKER.example.", always)
	f("https://93.184.216.34/", always)
	f("https://[2606:4700::1111]/", always)
	f("http://worker.example/", never)
	f("http://93.184.216.34/", never)

	f("http://localhost:3000/hook", loopback)
	f("http://LOCALHOST./hook", loopback)
	f("http://app.localhost/hook", loopback)
	f("http://127.0.0.1/hook", loopback)
	f("http://127.1.2.3:80/hook", loopback)
	f("http://[::1]:80/hook", loopback)
	f("http://[::ffff:127.0.0.1]/", loopback)
	f("https://localhost/hook", never)
	f("https://127.0.0.1/hook", never)

	f("https://10.0.0.1/hook", private)
	f("https://172.16.0.1/", private)
	f("https://172.31.255.255/", private)
	f("https://192.168.1.1/", private)
	f("https://100.64.0.1/", private)
	f("https://[fd12:3456::1]/", private)
	f("https://[::ffff:10.0.0.1]/", private)
	f("https://[64:ff9b::a00:1]/", private)
	f("http://10.0.0.1/hook", never)
	f("https://172.32.0.1/", always)

	f("https://169.254.169.254/latest/meta-data", never)
	f("https://[fe80::1]/", never)
	f("https://[fe80::1%25eth0]/", never)
	f("https://[fd00:ec2::254]/", never)
	f("https://[::ffff:169.254.169.254]/", never)
	f("https://[64:ff9b::a9fe:a9fe]/", never)
	f("https://[2002:a00:1::]/", never)
	f("https://0.0.0.0/", never)
	f("http://0.0.0.0/", never)
	f("https://[::]/", never)
	f("https://224.0.0.1/", never)
	f("https://255.255.255.255/", never)
	f("https://198.18.0.1/", never)

	// What some resolvers take for 127.0.0.1 or 169.254.169.254.
	f("https://2130706433/", never)
	f("https://0x7f000001/", never)
	f("https://127.1/", never)
	f("https://0177.0.0.1/", never)
	f("http://127.1/", never)
	f("https://169.254.43518/", never)

	f("https://user:secret@worker.example/", never)
	f("https://user@worker.example/", never)
	f("ftp://worker.example/", never)
	f("file:///etc/passwd", never)
	f("//worker.example/", never)
	f("worker.example/hook", never)
	f("https:worker.example", never)
	f("https://", never)
	f("https:///hook", never)
	f("https://worker.example:0/", never)
	f("https://worker.example:65536/", never)
	f("https://worker.example:x/", never)
	f("https://a..b/", never)
	f("https://exa mple/", never)
	f("https://worker.example/\n", never)
	f("https://worker.example/"+strings.Repeat("x", maxURLBytes), never)
}

// The address that is dialled counts, whatever the name said.
func TestDial(t *testing.T) {
	f := func(p targets, scheme, address string, want bool) {
		t.Helper()
		if err := p.checkDial(scheme, address); (err == nil) != want {
			t.Errorf("%+v %s %s: %v", p, scheme, address, err)
		}
	}
	all := targets{loopback: true, private: true}
	f(targets{}, "https", "93.184.216.34:443", true)
	f(targets{}, "https", "127.0.0.1:443", false)
	f(targets{}, "https", "[::1]:443", false)
	f(targets{}, "https", "10.0.0.1:443", false)
	f(targets{}, "https", "[::ffff:10.0.0.1]:443", false)
	f(all, "https", "10.0.0.1:443", true)
	f(all, "https", "127.0.0.1:443", false)
	f(all, "https", "169.254.169.254:443", false)
	f(all, "https", "[fe80::1%eth0]:443", false)
	f(all, "http", "127.0.0.1:80", true)
	f(all, "http", "10.0.0.1:80", false)
	f(all, "http", "93.184.216.34:80", false)
	f(all, "http", "nonsense", false)
}

func TestSenderChecksAddresses(t *testing.T) {
	hits := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hits++; r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		_, _ = w.Write([]byte(`{"done":true}`))
	}))
	defer server.Close()
	port := netip.MustParseAddrPort(server.Listener.Addr().String()).Port()
	local := "http://localhost:" + netip.AddrPortFrom(netip.IPv4Unspecified(), port).String()[len("0.0.0.0:"):]

	open := New(newStore(), Options{AllowLoopback: true})
	defer open.Stop()
	if done, err := open.post(t.Context(), local, []byte(`{}`), "sig"); !done || err != nil {
		t.Errorf("%v, %v", done, err)
	}
	_, err := open.post(t.Context(), local+"/moved", []byte(`{}`), "sig")
	if s, ok := errors.AsType[statusError](err); !ok || !strings.Contains(string(s), "302") || hits != 2 {
		t.Errorf("%v, %d hits", err, hits)
	}
	// This stands for a name that was public when it was looked at and is local
	// when it is dialled.
	shut := New(newStore(), Options{})
	defer shut.Stop()
	if _, err := shut.post(t.Context(), local, []byte(`{}`), "sig"); err == nil || !strings.Contains(err.Error(), "not allowed") || hits != 2 {
		t.Errorf("%v, %d hits", err, hits)
	}
}
