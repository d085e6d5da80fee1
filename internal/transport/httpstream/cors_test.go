package httpstream_test

import (
	"strings"
	"testing"

	"twohop/internal/transport/httpstream"
)

func TestOrigins(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{Origins: []string{"https://app.example"}}})
		s.create("c", asText)
		for origin, allowed := range map[string]bool{
			"https://app.example": true, s.Base: true, "http://localhost:3000": true, "http://127.0.0.1": true, "http://[::1]:80": true, "http://x.localhost": true,
			"https://app.example.evil.example": false, "http://app.example": false, "https://evil.example": false, "http://localhost.evil.example": false,
			"null": false, "://": false,
		} {
			for _, method := range []string{"GET", "HEAD"} {
				r := s.do(method, "stream/c", "", "Origin", origin)
				got := r.get("Access-Control-Allow-Origin")
				if allowed && (r.status != 200 || got != origin) || !allowed && (r.status != 403 || got != "") {
					t.Errorf("%s from %s: %d, allowed is %q", method, origin, r.status, got)
				}
				if !strings.Contains(r.get("Vary"), "Origin") || len(r.header["Vary"]) != 1 {
					t.Errorf("%s from %s: Vary is %q", method, origin, r.header["Vary"])
				}
			}
			// Browsers send some requests without asking first.
			if r := s.do("POST", "stream/c", "x", "Origin", origin, "Content-Type", asText); allowed != (r.status == 204) {
				t.Errorf("POST from %s: %d", origin, r.status)
			}
			f, r, err := s.tryFollow("c", "offset=-1", "Origin", origin)
			if err != nil {
				t.Fatal(err)
			}
			if allowed != (f != nil) || allowed && r.get("Access-Control-Allow-Origin") != origin {
				t.Errorf("SSE for %s: %d %v", origin, r.status, r.header)
			}
			if f != nil {
				f.close()
			}
		}
		s.expect(s.do("GET", "stream/c", "", "Origin", "https://evil.example"), 403, "origin_not_allowed")
		// A cache that keeps this must not give it to pages.
		if r := s.read("c", "offset=-1"); r.get("Vary") != "Origin" {
			t.Errorf("without an origin: Vary is %q", r.get("Vary"))
		}
	}, all...)
}

func TestPreflight(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{Origins: []string{"*"}}})
		for _, path := range []string{"stream/c", "publish", "stream/__ds/x"} {
			r := s.do("OPTIONS", path, "", "Origin", "https://any.example", "Access-Control-Request-Method", "POST")
			if r.status != 204 || r.get("Access-Control-Allow-Origin") != "*" || !strings.Contains(r.get("Access-Control-Allow-Methods"), "DELETE") ||
				r.get("Access-Control-Max-Age") == "" {
				t.Errorf("%s: %d %v", path, r.status, r.header)
			}
			for _, name := range []string{"Content-Type", "Authorization", "If-None-Match", "If-Match", "Idempotency-Key", "Last-Event-ID", "Producer-Id", "Stream-Seq", "Stream-Records"} {
				if !strings.Contains(r.get("Access-Control-Allow-Headers"), name) {
					t.Errorf("%s may not be sent", name)
				}
			}
		}
		s.create("c", asText)
		r := s.do("GET", "stream/c?offset=-1", "", "Origin", "https://any.example")
		for _, name := range []string{"Stream-Next-Offset", "Stream-Up-To-Date", "Stream-Closed", "Stream-Cursor", "Stream-Reset", "Stream-Readers", "Stream-Duplicate", "ETag", "Retry-After"} {
			if !strings.Contains(r.get("Access-Control-Expose-Headers"), name) {
				t.Errorf("%s may not be read", name)
			}
		}
	}, all...)
}

// Pages may read why a long poll was refused after it had waited.
func TestRefusedLongPollOfAPage(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: httpstream.Options{Origins: []string{"https://app.example"}}})
		s.create("c", asText)
		answer := make(chan reply)
		go func() {
			r, err := s.try("GET", "stream/c?live=long-poll&offset=now", "", "Origin", "https://app.example")
			if err != nil {
				t.Error(err)
			}
			answer <- r
		}()
		s.settle("c", 1)
		s.must("DELETE", "stream/c", "")
		r := <-answer
		s.expect(r, 410, "reset")
		if r.get("Access-Control-Allow-Origin") != "https://app.example" || len(r.header["Vary"]) != 1 {
			t.Errorf("the page cannot read %v", r.header)
		}
	}, all...)
}

// Only Host is the host that a page's origin is compared with.
func TestOriginOfAnotherHost(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asText)
		s.expect(s.do("POST", "stream/c", "x", "Content-Type", asText, "Origin", "http://evil.example", "Evil", "evil.example"), 403, "origin_not_allowed")
	}, all...)
}
