package bench

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// target is the server under load.
type target struct {
	url     *url.URL
	found   []netip.AddrPort // all addresses of its name
	address netip.AddrPort   // the one that is used
	prefix  string           // of paths, without a slash at its end
	run     string           // names this run, so that its channels are its own
	extra   string           // header lines that every request carries
	made    uint32           // channels so far
}

// newTarget finds the server's addresses.
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
	var found []netip.AddrPort
	for _, ip := range ips {
		a, err := netip.ParseAddrPort(net.JoinHostPort(ip.Unmap().String(), port))
		if err != nil {
			return nil, fmt.Errorf("the server's address: %w", err)
		}
		found = append(found, a)
	}
	id := make([]byte, 5)
	_, _ = rand.Read(id) // never fails
	t := &target{url: u, found: found, address: found[0], prefix: strings.TrimSuffix(u.EscapedPath(), "/"), run: hex.EncodeToString(id)}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.ContainsAny(h, "\r\n") || name == "" {
			return nil, fmt.Errorf("%q is not a header line, such as \"Authorization: Bearer ...\"", h)
		}
		t.extra += name + ": " + strings.TrimSpace(value) + "\r\n"
	}
	return t, nil
}

// choose takes the first address that accepts a connection: the server need not
// listen on all that its name has, such as ::1 and 127.0.0.1 of localhost.
func (t *target) choose(ctx context.Context) error {
	if len(t.found) == 1 {
		return nil
	}
	var faults []error
	for _, a := range t.found {
		t.address = a
		c, err := t.dial(ctx)
		if err == nil {
			_ = c.Close() // nothing was said on it
			return nil
		}
		faults = append(faults, err)
	}
	return fmt.Errorf("no connection to the server: %w", errors.Join(faults...))
}

// here reports whether the server is on this machine, as its address tells.
func (t *target) here() bool {
	ip := t.address.Addr()
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	own, _ := net.InterfaceAddrs() // unknown ones are of other machines
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr() == ip.WithZone("")
	})
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

// create makes channels of the bench's own. It returns also with an error what
// is to be removed.
func (t *target) create(ctx context.Context, n int) ([]*channel, error) {
	p, err := t.publisher(ctx)
	if err != nil {
		return nil, err
	}
	defer p.close()
	made := make([]*channel, n)
	for i := range made {
		t.made++
		made[i] = &channel{number: t.made, name: fmt.Sprintf("bench/%s/%d", t.run, t.made)}
	}
	return made, p.each(made, func(c *channel) {
		p.add("PUT "+t.streams()+c.name, lifetime+"Content-Type: application/json\r\n", nil)
	}, func(c *channel, status int) error {
		if c.tail = p.offset; status != 201 {
			return p.refused("a channel cannot be created")
		}
		return nil
	})
}

// abreast is how many requests go out together where many are made: a server far
// away would take its distance for each of them.
const abreast = 100

// each adds a request for each of the channels, and looks at the answers.
func (p *publisher) each(channels []*channel, add func(*channel), answered func(c *channel, status int) error) error {
	for some := range slices.Chunk(channels, abreast) {
		for _, c := range some {
			add(c)
		}
		err := p.send()
		for i := 0; i < len(some) && err == nil; i++ {
			var status int
			if status, err = p.answer(); err == nil {
				err = answered(some[i], status)
			}
		}
		if err != nil {
			return cmp.Or(context.Cause(p.ctx), err) // which closes the connection
		}
	}
	return nil
}

// remove deletes channels. What fails here, the lifetime deletes.
func (t *target) remove(ctx context.Context, channels []*channel) {
	if len(channels) == 0 {
		return
	}
	p, err := t.publisher(ctx)
	if err != nil {
		return
	}
	defer p.close()
	_ = p.each(channels, func(c *channel) {
		p.add("DELETE "+t.streams()+c.name, "", nil)
	}, func(*channel, int) error { return nil })
}
