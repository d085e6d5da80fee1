package multi_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"twohop"
	"twohop/internal/engine"
	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/transport/multi"
)

// lossy is an engine whose feed can lose its place: what happens until it is
// found again nobody is told.
type lossy struct {
	engine.Engine
	mu   sync.Mutex // guards what follows
	sink engine.Sink
	lost bool
}

// Follow implements engine.Engine.
func (e *lossy) Follow(s engine.Sink) {
	e.sink = s
	e.Engine.Follow(e)
}

// Event implements engine.Sink.
func (e *lossy) Event(shard int, ev *engine.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.lost {
		e.sink.Event(shard, ev)
	}
}

func (e *lossy) lose() {
	e.mu.Lock()
	e.lost = true
	e.mu.Unlock()
}

func (e *lossy) find() {
	e.mu.Lock()
	e.lost = false
	e.sink.Event(0, &engine.Event{Kind: engine.Broken})
	e.mu.Unlock()
}

// When the feed breaks nothing is missed: neither records, nor the end of a
// channel, nor its beginning.
func TestFeedBreaks(t *testing.T) {
	const records = 60
	run(t, func(t *testing.T, m mode) {
		eachWay(t, m, func(t *testing.T, w way) {
			inner := memlog.Open(memlog.Options{})
			defer func() { _ = inner.Close() }()
			e := &lossy{Engine: inner}
			s := serve(t, m, setup{engine: e, hub: hub.Options{TailBytes: 300}, Options: multi.Options{Rules: twohop.Rules{{Match: "made", Create: true}}}})
			s.t = t
			list := []want{{"kept", "-1"}, {"deleted", "-1"}, {"made", "-1"}}
			s.create("kept", asJSON)
			s.create("deleted", asJSON)
			begun := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				<-begun
				for i := range records {
					if i%5 == 1 {
						e.lose()
					}
					s.publish("kept", fmt.Sprint(i))
					switch i {
					case records / 3:
						_ = s.hub.Delete(context.Background(), "deleted")
					case records/2 + 1: // while nobody is told
						_, _, _ = s.hub.Create(context.Background(), "made", &twohop.Spec{ContentType: asJSON})
						s.publish("made", "1")
					}
					if i%5 == 2 {
						e.find()
					}
				}
				s.closeChannel("kept")
				e.lose()
				s.closeChannel("made")
				e.find()
			}()
			var want strings.Builder
			for i := range records {
				fmt.Fprintf(&want, "%d,", i)
			}
			got := map[string]string{}
			closed := map[string]bool{}
			gone := false
			once := sync.OnceFunc(func() { close(begun) })
			subscribed := 0
			err := w.follow(s, list, func(f frame) bool {
				switch {
				case f.Type == "subscribed":
					if subscribed++; subscribed == 3 {
						once()
					}
				case f.Type == "data":
					got[f.Channel] += f.content()
					closed[f.Channel] = closed[f.Channel] || f.Closed
				case f.Channel == "deleted" && (f.Type == "reset" && f.Reason == "deleted" || f.Type == "error" && f.Code == "not_found"):
					gone = true
				case f.Type != "welcome":
					t.Errorf("%s: %s", w.name, f.raw)
				}
				return !gone || !closed["kept"] || !closed["made"]
			})
			if err != nil || got["kept"] != want.String() || got["made"] != "1," || got["deleted"] != "" {
				t.Errorf("%s: %v: %v", w.name, err, got)
			}
			<-done
			s.idle()
		})
	}, all...)
}
