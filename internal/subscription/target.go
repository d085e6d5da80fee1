package subscription

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"twohop"
)

const maxURLBytes = 2048

// targets says which addresses webhooks may be sent to. The rules hold twice:
// for the URL when a subscription is made, and for the address that a name
// turned out to have when a connection is opened, because names can change.
type targets struct {
	loopback bool // plain HTTP to this machine
	private  bool // HTTPS into private networks
}

// reach tells kinds of addresses apart.
type reach uint8

const (
	reachPublic reach = iota
	reachLoopback
	reachPrivate
	reachNever // link-local with the clouds' metadata services, multicast, reserved
)

var privateNets = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")

var neverNets = prefixes(
	"0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16",
	"fd00:ec2::/32", "fe80::/10", "fec0::/10", "ff00::/8")

// nat64 addresses carry an IPv4 address, which is the one that counts.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(cidrs ...string) []netip.Prefix {
	ps := make([]netip.Prefix, len(cidrs))
	for i, c := range cidrs {
		ps[i] = netip.MustParsePrefix(c)
	}
	return ps
}

func reachOf(ip netip.Addr) reach {
	ip = ip.WithZone("").Unmap()
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	if ip.IsLoopback() {
		return reachLoopback
	}
	for _, p := range neverNets {
		if p.Contains(ip) {
			return reachNever
		}
	}
	for _, p := range privateNets {
		if p.Contains(ip) {
			return reachPrivate
		}
	}
	return reachPublic
}

// permits says whether a scheme may be used to an address of some reach.
func (t targets) permits(scheme string, r reach) bool {
	switch r {
	case reachPublic:
		return scheme == "https"
	case reachPrivate:
		return scheme == "https" && t.private
	case reachLoopback:
		return scheme == "http" && t.loopback
	case reachNever:
	}
	return false
}

// checkURL judges a webhook's URL by what can be seen of it.
func (t targets) checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxURLBytes || u.Host == "" || u.Opaque != "" {
		return urlError("it is not an absolute URL of at most %d bytes", maxURLBytes)
	}
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if scheme != "https" && scheme != "http" {
		return urlError("its scheme is %q", u.Scheme)
	}
	if u.User != nil {
		return urlError("it holds a user name or password")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return urlError("%q is not a port", p)
		}
	}
	r := reachPublic
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && ip.Zone() != "":
		return urlError("its address has a zone")
	case err == nil:
		r = reachOf(ip)
	case host == "localhost" || strings.HasSuffix(host, ".localhost"):
		r = reachLoopback
	case !plainHost(host):
		return urlError("%q is not a host name", host)
	}
	if !t.permits(scheme, r) {
		switch {
		case scheme == "http" && r == reachPublic:
			return urlError("plain http reaches only localhost, for development")
		case r == reachLoopback && t.loopback:
			return urlError("localhost is reached by plain http only")
		}
		return urlError("%s is a local, private or reserved address", host)
	}
	return nil
}

// plainHost refuses host names that some resolvers take for addresses, such as
// 2130706433, 0x7f.1 or 127.1, and such as cannot be names.
func plainHost(host string) bool {
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.ContainsAny(l, " %:[]\\\"<>^`{|}") {
			return false
		}
	}
	end := labels[len(labels)-1]
	return len(host) <= 253 && (end[0] < '0' || end[0] > '9')
}

func urlError(format string, a ...any) error {
	return &apiError{status: http.StatusBadRequest, ds: "WEBHOOK_URL_REJECTED", err: twohop.Error{
		Code:    twohop.CodeWebhookURL,
		Message: "webhook.url is not accepted: " + fmt.Sprintf(format, a...),
		Hint:    "use https to a public host; local and private targets need the server's leave, see its webhook options",
	}}
}

// transport sends webhooks of one scheme. It knows no proxy, so that the
// address that is judged is the address that is reached.
func (t targets) transport(scheme string) *http.Transport {
	d := &net.Dialer{
		Timeout: 10 * time.Second,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			return t.checkDial(scheme, address)
		},
	}
	return &http.Transport{
		DialContext: d.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns: 100, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
	}
}

// checkDial judges the address that a connection is about to be opened to.
func (t targets) checkDial(scheme, address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("webhook target %q: %w", address, err)
	}
	if !t.permits(scheme, reachOf(ap.Addr())) {
		return fmt.Errorf("webhook target %s by %s is not allowed", ap.Addr(), scheme)
	}
	return nil
}

// sender is a RoundTripper that knows where webhooks may go.
type sender struct{ http, https *http.Transport }

func newSender(t targets) *sender {
	return &sender{http: t.transport("http"), https: t.transport("https")}
}

func (s *sender) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" {
		return s.http.RoundTrip(r)
	}
	return s.https.RoundTrip(r)
}

func (s *sender) CloseIdleConnections() {
	s.http.CloseIdleConnections()
	s.https.CloseIdleConnections()
}
