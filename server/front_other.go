//go:build !linux

package server

import (
	"net"

	"golang.org/x/net/netutil"
)

// front limits the listener's connections. Loops, which do that elsewhere, need
// epoll.
func (s *Server) front(ln net.Listener) (rest net.Listener, stop func() error, err error) {
	if n := s.config.Limits.Connections; n > 0 {
		ln = netutil.LimitListener(ln, int(n))
	}
	return ln, func() error { return nil }, nil
}
