package transports

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"twohop/client"
	"twohop/internal/config"
	"twohop/server"
)

// node is a server under test.
type node struct {
	*client.Client

	t   *testing.T
	url string
}

// serving is how a server is reached.
type serving struct {
	name  string
	start func(*testing.T, *server.Server) (url string, httpClient *http.Client)
}

var servings = []serving{
	// It has loops where the system has epoll.
	{"own listener", func(t *testing.T, s *server.Server) (string, *http.Client) {
		url, _, stop := hostItself(t, s)
		t.Cleanup(stop)
		return url, nil
	}},
	{"net/http", func(t *testing.T, s *server.Server) (string, *http.Client) {
		h := httptest.NewServer(s.Handler())
		t.Cleanup(h.Close)
		return h.URL, nil
	}},
	{"HTTP2", func(t *testing.T, s *server.Server) (string, *http.Client) {
		h := httptest.NewUnstartedServer(s.Handler())
		h.EnableHTTP2 = true
		h.StartTLS()
		t.Cleanup(h.Close)
		return h.URL, h.Client()
	}},
}

// settings are those of the servers here: pages and buffers so small that reads
// take many of them.
func settings(t *testing.T, engine string) *config.Config {
	c := server.DefaultConfig()
	c.Listen = "127.0.0.1:0"
	c.Engine = engine
	c.Data = t.TempDir()
	c.PageBytes = 512
	c.TailBufferBytes = 2048
	c.LongPoll = 500 * time.Millisecond
	c.Drain = time.Second
	c.Rules = []config.Rule{{Match: "made/**", Create: "on-publish"}, {Match: "short/**", Create: "never", Retention: config.Retention{Records: 10}}}
	return &c
}

// start starts a server on an engine.
func start(t *testing.T, engine string, way serving) *node {
	t.Helper()
	s, err := server.New(server.Options{Config: settings(t, engine), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the server: %v", err)
		}
	})
	url, hc := way.start(t, s)
	c, err := client.New(url, client.Options{HTTPClient: hc, BackoffMin: time.Millisecond, BackoffMax: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return &node{Client: c, t: t, url: url}
}

// create makes a channel.
func (n *node) create(channel, contentType string) {
	n.t.Helper()
	if _, err := n.Create(n.t.Context(), channel, client.CreateOptions{ContentType: contentType}); err != nil {
		n.t.Fatal(err)
	}
}

// publish appends a record and returns the offset after it.
func (n *node) publish(channel, contentType, data string) string {
	n.t.Helper()
	ack, err := n.Publish(n.t.Context(), channel, []byte(data), client.PublishOptions{ContentType: contentType})
	if err != nil {
		n.t.Fatal(err)
	}
	return ack.Offset
}

func (n *node) end(channel string) {
	n.t.Helper()
	if err := n.CloseChannel(n.t.Context(), channel); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) remove(channel string) {
	n.t.Helper()
	if err := n.Delete(n.t.Context(), channel); err != nil {
		n.t.Fatal(err)
	}
}
