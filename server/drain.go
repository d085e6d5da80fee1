package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// front is what has the server's connections, and serves the plain ones.
type front interface {
	// Handover is the listener of the connections that need a full HTTP server.
	Handover() net.Listener
	// Finish has no more requests taken on, but by the full HTTP server.
	Finish()
	// Quiet reports whether nothing is to be sent, or handed over.
	Quiet() bool
	// Behind is how long the fan-out that has waited longest has.
	Behind() time.Duration
	// Close cuts the connections that are left.
	Close() error
}

// lastMoments are for what is under way when there is no time for a drain.
const lastMoments = 50 * time.Millisecond

// finish waits until what is under way has ended. Meanwhile everybody is still
// answered. A tenth of the time is kept for the last of them: then no more are
// taken on, so that none that was is cut off.
func (s *Server) finish(ctx context.Context, f front, srv *http.Server) error {
	limit, cancel := context.WithTimeout(ctx, max(s.config.Drain, lastMoments))
	defer cancel()
	answering, stop := context.WithTimeout(limit, s.config.Drain*9/10)
	defer stop()
	_ = s.quiet(answering, f) // what is left has its last moments
	f.Finish()
	return errors.Join(s.quiet(limit, f), srv.Shutdown(limit))
}

// quiet waits until nothing is under way.
func (s *Server) quiet(ctx context.Context, f front) error {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	// The front comes last: what is answered is counted no more, but may not have been sent.
	for s.underWay.Load() > 0 || s.parts.live() > 0 || !f.Quiet() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
	return nil
}
