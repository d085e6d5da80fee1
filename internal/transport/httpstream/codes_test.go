package httpstream

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"twohop"
	"twohop/internal/wire"
)

// codes reads all codes from where they are declared.
func codes(t *testing.T) (all []twohop.Code) {
	f, err := parser.ParseFile(token.NewFileSet(), "../../../errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		typ, _ := spec.Type.(*ast.Ident)
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && typ != nil && typ.Name == "Code" {
			s, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, twohop.Code(s))
		}
		return true
	})
	all = append(all, wire.CodeTooManyChannels) // the only one of frames that is also an answer
	if len(all) < 30 {
		t.Fatalf("found the codes %v only", all)
	}
	return all
}

// Every code has a status, and stands with it in PROTOCOL.md's table.
func TestEveryCodeIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	all := codes(t)
	for _, c := range all {
		if status[c] < 400 {
			t.Errorf("%s has the status %d", c, status[c])
		}
		row := regexp.MustCompile(fmt.Sprintf("(?m)^\\| `%s` \\| %d \\| [^|]+ \\| [^|]+ \\|$", c, status[c]))
		if n := len(row.FindAll(page, -1)); n != 1 {
			t.Errorf("PROTOCOL.md has %d rows for %s with the status %d", n, c, status[c])
		}
	}
	for c := range status {
		if !slices.Contains(all, c) {
			t.Errorf("%s has a status and is no code", c)
		}
	}
}
