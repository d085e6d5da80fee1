package server

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"
)

// route is a kind of request, as metrics and the log name it.
type route uint8

const (
	routeRead route = iota
	routePublish
	routeManage
	routeSubscription
	routeOther
	routeCount
)

var routeNames = [routeCount]string{"read", "publish", "manage", "subscription", "other"}

func routeOf(r *http.Request) route {
	path := r.URL.Path
	switch {
	case !strings.HasPrefix(path, "/v1/"):
		return routeOther
	case strings.HasPrefix(path, "/v1/stream/__ds/"):
		return routeSubscription
	case r.Method == http.MethodGet || r.Method == http.MethodHead || path == "/v1/subscribe":
		return routeRead
	case r.Method == http.MethodPost:
		return routePublish
	}
	return routeManage
}

// requestCounts counts requests by route and status, without a lock.
type requestCounts [routeCount][600]atomic.Int64

func (c *requestCounts) add(r route, status int) {
	if status >= 0 && status < len(c[r]) {
		c[r][status].Add(1)
	}
}

// observe counts, times and logs what h answers.
func (s *Server) observe(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin, kind := time.Now(), routeOf(r)
		if s.draining.Load() {
			w.Header().Set("Connection", "close") // the next request is for another node
		}
		rec := &recorder{ResponseWriter: w}
		s.underWay.Add(1)
		defer func() {
			s.underWay.Add(-1)
			took := time.Since(begin)
			failed := recover()                                  // in a handler; the answer, if any, is cut off
			if failed != nil && failed != http.ErrAbortHandler { //nolint:errorlint // it is any value
				s.log.Error("a request's handler panicked", "method", r.Method, "path", r.URL.Path, "panic", failed, "stack", string(debug.Stack()))
				rec.status = http.StatusInternalServerError
			}
			if rec.status == 0 {
				rec.status = http.StatusOK // what net/http says for a handler that says nothing
			}
			s.metrics.requests.add(kind, rec.status)
			if kind == routePublish {
				s.metrics.publishTime.Observe(took.Seconds())
			}
			if s.log.Enabled(r.Context(), slog.LevelDebug) {
				// The query is left out: it may hold a token.
				s.log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", rec.status, "took", took)
			}
			if failed != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		h.ServeHTTP(rec, r)
	})
}

// answered counts what loops answered; no request comes before New is done.
func (s *Server) answered(publish bool, status int, took time.Duration) {
	if !publish {
		s.metrics.requests.add(routeRead, status)
		return
	}
	s.metrics.requests.add(routePublish, status)
	s.metrics.publishTime.Observe(took.Seconds())
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 || r.status < 200 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
