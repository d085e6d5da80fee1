//go:build !linux

package disklog

import "github.com/cockroachdb/pebble/v2/vfs"

type resident struct{}

// MoveOut does nothing: there are no loops.
func (*Engine) MoveOut() {}

type asyncWriter struct{}

func newAsyncWriter() *asyncWriter { return nil }

func (*asyncWriter) close() {}

// awaitDirect returns: there are no direct writes.
func awaitDirect(vfs.File) error { return nil }

// newDirectLog returns f: the log is written as any other file.
func newDirectLog(f vfs.File, _ *asyncWriter, _ string, _ int64) vfs.File { return f }
