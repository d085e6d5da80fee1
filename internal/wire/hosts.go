package wire

import (
	"net/netip"
	"slices"
	"strings"
)

// Hosts are names, in lower case and without a port, under which a server may be
// asked for besides localhost, addresses, and names of one part, which nobody can
// register and proxies use; nil is that it may be any. A browser lets a page read
// what its own host answers, and whoever owns the page's name may have it stand
// for a server of the visitor's (DNS rebinding): only the name that was asked for
// tells.
type Hosts []string

// Allow reports whether a request may be for such a host (RFC 9110, section 7.2).
func (h Hosts) Allow(host string) bool {
	if h == nil || host == "" { // no browser leaves it out
		return true
	}
	name := host
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
		name = name[:i]
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if !strings.ContainsAny(name, ".[:") || strings.HasSuffix(name, ".localhost") || slices.Contains(h, name) {
		return true
	}
	_, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]"))
	return err == nil
}
