package server

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"twohop"
)

// listen opens the address that an option gives.
func listen(ctx context.Context, option, address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4,
	}}
	lc.SetMultipathTCP(false) // whose sockets do not get all the options that loops set on the listener
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		e := &twohop.Error{Code: twohop.CodeUnavailable, Message: "cannot listen on " + address, Err: err,
			Hint: option + " takes HOST:PORT of an address of this machine"}
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			e.Hint = "another program listens there; choose another port with " + option + ", for example " + option + " 127.0.0.1:4480"
		case errors.Is(err, syscall.EACCES):
			e.Hint = "ports below 1024 need a privilege; choose a larger one with " + option
		}
		return nil, e
	}
	return ln, nil
}
