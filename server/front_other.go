//go:build !linux

package server

import (
	"net"
	"time"

	"golang.org/x/net/netutil"
)

// front limits the listener's connections. Loops, which do that elsewhere, need
// epoll.
func (s *Server) front(ln net.Listener) (front, error) {
	if n := s.config.Limits.Connections; n > 0 {
		ln = netutil.LimitListener(ln, int(n))
	}
	return plain{ln}, nil
}

// plain leaves all connections to the full HTTP server, which closes the
// listener.
type plain struct{ net.Listener }

func (p plain) Handover() net.Listener { return p.Listener }
func (plain) Finish()                  {}
func (plain) Quiet() bool              { return true }
func (plain) Behind() time.Duration    { return 0 }
func (plain) Close() error             { return nil }
