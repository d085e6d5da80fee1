package server

import (
	"runtime/debug"
)

// Build is what is known of the executable.
type Build struct{ Version, Revision string }

// ReadBuild reads the module's version and the revision, where the build
// recorded them.
func ReadBuild() Build {
	b := Build{Version: "development", Revision: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	modified := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified {
		b.Revision += " with local changes"
	}
	return b
}
