package server

import (
	"net"
	"runtime"
)

// front puts the listener's connections on loops, which serve plain reads and
// publishes without a goroutine for each connection. It returns the listener of
// the connections that need a full HTTP server, and what ends the loops.
func (s *Server) front(ln net.Listener) (rest net.Listener, stop func() error, err error) {
	parked, err := s.parts.streams.Park(ln.(*net.TCPListener), max(1, runtime.GOMAXPROCS(0)/2), int(s.config.Limits.Connections))
	if err != nil {
		return nil, nil, err
	}
	return parked.Handover(), parked.Close, nil
}
