package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// target is the server under load.
type target struct {
	url     *url.URL
	address netip.AddrPort
	prefix  string // of paths, without a slash at its end
	run     string // names this run, so that its channels are its own
	extra   string // header lines that every request carries
	made    uint32 // channels so far
}

// newTarget finds the server's address.
func newTarget(ctx context.Context, server string, headers []string) (*target, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("%q is not the URL of a server, such as http://127.0.0.1:4437", server)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("the server's address: %w", err)
	}
	addr, err := netip.ParseAddrPort(net.JoinHostPort(ips[0].Unmap().String(), port))
	if err != nil {
		return nil, fmt.Errorf("the server's address: %w", err)
	}
	id := make([]byte, 5)
	_, _ = rand.Read(id) // never fails
	t := &target{url: u, address: addr, prefix: strings.TrimSuffix(u.EscapedPath(), "/"), run: hex.EncodeToString(id)}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.ContainsAny(h, "\r\n") || name == "" {
			return nil, fmt.Errorf("%q is not a header line, such as \"Authorization: Bearer ...\"", h)
		}
		t.extra += name + ": " + strings.TrimSpace(value) + "\r\n"
	}
	return t, nil
}

func (t *target) secure() bool { return t.url.Scheme == "https" }

// dial makes a connection, with TLS if the URL says so.
func (t *target) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if t.secure() {
		// Without ALPN the server speaks HTTP/1.1.
		return (&tls.Dialer{NetDialer: &d, Config: &tls.Config{ServerName: t.url.Hostname()}}).DialContext(ctx, "tcp", t.address.String())
	}
	c, err := d.DialContext(ctx, "tcp", t.address.String())
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a wish: the system keeps nothing of it
	}
	return c, nil
}

// driver makes the driver for readers of this server.
func (t *target) driver(ctx context.Context, c clock) (driver, error) {
	if !t.secure() {
		d, err := newLoop(c, t.address)
		if !errors.Is(err, errors.ErrUnsupported) {
			return d, err
		}
	}
	return newSockets(ctx, c, t.dial), nil
}

// headers are the lines that every request has, without the end of the head.
func (t *target) headers() string { return "Host: " + t.url.Host + "\r\n" + t.extra }

func (t *target) streams() string { return t.prefix + "/v1/stream/" }

// prepare fills in how a group's requests begin and end.
func (t *target) prepare(g *group) {
	g.get = "GET " + t.streams()
	more := "Accept: */*\r\n"
	switch g.transport {
	case SSE:
		more = "Accept: text/event-stream\r\n"
	case WebSocket:
		g.get, more = "GET "+t.prefix+"/v1/ws", offer
	case LongPoll, Poll:
	}
	g.headers = t.headers() + more + "\r\n"
	g.tally = newTally()
}

// lifetime is how long channels live that a killed bench left behind.
const lifetime = "Stream-TTL: 3600\r\n"

// create makes channels of the bench's own.
func (t *target) create(ctx context.Context, n int) ([]*channel, error) {
	p, err := t.publisher(ctx)
	if err != nil {
		return nil, err
	}
	defer p.close()
	var made []*channel
	for range n {
		t.made++
		c := &channel{number: t.made, name: fmt.Sprintf("bench/%s/%d", t.run, t.made)}
		status, err := p.request("PUT "+t.streams()+c.name, lifetime+"Content-Type: application/json\r\n", nil)
		if err == nil && status != 201 {
			err = p.refused("a channel cannot be created")
		}
		if err != nil {
			return made, err
		}
		c.tail = p.offset
		made = append(made, c)
	}
	return made, nil
}

// remove deletes channels. What fails here, the lifetime deletes.
func (t *target) remove(ctx context.Context, channels []*channel) {
	p, err := t.publisher(ctx)
	if err != nil {
		return
	}
	defer p.close()
	for _, c := range channels {
		if _, err := p.request("DELETE "+t.streams()+c.name, "", nil); err != nil {
			return
		}
	}
}
