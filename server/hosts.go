package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"twohop"
	"twohop/internal/config"
	"twohop/internal/wire"
)

// hosts are the names under which the server may be asked for. On loopback it is
// for this machine, whatever pages its users visit; elsewhere any name may be its.
func hosts(c *config.Config) wire.Hosts {
	if !c.Loopback() || slices.Contains(c.CORS.Origins, "*") {
		return nil
	}
	names := wire.Hosts{}
	for _, address := range append([]string{c.PublicURL}, c.CORS.Origins...) {
		if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
			names = append(names, strings.ToLower(u.Hostname()))
		}
	}
	return names
}

// named refuses requests for a host that is not this server. Loops hand those
// over.
func (s *Server) named(h http.Handler) http.Handler {
	known := hosts(&s.config)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if known.Allow(r.Host) {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		fail(w, r, http.StatusForbidden, &twohop.Error{Code: twohop.CodeHost,
			Message: "this server listens on loopback and is not known as " + r.Host,
			Hint:    "use localhost, or set public_url to the address at which others reach it"})
	})
}
