//go:build !linux

package httpstream_test

var loopModes []mode
