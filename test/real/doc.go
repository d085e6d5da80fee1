// Package real tests twohop with the programs that stand around it in real use:
// browsers and load balancers. Its tests have the build tag real.
//
// Invariant: nothing here is faked: the tests start the command itself and the
// real programs, on loopback only, and end what they started.
package real
