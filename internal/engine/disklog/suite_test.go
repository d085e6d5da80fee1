package disklog

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"twohop/internal/engine"
	"twohop/internal/engine/enginetest"
)

func TestSuite(t *testing.T) {
	enginetest.Suite{
		Open: func(t *testing.T) engine.Engine { return openAt(t, vfs.NewMem(), Options{}) },
		Reopen: func(t *testing.T, e engine.Engine) engine.Engine {
			old := e.(*Engine)
			shut(t, old)
			return openAt(t, old.opts.FS, Options{})
		},
	}.Run(t)
}
