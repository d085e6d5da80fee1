package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tick is the unit of CPU times in /proc, which is the same on all systems.
const tick = 10_000_000

// processCPU is the CPU that a process has used, user and system, from its own
// CPU clock, which is exact to nanoseconds.
func processCPU(pid int) (int64, error) {
	// clock_getcpuclockid(3): the complement of the pid, and 2 for the scheduler's clock.
	id := ^pid<<3 | 2
	var ts unix.Timespec
	if _, _, errno := unix.Syscall(unix.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&ts)), 0); errno != 0 { //nolint:gosec // as the system call wants it
		return processStat(pid)
	}
	return ts.Nano(), nil
}

// processStat is the same from /proc, exact to a hundredth of a second.
func processStat(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // the name before may hold anything
	if len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat has too few fields")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return (user + system) * tick, errors.Join(err1, err2)
}

// processMemory is the memory of a process: what it shares counts by its part.
func processMemory(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if kib, ok := strings.CutPrefix(lines.Text(), "Pss:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(kib, "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("/proc/PID/smaps_rollup has no Pss")
}

// machineCPU is the CPU time of all programs, and all there was.
func machineCPU() (busy, total int64) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, field := range strings.Fields(line) {
		if i == 0 || i > 8 { // guests count as user already
			continue
		}
		n, _ := strconv.ParseInt(field, 10, 64)
		total += n * tick
		if i != 4 && i != 5 { // idle, waiting for I/O
			busy += n * tick
		}
	}
	return busy, total
}

// ownCPU is the CPU that the bench has used.
func ownCPU() int64 {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return r.Utime.Nano() + r.Stime.Nano()
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}
