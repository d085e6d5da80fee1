package main

import (
	"fmt"
	"runtime"

	"twohop/server"
)

type versionCmd struct{}

// Run prints what the build recorded about itself.
func (versionCmd) Run(a *app) error {
	b := server.ReadBuild()
	_, err := fmt.Fprintf(a.Stdout, "twohop %s\n  revision  %s\n  built by  %s %s/%s\n",
		b.Version, b.Revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
