package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"

	"twohop/demos"
	"twohop/server"
)

type demoCmd struct {
	optionFlags
}

// Help is what --help says below the usage.
func (demoCmd) Help() string {
	return `Runs a server as serve does, with the same options, and the demos beside it, at
/demos/. What they need of the configuration, they bring: rules for channels
below demos/, ahead of yours. A demo's simulated users come when its page is
opened and leave with it; they go through the server as real ones would.

Do not run this where strangers reach it: the pages let anyone load the server.`
}

// Run serves until the first signal, then drains.
func (c *demoCmd) Run(a *app) error {
	l, err := c.load()
	if err != nil {
		return err
	}
	keepPrivate()
	l.Config.Rules = slices.Concat(demos.Rules(), l.Config.Rules)
	log := newLogger(a.Stderr, l.Config.Log)
	d := demos.New(log.With("component", "demo"))
	defer d.Close()
	s, err := server.New(server.Options{
		Config: &l.Config,
		Log:    log,
		Pages:  map[string]http.Handler{"demos": d},
		Ready: func(addr net.Addr) {
			base := "http://" + reachable(addr)
			d.Serve(base)
			if a.StdoutIsTerminal {
				banner(a.Stdout, addr, &l.Config)
			}
			invite(a.Stdout, base)
		},
	})
	if err != nil {
		return err
	}
	defer context.AfterFunc(a.Context, d.Close)() // the simulated users go first
	return s.Run(a.Context)
}

func invite(w io.Writer, base string) {
	_, _ = fmt.Fprintf(w, "demos: %s/demos/\n", base)
}
