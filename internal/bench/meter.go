package bench

import "runtime"

// Machine says where figures were measured.
type Machine struct {
	Cores  int    `json:"cores"`
	CPU    string `json:"cpu,omitempty"`
	Kernel string `json:"kernel,omitempty"`
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Go     string `json:"go"`
}

// ThisMachine describes the machine that the bench runs on.
func ThisMachine() Machine {
	return Machine{
		Cores: runtime.NumCPU(), CPU: cpuModel(), Kernel: kernel(),
		OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(),
	}
}

// meter reads what processes on this machine use.
type meter struct {
	pid    int  // of the server; 0 if it is not known
	hidden bool // the server is one of this machine's programs, and its pid is not known
	clock  clock
}

// usage is what was used up to a moment. Times are in nanoseconds.
type usage struct {
	at          int64
	server      int64 // CPU of the server
	self        int64 // CPU of the bench
	busy, total int64 // CPU of all programs, and all there was
}

func (m *meter) read() usage {
	u := usage{at: m.clock.now(), self: ownCPU()}
	u.busy, u.total = machineCPU()
	if m.pid > 0 {
		u.server, _ = processCPU(m.pid)
	}
	return u
}

// since is the difference from an earlier moment.
func (u usage) since(v usage) usage {
	return usage{u.at - v.at, u.server - v.server, u.self - v.self, u.busy - v.busy, u.total - v.total}
}

// others is the share of the machine's CPU that other programs used, nil where
// that is not known. The system counts in hundredths of a second, so spans much
// shorter than one say nothing.
func (m *meter) others(u usage) *float64 {
	if m.hidden || u.total < 2e8 {
		return nil
	}
	share := min(1, max(0, float64(u.busy-u.server-u.self)/float64(u.total)))
	return &share
}
