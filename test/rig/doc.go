// Package rig is what tests of the whole stand on: the command, built, and
// programs that run until they are killed.
//
// Invariant: what runs is real and knows nothing of the test, on loopback only;
// what a test starts ends before the test does, and nothing waits without a
// deadline.
package rig
