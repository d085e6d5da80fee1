package livecomments

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeStage is a show that only counts.
type fakeStage struct {
	ctx     context.Context //nolint:containedctx // a show has its own
	viewers int
	drops   int
	ended   *atomic.Int64
}

func (f *fakeStage) wait()              { <-f.ctx.Done(); f.ended.Add(1) }
func (f *fakeStage) resize(viewers int) { f.viewers = viewers }
func (f *fakeStage) Drop() (id, cut int) {
	f.drops++
	return f.drops, f.viewers
}

type house struct {
	*Demo
	opened int
	ended  atomic.Int64
	stage  *fakeStage
}

// inHouse runs a test in a bubble, on a demo whose shows only count.
func inHouse(t *testing.T, test func(t *testing.T, h *house)) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{Demo: New(slog.New(slog.DiscardHandler), nil)}
		h.open = func(ctx context.Context, _ func() Settings) (stage, error) {
			h.opened++
			h.stage = &fakeStage{ctx: ctx, ended: &h.ended}
			return h.stage, nil
		}
		test(t, h)
		h.Close()
		if int64(h.opened) != h.ended.Load() {
			t.Errorf("%d shows began and %d have ended after Close", h.opened, h.ended.Load())
		}
	})
}

func (h *house) watch(t *testing.T, page string) {
	t.Helper()
	if err := h.Watch(t.Context(), page); err != nil {
		t.Fatal(err)
	}
}

// want checks how many shows began and ended, once everything is quiet.
func (h *house) want(t *testing.T, opened int, ended int64) {
	t.Helper()
	synctest.Wait()
	if h.opened != opened || h.ended.Load() != ended {
		t.Fatalf("%d shows began and %d ended, want %d and %d", h.opened, h.ended.Load(), opened, ended)
	}
}

func TestShowRunsWhileWatched(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		time.Sleep(time.Hour)
		h.want(t, 0, 0) // idle: nothing runs
		h.watch(t, "a")
		h.watch(t, "b")
		h.want(t, 1, 0)
		for range 10 {
			time.Sleep(lease / 2)
			h.watch(t, "a")
		}
		h.want(t, 1, 0)
		time.Sleep(lease + 2*time.Second)
		h.want(t, 1, 1)
		time.Sleep(time.Hour)
		h.watch(t, "a")
		h.want(t, 2, 1)
	})
}

func TestShowOutlivesReload(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		h.watch(t, "a")
		h.Leave("a")
		time.Sleep(farewell / 2)
		h.watch(t, "a again")
		time.Sleep(farewell * 2)
		h.want(t, 1, 0)
		h.Leave("a again")
		time.Sleep(farewell + 2*time.Second)
		h.want(t, 1, 1)
	})
}

func TestSettingsAreBounded(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		f := func(asked, want Settings) {
			t.Helper()
			if got := h.Set(asked); got != want {
				t.Errorf("Set(%v) is %v, want %v", asked, got, want)
			}
		}
		f(Settings{-5, -5}, Settings{MinRate, MinViewers})
		f(Settings{1 << 40, 1 << 40}, Settings{MaxRate, MaxViewers})
		h.watch(t, "a")
		if h.stage.viewers != MaxViewers {
			t.Errorf("the show begins with %d viewers, want those that were set", h.stage.viewers)
		}
		f(Settings{100, 30}, Settings{100, 30})
		if h.stage.viewers != 30 {
			t.Errorf("the crowd has %d viewers, want 30", h.stage.viewers)
		}
	})
}

func TestWatchersAreBounded(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		for i := range 3 * maxWatchers {
			h.watch(t, string(rune('a'+i)))
		}
		if len(h.watchers) > maxWatchers {
			t.Errorf("%d leases, want %d at most", len(h.watchers), maxWatchers)
		}
	})
}

func TestDrops(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		if _, _, err := h.Drop(); err != errNobody { //nolint:errorlint // it comes bare
			t.Errorf("a drop without a show: %v", err)
		}
		h.watch(t, "a")
		if id, cut, err := h.Drop(); id != 1 || cut != startViewers || err != nil {
			t.Errorf("the first drop: %d, %d, %v", id, cut, err)
		}
		if _, _, err := h.Drop(); err != errTooSoon { //nolint:errorlint // it comes bare
			t.Errorf("a drop at once: %v", err)
		}
		time.Sleep(dropEvery)
		if id, _, err := h.Drop(); id != 2 || err != nil {
			t.Errorf("a later drop: %d, %v", id, err)
		}
	})
}

func TestClosedDemoDoesNotBegin(t *testing.T) {
	inHouse(t, func(t *testing.T, h *house) {
		h.watch(t, "a")
		h.Close()
		if err := h.Watch(t.Context(), "b"); err != errClosed { //nolint:errorlint // it comes bare
			t.Errorf("after Close: %v", err)
		}
		h.want(t, 1, 1)
	})
}
