package demos

import (
	"os/exec"
	"testing"
)

// The modules that are pure are tested by Node, where no browser is needed.
func TestModules(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "node", "--test", "testdata/modules.mjs").CombinedOutput()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
}
