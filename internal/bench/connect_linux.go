package bench

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// portsEach is how many connections use one address of this machine. Beyond
// half of its ports, finding a free one takes long.
const portsEach = 12_000

// connect begins a connection.
func (l *loop) connect(r *reader) error {
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(l.address.Port()), Addr: l.address.Addr().As16()})
	if l.address.Addr().Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(l.address.Port()), Addr: l.address.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	r.fd, r.where = fd, dialing
	l.begun++
	l.conns[fd] = r
	l.tune(r)
	if err := l.ctl(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN|unix.EPOLLOUT); err != nil {
		return err
	}
	if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return os.NewSyscallError("connect", err)
	}
	return nil
}

// tune sets a socket's options. All of them are wishes: reading works without.
func (l *loop) tune(r *reader) {
	_ = unix.SetsockoptInt(r.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	_ = unix.SetsockoptLinger(r.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	if r.group.small {
		_ = unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, smallBuffer)
	}
	if k := r.id / portsEach; k > 0 && l.address.Addr().Is4() && l.address.Addr().IsLoopback() {
		_ = unix.SetsockoptInt(r.fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		_ = unix.Bind(r.fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + k)}}) //nolint:gosec // a few
	}
}
