package server

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What comes again and again is logged ten times in ten seconds, and then with the
// number of those that were left out. Each message counts for itself, and what is
// no trouble is never left out.
func TestSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(newSeldom(slog.NewTextHandler(&out, nil)))
		count := func(what string) int { return strings.Count(out.String(), what) }
		for range 25 {
			log.With("component", "a").Error("failed", "channel", "x")
			log.WithGroup("g").Error("failed", "channel", "y")
			log.Warn("slow")
			log.Info("served")
		}
		if failed, slow, served := count("failed"), count("slow"), count("served"); failed != 10 || slow != 10 || served != 25 || count("left_out") != 0 {
			t.Fatalf("%d, %d, %d in\n%s", failed, slow, served, &out)
		}
		time.Sleep(10 * time.Second)
		out.Reset()
		log.Error("failed")
		log.Warn("slow")
		log.Error("failed")
		if count("left_out=40") != 1 || count("left_out=15") != 1 || count("left_out") != 2 {
			t.Error(out.String())
		}
		time.Sleep(10 * time.Second)
		out.Reset()
		log.Error("failed")
		if count("left_out") != 0 {
			t.Error(out.String())
		}
	})
}
