//go:build real && linux

// Package disk_test fills and breaks the disk under a real server: file systems
// of the kernel, mounted for the test, which therefore runs as root.
//
// Invariant: whatever becomes of the disk, no acknowledged record is lost, a
// refused publish says why, and readers read on.
package disk_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"twohop/test/rig"
)

const (
	channel    = "orders/new"
	oldChannel = "orders/old"
)

// TestDiskFull publishes until the disk is full and then makes room in the ways
// that people have: publishing goes on by itself.
func TestDiskFull(t *testing.T) {
	binary := rig.Build(t)
	t.Run("larger disk", func(t *testing.T) {
		disk := mountMemory(t, "32m")
		s := startServer(t, binary, filepath.Join(disk, "data"))
		fillAndHeal(t, s, func() { remount(t, disk, "96m") })
	})
	t.Run("file removed", func(t *testing.T) {
		disk := mountMemory(t, "64m")
		ballast := filepath.Join(disk, "ballast")
		if err := os.WriteFile(ballast, make([]byte, 32<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		s := startServer(t, binary, filepath.Join(disk, "data"))
		fillAndHeal(t, s, func() {
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("to the last byte", func(t *testing.T) {
		disk := mountMemory(t, "32m")
		s := startServer(t, binary, filepath.Join(disk, "data"), "--disk-reserve-bytes", "1B")
		fillAndHeal(t, s, func() { remount(t, disk, "96m") })
	})
	t.Run("channel deleted", func(t *testing.T) {
		s := startServer(t, binary, filepath.Join(mountMemory(t, "128m"), "data"), "--disk-reserve-bytes", "24MiB")
		old := newPublisher(t, s, oldChannel)
		for range 400 {
			old.mustPublish()
		}
		fillAndHeal(t, s, func() {
			if answer := s.request(http.MethodDelete, "/v1/stream/"+oldChannel, nil, ""); answer.Status != http.StatusNoContent {
				t.Fatalf("a channel cannot be deleted on a full disk: %+v", answer)
			}
		})
	})
}

// fillAndHeal fills a server's disk, looks at what still goes, makes room, and
// looks whether all goes on.
func fillAndHeal(t *testing.T, s *server, heal func()) {
	p := newPublisher(t, s, channel)
	r := follow(t, s, channel)
	refusal := p.fill()
	if refusal.Status != http.StatusInsufficientStorage || refusal.Code != "storage_full" || refusal.Header.Get("Retry-After") == "" ||
		!strings.Contains(refusal.Message, "full") || refusal.Hint == "" {
		t.Errorf("a publish to the full disk is answered %+v", refusal)
	}
	t.Logf("full after %d records: %s; %s", len(p.acked), refusal.Message, refusal.Hint)
	stillReads(t, s, p, r, "full")

	heal()
	rig.WaitFor(t, "the server to be ready again", func() bool { return s.request(http.MethodGet, "/ready", nil, "").Status == http.StatusOK })
	for range 100 {
		p.mustPublish()
	}
	r.wait(len(p.acked))
	p.verify()

	s.Kill()
	s.Start()
	p.verify()
	p.mustPublish()
}

// stillReads looks at a server that takes no appends: it says why, it reads,
// and its live reader is told everything and stays.
func stillReads(t *testing.T, s *server, p *publisher, r *reader, why string) {
	t.Helper()
	rig.WaitFor(t, "/ready to say why", func() bool {
		ready := s.request(http.MethodGet, "/ready", nil, "")
		return ready.Status == http.StatusServiceUnavailable && strings.Contains(ready.Message, why) && ready.Header.Get("Retry-After") != ""
	})
	if health := s.request(http.MethodGet, "/health", nil, ""); health.Status != http.StatusOK {
		t.Errorf("/health is answered %+v", health)
	}
	p.verify()
	r.wait(len(p.acked))
	beats := r.heartbeats()
	rig.WaitFor(t, "heartbeats to go on", func() bool { return r.heartbeats() > beats+1 })
}

// TestDiskFails lets a disk fail for good: nothing is acknowledged any more,
// readers read on, and when the disk is back nothing is missing.
func TestDiskFails(t *testing.T) {
	disk := mountImage(t, "64M")
	s := startServer(t, rig.Build(t), filepath.Join(disk.dir, "data"))
	p := newPublisher(t, s, channel)
	r := follow(t, s, channel)
	for range 50 {
		p.mustPublish()
	}
	disk.shutdown()
	if first := p.publish(); first.Status != http.StatusServiceUnavailable || first.Message == "" || first.Hint == "" {
		t.Errorf("the publish that finds the disk broken is answered %+v", first)
	}
	rig.WaitFor(t, "publishes to be refused", func() bool { return p.publish().Code == "storage_failed" })
	refusal := p.publish()
	t.Logf("refused: %s; %s", refusal.Message, refusal.Hint)
	if refusal.Status != http.StatusServiceUnavailable || refusal.Hint == "" {
		t.Errorf("a publish to the broken disk is answered %+v", refusal)
	}
	stillReads(t, s, p, r, "failed")

	_ = s.Stop() // it must not wait for the disk, which is what it ends with
	disk.repair()
	s.Start()
	p.verify()
	for range 50 {
		p.mustPublish()
	}
	p.verify()
}
