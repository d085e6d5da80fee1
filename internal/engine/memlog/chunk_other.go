//go:build !linux

package memlog

// populate does nothing: there is a fault for each page.
func populate([]byte) {}
