package twohop_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// importRules say which packages of this module a package may import, and why.
// The first rule whose pattern matches a package holds. "*" stands for one
// element of a path; in allow, "..." for everything. A package may always
// import those below its own directory.
var importRules = []struct {
	packages string
	allow    []string
	why      string
}{
	{".", nil, "the words that everyone shares, and all that the client drags in"},
	{"internal/wire", []string{"."}, "pure: records to bytes and back, fuzzed, without I/O"},
	{"internal/wire/*", []string{".", "internal/wire"}, "as pure, with libraries that users of the client should not link"},
	{"internal/engine", []string{"."}, "the contract of the engines and their shared rules, without I/O"},
	{"internal/engine/enginetest", []string{".", "internal/engine"}, "the suite knows the contract, not one engine"},
	{"internal/engine/*", []string{".", "internal/engine", "internal/uring"}, "one store each: never each other, never the hub"},
	{"internal/hub", []string{".", "internal/engine"}, "knows the contract, not one engine"},
	{"internal/budget", nil, "pure: what follows from a budget and from what things cost, without I/O"},
	{"internal/uring", nil, "system calls, whatever for"},
	{"internal/park", []string{".", "internal/uring"}, "connections that wait; what for is its user's business"},
	{"internal/subscription", []string{".", "internal/wire"}, "an ordinary user of channels, through the few methods that it names"},
	{"internal/transport/transporttest", []string{"internal/transport/httpstream"}, "ways to serve the handler that all requests come to"},
	{"internal/transport/*", []string{".", "internal/hub", "internal/wire", "internal/wire/*", "internal/park", "internal/budget"}, "a transport is a way to spend a cursor: never another transport, never an engine"},
	{"internal/startpage", nil, "a page; it uses the server through the wire only"},
	{"internal/config", []string{"."}, "what can be set, without what it is set on"},
	{"internal/bench", []string{"internal/budget"}, "sees the server from outside, measures the unit costs of plans, with a client of its own that is cheaper than the public one"},
	{"client", []string{".", "internal/wire"}, "sees the server from outside; its users link nothing of the server"},
	{"clients/ts", nil, "one script and its handler"},
	{"server", []string{"..."}, "wiring: the only package that knows every engine and transport"},
	{"demos", []string{".", "internal/config"}, "puts pages and simulations together; they use the server through the wire only"},
	{"demos/*", []string{".", "client"}, "a demo is a user of the server, through the public client"},
	{"cmd/*", []string{".", "server", "client", "demos", "internal/config", "internal/bench", "internal/budget"}, "commands put public packages to use"},
	{"test/crash", []string{".", "internal/engine", "internal/engine/disklog", "internal/hub", "internal/transport/httpstream"}, "all of a server but its sockets, on a disk that loses power"},
	{"test/perf/table", nil, "figures to a page"},
	{"test/transports", []string{".", "client", "server", "internal/config"}, "a whole server, set up by hand"},
	{"test/rig", nil, "builds and runs the command, and links nothing of it"},
	{"test/*", []string{".", "client", "server", "test/rig"}, "tests of the whole see it from outside"},
}

// testImports may also be imported by tests, beside what importRules allow.
var testImports = map[string][]string{
	"internal/engine/*":     {"internal/engine/enginetest"},
	"internal/hub":          {"internal/engine/memlog"},
	"internal/subscription": {"internal/engine/memlog", "internal/hub"},
	"internal/transport/*":  {"internal/engine", "internal/engine/memlog", "internal/engine/disklog", "internal/transport/httpstream", "internal/transport/transporttest"},
	"internal/startpage":    {"server", "client"},
	"client":                {"server"},
	"clients/ts":            {"test/rig"},
	"demos":                 {"server"},
	"demos/*":               {"server"},
}

// outsideRules keep dependencies of the module out of packages.
var outsideRules = []struct {
	packages []string
	allow    []string
	why      string
}{
	{[]string{".", "internal/wire", "internal/budget", "internal/engine", "internal/hub"}, nil, "the standard library is enough, and users of the client link nothing else"},
	{[]string{"client"}, []string{"github.com/coder/websocket"}, "WebSocket, without dependencies of its own"},
	{[]string{"internal/engine/disklog"}, []string{"github.com/cockroachdb/pebble/v2", "golang.org/x/sys"}, "the store, and direct writes of its log"},
	{[]string{"internal/config"}, []string{"go.yaml.in/yaml/v3"}, "the file"},
}

// goPackage is what "go list -json" says of a package.
type goPackage struct {
	ImportPath, Dir, Doc                     string
	GoFiles, TestGoFiles, XTestGoFiles       []string
	Imports, TestImports, XTestImports, Deps []string
}

const module = "twohop"

// local is a path in this module, "." for its root; ok is false outside of it.
func local(importPath string) (p string, ok bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Doc,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports,Deps", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var all []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, fault := range importFaults(&p) {
			t.Error(fault)
		}
	}
}

// importFaults are the imports of a package that the tables do not allow.
func importFaults(p *goPackage) []string {
	name, _ := local(p.ImportPath)
	rule := slices.IndexFunc(importRules, func(r struct {
		packages string
		allow    []string
		why      string
	}) bool {
		return matches(r.packages, name)
	})
	if rule < 0 {
		return []string{name + " stands in no rule: add one, with its reason, to importRules"}
	}
	allow, why := importRules[rule].allow, importRules[rule].why
	var faults []string
	check := func(imports []string, allow []string, kind string) {
		for _, i := range imports {
			to, ours := local(i)
			if ours && !allowed(name, to, allow) {
				faults = append(faults, name+kind+" may not import "+to+": "+why)
			}
		}
	}
	check(p.Imports, allow, "")
	for pattern, more := range testImports {
		if matches(pattern, name) {
			allow = append(slices.Clone(allow), more...)
		}
	}
	check(append(p.TestImports, p.XTestImports...), allow, " (tests)")

	for _, r := range outsideRules {
		if !slices.Contains(r.packages, name) {
			continue
		}
		for _, i := range p.Imports {
			_, ours := local(i)
			outside := !ours && strings.Contains(strings.SplitN(i, "/", 2)[0], ".")
			within := slices.ContainsFunc(r.allow, func(a string) bool { return i == a || strings.HasPrefix(i, a+"/") })
			if outside && !within {
				faults = append(faults, name+" may not import "+i+": "+r.why)
			}
		}
	}
	return faults
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

func allowed(from, to string, allow []string) bool {
	return from == to || strings.HasPrefix(to, from+"/") || slices.ContainsFunc(allow, func(a string) bool {
		return a == "..." || matches(a, to)
	})
}

// TestImportFaultsAreFound proves that the tables refuse what they are for.
func TestImportFaultsAreFound(t *testing.T) {
	refused := func(from, to string) {
		t.Helper()
		if len(importFaults(&goPackage{ImportPath: module + "/" + from, Imports: []string{to}})) == 0 {
			t.Errorf("%s may import %s", from, to)
		}
	}
	refused("internal/hub", module+"/internal/engine/disklog")
	refused("internal/engine/memlog", module+"/internal/hub")
	refused("internal/engine/memlog", module+"/internal/engine/disklog")
	refused("internal/engine/memlog", module+"/internal/engine/enginetest")
	refused("internal/transport/wsmux", module+"/internal/transport/httpstream")
	refused("client", module+"/internal/hub")
	refused("client", "github.com/alecthomas/kong")
	refused("internal/config", "github.com/alecthomas/kong")
	refused("internal/nowhere", "fmt")
}

func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment: say what it is for and what always holds", p.ImportPath)
		}
	}
}

// TestSleepsAreInBubbles allows time.Sleep in tests only where it is the virtual
// time of testing/synctest that passes.
func TestSleepsAreInBubbles(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range append(p.TestGoFiles, p.XTestGoFiles...) {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			bubbles := slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
			ast.Inspect(file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok || sel.Sel.Name != "Sleep" || bubbles {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
					t.Errorf("%s/%s sleeps outside of a bubble: wait for what it waits for", p.ImportPath, name)
				}
				return true
			})
		}
	}
}

// TestClientIsLight keeps the server out of the programs of the client's users.
func TestClientIsLight(t *testing.T) {
	may := []string{".", "client", "internal/wire"}
	for _, p := range packages(t) {
		if name, _ := local(p.ImportPath); name != "client" && name != "." {
			continue
		}
		for _, d := range p.Deps {
			outside := strings.Contains(strings.SplitN(d, "/", 2)[0], ".") && !strings.HasPrefix(d, "github.com/coder/websocket")
			if to, ours := local(d); ours && !slices.Contains(may, to) || outside {
				t.Errorf("%s links %s: its users would link it too", p.ImportPath, d)
			}
		}
	}
}
