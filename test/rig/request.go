package rig

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Answer is what is said to a request.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Client leaves answers as they come.
var Client = &http.Client{Transport: &http.Transport{DisableCompression: true}}

// Header is that of a request.
type Header = map[string]string

// JSON is the header of requests with a body of JSON.
var JSON = Header{"Content-Type": "application/json"}

// Send sends one request and reads the answer, whole. The header Host is for
// the request's line.
func Send(ctx context.Context, method, url string, header Header, body string) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	r.Host = r.Header.Get("Host")
	resp, err := Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(b)}, err
}

// MustSend sends a request that must be answered with the status.
func MustSend(t *testing.T, want int, method, url string, header Header, body string) *Answer {
	t.Helper()
	a, err := Send(t.Context(), method, url, header, body)
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != want {
		t.Fatalf("%s %s is answered %d, want %d: %.200s", method, url, a.Status, want, a.Body)
	}
	return a
}

// WaitHealthy waits until there is a server at the address, which may be that of
// what stands before it.
func WaitHealthy(t *testing.T, url string) {
	t.Helper()
	WaitFor(t, url+" to be healthy", func() bool {
		a, err := Send(t.Context(), http.MethodGet, url+"/health", nil, "")
		return err == nil && a.Status == http.StatusOK
	})
}

// FreeAddress is an address that nobody listens on.
func FreeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // it was never used
	return l.Addr().String()
}
