package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"twohop/internal/config"
)

// Config is everything that can be set; docs/configuration.md is its manual.
type Config = config.Config

// DefaultConfig is the configuration when nobody sets anything.
func DefaultConfig() Config { return config.Default() }

// Options of a server. Zero fields mean the default.
type Options struct {
	Config *Config        // DefaultConfig()
	Log    *slog.Logger   // slog.Default()
	Ready  func(net.Addr) // called once by Run, when the address is served

	// Restored says that the data directory is an older copy of one that was served
	// since. Offsets that were given since are not given again, for other records:
	// who has one gets a reset. It is for the disk engine, and for one start.
	Restored bool

	// Pages are served beside the server's own, by the first segment of their
	// paths: "demos" is /demos and all below it, methods of all kinds included.
	// "v1" stays the server's.
	Pages map[string]http.Handler
}

// Server is one node.
type Server struct {
	// Set by New.
	config  Config
	log     *slog.Logger
	ready   func(net.Addr)
	parts   *parts
	pages   map[string]http.Handler
	metrics *metrics
	handler http.Handler

	addr     atomic.Pointer[net.Addr] // set by Run
	draining atomic.Bool
	underWay atomic.Int64 // requests that net/http serves
	close    func() error // of the parts, done once
}

// New opens the engine and starts what is above it. Nothing is served until
// Run, or until a server of the caller's serves Handler.
func New(o Options) (*Server, error) {
	if o.Config == nil {
		c := DefaultConfig()
		o.Config = &c
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Restored && o.Config.Engine != "disk" {
		return nil, fmt.Errorf("restored: the %s engine keeps no data that could have been restored; leave it out", o.Config.Engine)
	}
	s := &Server{config: *o.Config, log: slog.New(newSeldom(o.Log.Handler())), ready: o.Ready, pages: o.Pages}
	var err error
	if s.parts, err = assemble(&s.config, o.Restored, s.log, s.answered); err != nil {
		return nil, err
	}
	s.close = sync.OnceValue(s.parts.close)
	s.metrics = newMetrics(s.parts)
	s.handler = s.observe(s.routes())
	return s, nil
}

// Handler serves everything that the server has.
func (s *Server) Handler() http.Handler { return s.handler }

// Addr is the address that Run serves, nil before.
func (s *Server) Addr() net.Addr {
	if a := s.addr.Load(); a != nil {
		return *a
	}
	return nil
}

// Run serves the configured address until ctx is done, then drains and closes.
func (s *Server) Run(ctx context.Context) error {
	err := s.serve(ctx)
	if closing := s.Close(); closing != nil {
		return errors.Join(err, closing)
	}
	return err
}

// idleTime is how long a connection without a request is kept.
const idleTime = 3 * time.Minute

func (s *Server) serve(ctx context.Context) error {
	ln, err := listen(ctx, "--listen", s.config.Listen)
	if err != nil {
		return err
	}
	stopDebug, err := s.serveDebug(ctx)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	defer stopDebug()
	addr := ln.Addr()
	front, err := s.front(ln)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	s.metrics.watch(front)

	srv := &http.Server{
		Handler:           s.named(s.handler),
		ReadHeaderTimeout: s.config.Limits.HeaderTime,
		MaxHeaderBytes:    int(s.config.Limits.HeaderBytes),
		IdleTimeout:       idleTime,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	var failure error // why it stopped serving
	served := make(chan struct{})
	go func() {
		defer close(served)
		failure = srv.Serve(front.Handover())
	}()

	s.addr.Store(&addr)
	s.log.Info("serving", "address", addr.String(), "engine", s.parts.engine.Capabilities().Name, "version", ReadBuild().Version)
	if !s.config.Loopback() {
		s.log.Warn("anyone who reaches this address can read, publish and delete: there is no authentication", "address", addr.String())
	}
	if s.ready != nil {
		s.ready(addr)
	}
	select {
	case <-served:
		s.Drain()
		return errors.Join(failure, front.Close())
	case <-ctx.Done():
	}
	s.log.Info("draining", "at_most", s.config.Drain)
	s.Drain()
	if err := s.finish(context.WithoutCancel(ctx), front, srv); err != nil {
		s.log.Warn("drained in part: some requests were cut off", "error", err)
		_ = srv.Close() // what Shutdown left is cut; there is nobody to tell
	}
	<-served
	return front.Close()
}

// Drain turns readiness off and ends all live responses cleanly: their readers
// go on elsewhere, at their offset. Other requests are still answered.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.parts.drain()
}

// Close stops everything that New started. Requests must have ended before.
func (s *Server) Close() error {
	err := s.close()
	if err == nil {
		s.log.Info("stopped")
	}
	return err
}
