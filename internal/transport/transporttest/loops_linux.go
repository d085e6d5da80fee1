package transporttest

import (
	"net"
	"net/http"
	"testing"

	"twohop/internal/transport/httpstream"
)

// Loops are the modes that only some systems have.
var Loops = []Mode{{Name: "parked", Serve: serveParked}}

// serveParked serves on loops, and what they hand over with net/http.
func serveParked(t testing.TB, h *httpstream.Handler) Endpoint {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // as in package server
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr()
	p, err := h.Park(ln.(*net.TCPListener), 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	srv.SetKeepAlivesEnabled(false) // what it was given it would keep, and the loops would not see the next requests
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(p.Handover()) // ends with ErrServerClosed
	}()
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		_ = srv.Close() // its listener is the loops'
		<-done
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return Endpoint{"http://" + addr.String(), &http.Client{Transport: tr}, dialer(addr)}
}
