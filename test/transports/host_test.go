package transports

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"twohop/internal/config"
	"twohop/server"
)

// settled is the configuration of a conversation's server. It is on disk, so
// that another process could go on with its channels.
func settled(t *testing.T, settings json.RawMessage) *config.Config {
	file := filepath.Join(t.TempDir(), "settings.yaml") // JSON is YAML
	if len(settings) == 0 {
		settings = json.RawMessage("{}")
	}
	if err := os.WriteFile(file, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := config.Load(config.Sources{File: file})
	if err != nil {
		t.Fatal(err)
	}
	l.Config.Listen, l.Config.Data, l.Config.Drain = "127.0.0.1:0", t.TempDir(), 10*time.Second
	return &l.Config
}

// host serves a server at a URL. drain tells its connections to leave; stop ends
// it, when they have gone.
type host func(t *testing.T, s *server.Server) (url string, drain, stop func())

// hostItself serves by the server's own listener, and drains as on SIGTERM.
func hostItself(t *testing.T, s *server.Server) (url string, drain, stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}
	for late := time.Now().Add(10 * time.Second); s.Addr() == nil; {
		if time.Now().After(late) {
			stop()
			t.Fatal("the server does not serve")
		}
		<-time.After(time.Millisecond)
	}
	return "http://" + s.Addr().String(), cancel, stop
}

// hostHandler serves by net/http.
func hostHandler(t *testing.T, s *server.Server) (url string, drain, stop func()) {
	h := httptest.NewServer(s.Handler())
	return h.URL, s.Drain, func() {
		h.Close()
		if err := s.Close(); err != nil {
			t.Errorf("closing the server: %v", err)
		}
	}
}
