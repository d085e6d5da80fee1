package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct{}

// Run prints what the build recorded about itself.
func (versionCmd) Run(a *app) error {
	b := readBuild()
	_, err := fmt.Fprintf(a.Stdout, "twohop %s\n  revision  %s\n  built by  %s %s/%s\n",
		b.version, b.revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// build is what is known of this executable.
type build struct{ version, revision string }

// readBuild reads the module's version and the revision, where the build
// recorded them.
func readBuild() build {
	b := build{version: "development", revision: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.version = v
	}
	modified := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.revision = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified {
		b.revision += " with local changes"
	}
	return b
}
