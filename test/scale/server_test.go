//go:build linux

package scale

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"twohop/test/rig"
)

// memory is what the process has resident, in MiB.
func memory(t *testing.T, s *rig.Server) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb >> 10
}
