//go:build real

package balancer_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"twohop/test/rig"
)

// setup is one way to put a balancer in front of twohop.
type setup struct {
	name    string
	program string   // nginx or haproxy
	file    string   // in deploy/; "" is the configuration that nobody tuned
	edits   []string // of the file: what stands there, and what it becomes
	short   []string // edits that make its timeouts 3 s

	hidesAccel bool // X-Accel-Buffering is for the balancer and goes no further
	losesHost  bool // twohop sees another Host than the client sent
	smallBody  bool // bodies above 1 MiB are refused
	noSockets  bool // passes on no Upgrade
	compresses bool // JSON, and SSE if it were allowed to
}

// stock is all that people write who do not think of live responses.
const stock = `
events {}
http {
	server {
		listen 0.0.0.0:80;
		location / {
			proxy_pass http://127.0.0.1:4437;
		}
	}
}
`

const compression = `
    compression algo gzip
    compression type text/event-stream application/json
`

var (
	withoutTCP = []string{"mode tcp", "disabled"}                                    // of two sections one is used
	fewFiles   = []string{"worker_rlimit_nofile 65536", "worker_rlimit_nofile 1024"} // a test may not be allowed more
)

var setups = []setup{
	{
		name: "nginx stock", program: "nginx",
		short:      []string{"proxy_pass", "proxy_read_timeout 3s; proxy_pass"},
		hidesAccel: true, losesHost: true, smallBody: true, noSockets: true,
	},
	{
		name: "nginx L7", program: "nginx", file: "nginx-l7.conf",
		edits:      fewFiles,
		short:      []string{"proxy_read_timeout 60s", "proxy_read_timeout 3s"},
		hidesAccel: true,
	},
	{
		name: "nginx L4", program: "nginx", file: "nginx-l4.conf",
		edits: fewFiles,
		short: []string{"proxy_timeout 60s", "proxy_timeout 3s"},
	},
	{
		name: "HAProxy L7", program: "haproxy", file: "haproxy.cfg",
		edits: withoutTCP,
		short: []string{"client  60s", "client 3s", "server  60s", "server 3s"},
	},
	{
		name: "HAProxy L7 with compression", program: "haproxy", file: "haproxy.cfg",
		edits:      append([]string{"mode http\n", "mode http\n" + compression}, withoutTCP...),
		short:      []string{"client  60s", "client 3s", "server  60s", "server 3s"},
		compresses: true,
	},
	{
		name: "HAProxy L4", program: "haproxy", file: "haproxy.cfg",
		edits: []string{"mode http", "disabled", "0.0.0.0:80", "127.0.0.1:81", "0.0.0.0:81", "0.0.0.0:80"},
		short: []string{"client  60s", "client 3s", "server  60s", "server 3s"},
	},
}

// proxy is a balancer that runs.
type proxy struct {
	*rig.Process
	t       *testing.T
	program string
	url     string
}

// startProxy runs a balancer in front of a server; it ends with the test.
func startProxy(t *testing.T, of setup, upstream *rig.Server, edits ...string) *proxy {
	t.Helper()
	config := stock
	if of.file != "" {
		b, err := os.ReadFile(filepath.Join("../../../deploy", of.file))
		if err != nil {
			t.Fatal(err)
		}
		config = string(b)
	}
	dir := t.TempDir()
	addr := rig.FreeAddress(t)
	edits = append(append(edits, of.edits...), "0.0.0.0:80", addr, "127.0.0.1:4437", upstream.Addr)
	file := filepath.Join(dir, "config")
	var args []string
	if of.program == "nginx" {
		// Where it stores what, and as whom it may: what an installation has
		// outside of this file.
		if strings.Contains(config, "http {") {
			edits = append(edits, "http {", "http { access_log off;"+temporary(dir))
		}
		args = []string{"-p", dir, "-c", file, "-e", "stderr", "-g", "daemon off; worker_processes 1; user root; worker_shutdown_timeout 1s; " +
			"error_log stderr crit; pid " + filepath.Join(dir, "pid") + ";"}
	} else {
		args = []string{"-db", "-q", "-f", file}
	}
	if err := os.WriteFile(file, []byte(edit(t, config, edits)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &proxy{Process: rig.Run(t, of.program, args...), t: t, program: of.program, url: "http://" + addr}
	rig.WaitHealthy(t, p.url)
	return p
}

// temporary are nginx's directives for its temporary files.
func temporary(dir string) (directives string) {
	for _, of := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		directives += " " + of + "_temp_path " + filepath.Join(dir, of) + ";"
	}
	return directives
}

// edit makes replacements in turn; what is replaced must be there.
func edit(t *testing.T, text string, replacements []string) string {
	t.Helper()
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(text, replacements[i]) {
			t.Fatalf("there is no %q to replace in\n%s", replacements[i], text)
		}
		text = strings.ReplaceAll(text, replacements[i], replacements[i+1])
	}
	return text
}

// replace does what happens to balancers in service, with the end of all
// connections: nginx reads its configuration anew, as by "nginx -s reload", and
// a second later the old worker is gone; HAProxy crashes and starts again.
func (p *proxy) replace() {
	p.t.Helper()
	if p.program == "nginx" {
		p.Signal(syscall.SIGHUP)
		return
	}
	p.Kill()
	p.Start()
	rig.WaitHealthy(p.t, p.url)
}
