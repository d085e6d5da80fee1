//go:build unix

package main

import "syscall"

// keepPrivate keeps what the process makes from now on from all but its owner and
// group, also in a directory that others may look into.
func keepPrivate() {
	const others = 0o027
	syscall.Umask(syscall.Umask(others) | others)
}
