//go:build !linux

package bench

import (
	"errors"
	"net/netip"
)

// conn is what a loop keeps with a reader.
type conn struct{}

// newLoop fails: there is no epoll. Readers use sockets.
func newLoop(clock, netip.AddrPort) (driver, error) { return nil, errors.ErrUnsupported }
