package rig

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Build builds the command, for as long as the test runs.
func Build(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "twohop")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "twohop/cmd/twohop").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// Install fetches the Node packages of the test's directory, unless they are
// there in the versions that the lock file names.
func Install(t *testing.T) {
	t.Helper()
	wanted, err := os.Stat("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.Stat("node_modules/.package-lock.json")
	if err == nil && !have.ModTime().Before(wanted.ModTime()) {
		return
	}
	if out, err := exec.CommandContext(t.Context(), "npm", "ci").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
}
