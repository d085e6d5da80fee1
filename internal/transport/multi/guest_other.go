//go:build !linux

package multi

// loops are for systems that have them.
type loops struct{}
