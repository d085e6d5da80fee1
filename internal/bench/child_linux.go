package bench

import (
	"os/exec"
	"syscall"
)

// apart keeps Ctrl-C from the process, which is to outlive the bench's last
// figure, and ends it if the bench is killed.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
