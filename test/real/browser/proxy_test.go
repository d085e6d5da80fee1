//go:build real

package browser_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"twohop/test/rig"
)

// What a proxy does with what goes through it.
const (
	// stock is all that people write who do not think of live responses: no
	// WebSocket gets through.
	stock = ``

	// holding collects responses, whatever the server asks for: 1 MiB, lest what
	// the test publishes fills a buffer within the two seconds that count.
	holding = `proxy_set_header Host $http_host; proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;` +
		` proxy_buffer_size 1m; proxy_buffers 8 1m; proxy_busy_buffers_size 2m;`

	// good is as deploy/nginx-l7.conf has it.
	good = `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_header;` +
		` proxy_set_header Host $http_host;`
)

// proxy is an nginx that runs.
type proxy struct {
	*rig.Process
	t         *testing.T
	dir       string
	addr, url string
	upstream  string
}

// startProxy runs an nginx in front of a server; it ends with the test.
func startProxy(t *testing.T, upstream *server, directives string) *proxy {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Fatal("no nginx in the PATH: install the package nginx")
	}
	p := &proxy{t: t, dir: t.TempDir(), addr: rig.FreeAddress(t), upstream: upstream.Addr}
	p.url = "http://" + p.addr
	p.configure(directives)
	p.Process = rig.Run(t, "nginx", "-p", p.dir, "-c", "config", "-e", "stderr")
	rig.WaitHealthy(t, p.url)
	return p
}

func (p *proxy) configure(directives string) {
	p.t.Helper()
	config := fmt.Sprintf(`
daemon off; worker_processes 1; user root; worker_shutdown_timeout 1s; error_log stderr crit; pid pid;
events {}
http {
	access_log off;
	client_body_temp_path client_body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	map $http_upgrade $connection_header { "" ""; default upgrade; }
	server {
		listen %s;
		location / {
			proxy_pass http://%s;
			%s
		}
	}
}
`, p.addr, p.upstream, directives)
	if err := os.WriteFile(filepath.Join(p.dir, "config"), []byte(config), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// become reads another configuration, as "nginx -s reload" does; a second later
// what went through the old one is cut.
func (p *proxy) become(directives string) {
	p.t.Helper()
	p.configure(directives)
	p.Signal(syscall.SIGHUP)
}
