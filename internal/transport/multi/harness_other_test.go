//go:build !linux

package multi_test

var loopModes []mode
