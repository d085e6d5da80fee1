package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"

	"twohop/internal/config"
	"twohop/server"
)

type serveCmd struct {
	optionFlags
	Restored bool `help:"The data directory is an older copy that was put back: offsets that were given since it was made are not given again. For the first start only."`
}

// Run serves until the first signal, then drains.
func (c *serveCmd) Run(a *app) error {
	l, err := c.load()
	if err != nil {
		return err
	}
	keepPrivate()
	s, err := server.New(server.Options{
		Config:   &l.Config,
		Restored: c.Restored,
		Log:      newLogger(a.Stderr, l.Config.Log),
		Ready: func(addr net.Addr) {
			if a.StdoutIsTerminal {
				banner(a.Stdout, addr, &l.Config)
			}
		},
	})
	if err != nil {
		return err
	}
	return s.Run(a.Context)
}

func newLogger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // the configuration is valid, so this is not reached
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// banner tells a person where to look first.
func banner(w io.Writer, addr net.Addr, c *config.Config) {
	kept := "memory, gone when this ends"
	if c.Engine == "disk" {
		kept = c.Data
	}
	base := "http://" + reachable(addr)
	_, _ = fmt.Fprintf(w, `
  twohop is running.

    start here   %s/
    channels     %s/v1/stream/{channel}
    kept in      %s

  Ctrl-C ends it.

`, base, base, kept)
}

// reachable is an address by which this machine reaches a listener, also one
// that listens on all of them.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return fmt.Sprintf("localhost:%d", tcp.Port)
}
