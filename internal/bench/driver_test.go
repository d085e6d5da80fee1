package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// breaking is a server whose SSE responses end after one event, by turns in
// good order and by a broken connection. It has three records.
func breaking(w http.ResponseWriter, r *http.Request) {
	var next uint64
	_, _ = fmt.Sscanf(r.URL.Query().Get("offset"), "e_%d", &next) // a malformed one is the beginning
	text := event(fmt.Sprintf("e_%d", next+1), next+1)
	if next >= 3 {
		<-r.Context().Done()
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, text)
	_ = http.NewResponseController(w).Flush() // the reader notices
	if next%2 == 0 {
		panic(http.ErrAbortHandler)
	}
}

// eachDriver runs a test with each driver that works on this system.
func eachDriver(t *testing.T, h http.HandlerFunc, f func(t *testing.T, d driver, c clock)) {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	at, err := newTarget(t.Context(), server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := clock{time.Now()}
	t.Run("sockets", func(t *testing.T) {
		d := newSockets(t.Context(), c, at.dial)
		defer d.close()
		f(t, d, c)
	})
	t.Run("loop", func(t *testing.T) {
		d, err := newLoop(c, at.address)
		if errors.Is(err, errors.ErrUnsupported) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer d.close()
		f(t, d, c)
	})
}

func someReaders(transport Transport, n int) (*group, []*reader) {
	var all []*reader
	g := newReader(transport).group
	for i := range n {
		r := newReader(transport)
		r.group, r.id = g, i
		all = append(all, r)
	}
	return g, all
}

// have waits until readers have every record up to a number.
func have(t *testing.T, d driver, readers []*reader, seq uint64) {
	t.Helper()
	if err := await(t.Context(), d, time.Millisecond, func() bool {
		for _, r := range readers {
			if !r.complete(seq) {
				return false
			}
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
}

func TestDriversGoOnAfterBreaks(t *testing.T) {
	eachDriver(t, breaking, func(t *testing.T, d driver, _ clock) {
		g, readers := someReaders(SSE, 20)
		d.open(readers)
		have(t, d, readers, 3)
		d.drop(readers)
		for _, r := range readers {
			r.settle(3)
			if r.failed != nil || r.offset != "e_3" {
				t.Errorf("%s stands at %s: %v", r, r.offset, r.failed)
			}
		}
		// Each was cut off after its first record, and after its third, which
		// nobody needs to have noticed yet.
		if g.delivered != 60 || g.faults.Any() || g.reconnects < 20 || g.reconnects > 40 {
			t.Errorf("%d deliveries, %d reconnects, %+v", g.delivered, g.reconnects, g.faults)
		}
	})
}

// TestDriversStall stalls readers, whose server then has more to say.
func TestDriversStall(t *testing.T) {
	more := make(chan struct{})
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, event("e_1", 1))
		_ = http.NewResponseController(w).Flush() // the reader notices
		select {
		case <-more:
			_, _ = io.WriteString(w, event("e_2", 2))
			_ = http.NewResponseController(w).Flush() // the reader notices
			<-r.Context().Done()
		case <-r.Context().Done():
		}
	}
	eachDriver(t, handler, func(t *testing.T, d driver, _ clock) {
		_, readers := someReaders(SSE, 2)
		d.open(readers)
		have(t, d, readers, 1)
		d.stall(readers[:1], true)
		select {
		case <-more: // by the other driver
		default:
			close(more)
		}
		have(t, d, readers[1:], 2)
		d.stall(readers[:1], false)
		have(t, d, readers, 2)
		d.drop(readers)
	})
}

func TestDriversGiveUp(t *testing.T) {
	refuse := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }
	eachDriver(t, refuse, func(t *testing.T, d driver, _ clock) {
		_, readers := someReaders(SSE, 1)
		d.open(readers)
		have(t, d, readers, 1)
		d.do(func() {
			if err := readers[0].failed; err == nil || !strings.Contains(err.Error(), "403") {
				t.Errorf("gave up with %v", err)
			}
		})
	})
}

func TestTargetFindsItsServer(t *testing.T) {
	f := func(server, want string) {
		t.Helper()
		at, err := newTarget(t.Context(), server, []string{"Authorization:  Bearer x"})
		if err != nil {
			t.Errorf("%s: %v", server, err)
			return
		}
		if got := at.address.String() + " " + at.streams() + " " + at.headers(); got != want {
			t.Errorf("%s is %q, want %q", server, got, want)
		}
	}
	f("http://127.0.0.1:4437", "127.0.0.1:4437 /v1/stream/ Host: 127.0.0.1:4437\r\nAuthorization: Bearer x\r\n")
	f("https://[::1]/live/", "[::1]:443 /live/v1/stream/ Host: [::1]\r\nAuthorization: Bearer x\r\n")
	for _, bad := range []string{"", "127.0.0.1:4437", "ftp://127.0.0.1"} {
		if _, err := newTarget(t.Context(), bad, nil); err == nil {
			t.Errorf("%q is taken for a server", bad)
		}
	}
	if _, err := newTarget(t.Context(), "http://127.0.0.1", []string{"x: y\r\nz: 1"}); err == nil {
		t.Error("a header may hold line breaks")
	}
}

// TestTargetChoosesAnAddress has a name with addresses on which nobody listens.
func TestTargetChoosesAnAddress(t *testing.T) {
	listening := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	address := func(ln net.Listener) netip.AddrPort { return netip.MustParseAddrPort(ln.Addr().String()) }
	first, second, nobody := listening(), listening(), listening()
	defer first.Close()
	defer second.Close()
	nobody.Close()
	f := func(want net.Listener, found ...netip.AddrPort) {
		t.Helper()
		at := &target{url: &url.URL{Scheme: "http"}, found: found, address: found[0]}
		err := at.choose(t.Context())
		if want == nil && (err == nil || strings.Count(err.Error(), "connect") < len(found)) {
			t.Errorf("nobody listens: %v", err)
		}
		if want != nil && (err != nil || at.address != address(want)) {
			t.Errorf("chose %s, %v; want %s", at.address, err, want.Addr())
		}
	}
	f(first, address(nobody), address(first), address(second))
	f(second, address(second), address(first))
	f(nil, address(nobody), address(nobody))
}

func TestTargetIsHere(t *testing.T) {
	f := func(address string, want bool) {
		t.Helper()
		at := &target{address: netip.MustParseAddrPort(address)}
		if at.here() != want {
			t.Errorf("%s is on this machine: %v, want %v", address, !want, want)
		}
	}
	f("127.0.0.1:80", true)
	f("[::1]:80", true)
	f("0.0.0.0:80", true)
	f("192.0.2.1:80", false) // of nobody
	f("[2001:db8::1]:80", false)
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		f(netip.AddrPortFrom(netip.MustParsePrefix(a.String()).Addr(), 80).String(), true)
	}
}

func TestPlans(t *testing.T) {
	o := Options{Duration: time.Second, Transports: []Transport{SSE}}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	all := plansOf(&o)
	if len(all) != len(Scenarios()) {
		t.Fatalf("%d plans of %d scenarios", len(all), len(Scenarios()))
	}
	for _, p := range all {
		if p.figures < 1 || p.about < time.Duration(p.figures)*o.Duration || p.most <= p.about {
			t.Errorf("%s: %+v", p.scenario.name, p)
		}
	}
	want := "idle, fanout, channels, publish, resume, poll, slow, mixed: 19 figures, about 29s, at most "
	if got := all.String(); !strings.HasPrefix(got, want) {
		t.Errorf("the plans are %q, want %q", got, want)
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.004: "0", 1.5: "1.5", 12.34: "12.3", 999.6: "1,000", 1234567: "1,234,567", -12345: "-12,345", 100: "100", 20: "20"} {
		if got := number(v); got != want {
			t.Errorf("%g is written %q, want %q", v, got, want)
		}
	}
}
