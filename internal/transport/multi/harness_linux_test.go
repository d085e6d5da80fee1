package multi_test

import (
	"net"
	"net/http"
	"testing"

	"twohop/internal/transport/httpstream"
)

var loopModes = []mode{{name: "parked", serve: serveParked}}

// serveParked serves on loops, and what they hand over with net/http.
func serveParked(t testing.TB, h *httpstream.Handler) endpoint {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	p, err := h.Park(ln.(*net.TCPListener), 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(p.Handover()) // ends with ErrServerClosed
	}()
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		_ = srv.Close()
		<-done
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return endpoint{"http://" + addr, &http.Client{Transport: tr}, func() (net.Conn, error) { return net.Dial("tcp", addr) }}
}
