package server

import (
	"context"
	"net/http"
	"net/http/pprof"
)

// serveDebug serves Go's profiles on the private debug address, where one is
// configured. The function that it returns stops it and waits.
func (s *Server) serveDebug(ctx context.Context) (stop func(), err error) {
	if s.config.Debug.Listen == "" {
		return func() {}, nil
	}
	ln, err := listen(ctx, "--debug-listen", s.config.Debug.Listen)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: s.config.Limits.HeaderTime}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ln) // ends with ErrServerClosed
	}()
	s.log.Info("serving profiles", "address", ln.Addr().String())
	return func() {
		_ = srv.Close()
		<-done
	}, nil
}
