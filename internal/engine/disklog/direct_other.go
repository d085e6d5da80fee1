//go:build !linux

package disklog

import "github.com/cockroachdb/pebble/v2/vfs"

// newDirectLog returns f: the log is written as any other file.
func newDirectLog(f vfs.File, _ string, _ int64) vfs.File { return f }
