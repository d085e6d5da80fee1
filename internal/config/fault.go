package config

import (
	"fmt"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Where   string // file:line, variable or flag; empty where it is not known
	Path    string // of the option; empty for a fault of the file as a whole
	Message string
	Hint    string
}

func (f *Fault) String() string {
	var b strings.Builder
	for _, part := range []string{f.Where, f.Path} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(f.Message)
	if f.Hint != "" {
		b.WriteString(" (" + f.Hint + ")")
	}
	return b.String()
}

// Faults are all that is wrong with a configuration.
type Faults []Fault

func (f Faults) Error() string {
	if len(f) == 1 {
		return "configuration: " + f[0].String()
	}
	lines := []string{fmt.Sprintf("configuration: %d faults", len(f))}
	for i := range f {
		lines = append(lines, "  "+f[i].String())
	}
	return strings.Join(lines, "\n")
}

// asError is f, or nil where there is no fault.
func (f Faults) asError() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// nearest returns the name that was probably meant, or "".
func nearest(name string, names []string) string {
	best, distance := "", len(name)/3+2
	for _, n := range names {
		if d := editDistance(name, n); d < distance {
			best, distance = n, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions and replacements of bytes that
// make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
