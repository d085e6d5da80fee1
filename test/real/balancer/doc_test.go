//go:build real

// Package balancer_test puts real nginx and HAProxy in front of a real server,
// at layer 7 and at layer 4, with the configurations of deploy/.
//
// Invariant: a balancer changes nothing that a client can see. Each answer
// arrives when it is written, and whatever restarts in between, a follower gets
// each record once and in order.
package balancer_test
