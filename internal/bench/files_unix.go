//go:build unix

package bench

import "golang.org/x/sys/unix"

// openFiles raises the limit of open files as far as it goes, and returns it.
func openFiles() int {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 1024
	}
	if r.Cur < r.Max {
		raised := unix.Rlimit{Cur: r.Max, Max: r.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			r = raised
		}
	}
	return int(min(uint64(r.Cur), 1<<30)) //nolint:gosec,unconvert // bounded; signed on some systems
}
