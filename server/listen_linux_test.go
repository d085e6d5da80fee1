package server

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel keeps little for a reader that is slow: more would be stale.
func TestKernelsBacklogIsSmall(t *testing.T) {
	ln, err := listen(t.Context(), "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var protocol int
	if controlled := raw.Control(func(fd uintptr) { protocol, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PROTOCOL) }); controlled != nil {
		t.Fatal(controlled)
	}
	if err != nil || protocol != unix.IPPROTO_TCP {
		t.Errorf("the listener's protocol is %d, %v", protocol, err)
	}
}
