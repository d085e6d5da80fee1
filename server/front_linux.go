package server

import (
	"net"
	"runtime"
)

// front puts the listener's connections on loops, which serve plain reads and
// publishes without a goroutine for each connection.
func (s *Server) front(ln net.Listener) (front, error) {
	return s.parts.streams.Park(ln.(*net.TCPListener), max(1, runtime.GOMAXPROCS(0)/2), int(s.config.Limits.Connections))
}
