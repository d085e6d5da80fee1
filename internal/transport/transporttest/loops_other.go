//go:build !linux

package transporttest

// Loops are the modes that only some systems have.
var Loops []Mode
