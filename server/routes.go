package server

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"twohop"
	"twohop/clients/ts"
	"twohop/internal/startpage"
)

// routes is everything that the server answers. It matches paths as they are:
// names of channels must not be cleaned up or redirected.
func (s *Server) routes() http.Handler {
	metrics := promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})
	start := startpage.Handler(slices.Sorted(maps.Keys(s.pages))...)
	script := ts.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") {
			s.parts.streams.ServeHTTP(w, r)
			return
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if page := s.pages[first]; page != nil {
			page.ServeHTTP(w, r)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			fail(w, r, http.StatusMethodNotAllowed, &twohop.Error{Code: twohop.CodeMethod,
				Message: r.Method + " is not possible here", Hint: "use GET"})
			return
		}
		switch r.URL.Path {
		case "/":
			start.ServeHTTP(w, r)
		case "/twohop.js":
			script.ServeHTTP(w, r)
		case "/health":
			answer(w, r, http.StatusOK, map[string]any{"healthy": true})
		case "/ready":
			s.readiness(w, r)
		case "/metrics":
			metrics.ServeHTTP(w, r)
		default:
			fail(w, r, http.StatusNotFound, &twohop.Error{Code: twohop.CodeNotFound,
				Message: "there is nothing at " + r.URL.Path, Hint: "channels are at /v1/stream/{channel}"})
		}
	})
}

// readiness says whether requests should be sent here, and if not, why.
func (s *Server) readiness(w http.ResponseWriter, r *http.Request) {
	if err := s.unready(); err != nil {
		w.Header().Set("Retry-After", "1")
		fail(w, r, http.StatusServiceUnavailable, err)
		return
	}
	answer(w, r, http.StatusOK, map[string]any{"ready": true})
}

func (s *Server) unready() *twohop.Error {
	if s.draining.Load() {
		return &twohop.Error{Code: twohop.CodeUnavailable, Message: "the server is draining",
			Hint: "send new requests to another node; this one ends"}
	}
	if err := s.parts.engine.Healthy(); err != nil {
		return &twohop.Error{Code: twohop.CodeUnavailable, Message: "the engine cannot accept appends: " + err.Error(),
			Hint: "the server's log says more"}
	}
	return nil
}

// fail answers an error in the form that all errors have.
func fail(w http.ResponseWriter, r *http.Request, status int, e *twohop.Error) {
	answer(w, r, status, map[string]any{"code": e.Code, "message": e.Message, "hint": e.Hint})
}

func answer(w http.ResponseWriter, r *http.Request, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(body) // fails only when the client is gone
	}
}
