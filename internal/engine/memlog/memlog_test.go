package memlog_test

import (
	"testing"

	"twohop/internal/engine"
	"twohop/internal/engine/enginetest"
	"twohop/internal/engine/memlog"
)

func TestEngine(t *testing.T) {
	enginetest.Run(t, func(*testing.T) engine.Engine { return memlog.Open(memlog.Options{}) })
}
