//go:build !linux

package server

import "net"

// front returns the listener as it is: loops need epoll.
func (s *Server) front(ln net.Listener) (rest net.Listener, stop func() error, err error) {
	return ln, func() error { return nil }, nil
}
