package server

import (
	"net"
	"runtime"

	"golang.org/x/sys/unix"
)

// front puts the listener's connections on loops, which serve plain reads and
// publishes without a goroutine for each connection.
func (s *Server) front(ln net.Listener) (front, error) {
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) != nil {
		files.Cur = 0
	}
	most := mostConnections(s.config.Limits.Connections, files.Cur)
	return s.parts.streams.Park(ln.(*net.TCPListener), max(1, runtime.GOMAXPROCS(0)/2), int(most))
}

// ownFiles is how many descriptors the server needs besides connections: the
// store has up to 512 tables open, and publishes have to wait where one is missing.
const ownFiles = 700

// mostConnections is how many connections are accepted where so many were set,
// 0 for any number, and the process may open so many files, 0 if nobody knows.
func mostConnections(set int64, files uint64) int64 {
	if files == 0 || files > 1<<31 {
		return set
	}
	room := int64(files - min(ownFiles, files/4)) //nolint:gosec // below 2^31
	if set == 0 || set > room {
		return room
	}
	return set
}
