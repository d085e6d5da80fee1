// Package server makes a twohop server of its parts: engine, hub, subscriptions
// and transports, behind one HTTP handler.
//
// Invariant: it holds wiring and lifetimes only, no logic of channels. It is
// the one package that knows every engine. What New started, Close has stopped
// when it returns, in the reverse order; Run closes by itself.
//
//	s, err := server.New(server.Options{})
//	if err != nil {
//		return err
//	}
//	return s.Run(ctx) // until ctx is done, then it drains
//
// A program that has an HTTP server of its own serves Handler instead of
// calling Run, and calls Drain and Close when it ends.
package server
