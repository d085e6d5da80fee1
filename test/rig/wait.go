package rig

import (
	"testing"
	"time"
)

// Patience is how long anything may take before it counts as stuck.
const Patience = 30 * time.Second

// WaitFor asks until it is so, and fails the test if that takes too long.
func WaitFor(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	WaitWithin(t, Patience, what, isSo)
}

// WaitWithin is WaitFor with a patience of its own. It asks 40 times a second.
func WaitWithin(t *testing.T, most time.Duration, what string, isSo func() bool) {
	t.Helper()
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	again := time.NewTicker(25 * time.Millisecond)
	defer again.Stop()
	for !isSo() {
		select {
		case <-deadline.C:
			t.Fatal("timed out waiting for " + what)
		case <-t.Context().Done():
			t.Fatal("the test ended waiting for " + what)
		case <-again.C:
		}
	}
}
