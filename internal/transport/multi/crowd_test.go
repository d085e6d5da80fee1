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
	"twohop/internal/transport/multi"
)

// Readers who leave in the middle of a round make nobody else miss it.
func TestLeavingInTheMiddle(t *testing.T) {
	const readers, leave, rounds = 300, 100, 10
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asJSON)
		for range rounds {
			list := make([]*socket, readers)
			for i := range list {
				list[i] = s.connect()
				list[i].send(subscribeC)
				list[i].say("subscribed")
			}
			for i := range list { // what there was of earlier rounds
				for got := 0; got < int(s.records("c")); {
					f := list[i].say("data")
					got += len(f.Records)
				}
			}
			var left sync.WaitGroup
			left.Go(func() {
				for _, k := range list[:leave] {
					_ = k.c.Close()
				}
			})
			s.publish("c", "1")
			left.Wait()
			for _, k := range list[leave:] {
				k.say("data")
				_ = k.c.Close()
			}
		}
		s.idle()
	}, loopModes...)
}

// records is how many a channel has.
func (s *site) records(name string) uint64 {
	s.t.Helper()
	info, err := s.hub.Info(context.Background(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return info.Tail.Pos
}

// slow is an engine that answers an append when it is told to, and runs late
// between an answer about a channel and its arrival.
type slow struct {
	engine.Engine
	late func(name string, err error)

	mu   sync.Mutex // guards what follows
	held []func()
}

// Append implements engine.Engine.
func (e *slow) Append(ctx context.Context, a *twohop.Append, done func(twohop.Ack, error)) {
	e.Engine.Append(ctx, a, func(ack twohop.Ack, err error) {
		e.mu.Lock()
		e.held = append(e.held, func() { done(ack, err) })
		e.mu.Unlock()
	})
}

// Info implements engine.Engine.
func (e *slow) Info(ctx context.Context, name string) (twohop.Info, error) {
	info, err := e.Engine.Info(ctx, name)
	if e.late != nil {
		e.late(name, err)
	}
	return info, err
}

func (e *slow) holds() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.held)
}

func (e *slow) release() {
	e.mu.Lock()
	held := e.held
	e.held = nil
	e.mu.Unlock()
	for _, f := range held {
		f()
	}
}

// At most 64 publishes of a connection are under way; then it is not read from
// until one is answered.
func TestPublishesUnderWay(t *testing.T) {
	const publishes = 200
	run(t, func(t *testing.T, m mode) {
		e := &slow{Engine: memlog.Open(memlog.Options{})}
		defer func() { _ = e.Close() }()
		s := serve(t, m, setup{engine: e})
		s.create("c", asJSON)
		k := s.connect()
		go func() {
			for i := range publishes {
				k.send(`{"type":"publish","id":%d,"channel":"c","records":[%d]}`, i, i)
			}
		}()
		for answered := 0; answered < publishes; {
			under := min(64, publishes-answered)
			s.eventually("the publishes are under way", func() bool { return e.holds() == under })
			e.release()
			for range under {
				if f := k.say("published"); string(f.ID) != fmt.Sprint(answered) {
					t.Fatalf("%s, want the answer to %d", f.raw, answered)
				}
				answered++
			}
		}
		k.bye()
		s.idle()
	}, plain[1:]...)
}

// A channel that comes to be between the engine's answer that there is none and
// the waiting for it is found.
func TestChannelThatComesJustThen(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		e := &slow{Engine: memlog.Open(memlog.Options{})}
		defer func() { _ = e.Close() }()
		once := sync.Once{}
		e.late = func(name string, err error) {
			if err != nil {
				once.Do(func() {
					spec := &twohop.Spec{ContentType: asJSON, Data: []byte("1,"), Ends: []uint32{2}}
					_, _, _ = e.Create(context.Background(), name, spec)
				})
			}
		}
		s := serve(t, m, setup{engine: e, Options: multi.Options{Rules: twohop.Rules{{Match: "*", Create: true}}}})
		k := s.connect()
		k.send(`{"type":"subscribe","channel":"new"}`)
		k.say("subscribed")
		if f := k.say("data"); f.content() != "1," {
			t.Errorf("%s", f.raw)
		}
		k.bye()
		s.idle()
	}, plain...)
}

// A connection follows 10,000 channels and not one more, also such that do not
// exist yet.
func TestTenThousandChannels(t *testing.T) {
	const channels = 10_000
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{Rules: twohop.Rules{{Match: "c/*", Create: true}}}})
		all := names(channels + 1)
		k := s.connect()
		k.send(`{"type":"subscribe","id":1,"channels":[{"channel":"%s"}]}`, strings.Join(all, `"},{"channel":"`))
		if f := k.refused("too_many_channels"); string(f.ID) != "1" {
			t.Errorf("%s", f.raw)
		}
		go k.send(`{"type":"subscribe","id":2,"channels":[{"channel":"%s"}]}`, strings.Join(all[:channels], `"},{"channel":"`))
		for _, name := range all[:channels] {
			if f := k.say("subscribed"); f.Channel != name || !f.Waiting {
				t.Fatalf("%s", f.raw)
			}
		}
		k.send(`{"type":"subscribe","channel":"%s"}`, all[channels])
		k.refused("too_many_channels")
		for _, i := range []int{7, 0, channels - 1} {
			k.send(`{"type":"publish","id":%d,"channel":"%s","records":[%d]}`, i, all[i], i)
			for range 2 { // the answer and the record, in whatever order
				if f, err := k.next(); err != nil || f.Channel != all[i] || f.Type == "data" && f.content() != fmt.Sprint(i, ",") {
					t.Fatalf("%s %v", f.raw, err)
				}
			}
		}
		go k.send(`{"type":"unsubscribe","channels":["%s"]}`, strings.Join(all[:channels], `","`))
		for _, name := range all[:channels] {
			if f := k.say("unsubscribed"); f.Channel != name {
				t.Fatalf("%s", f.raw)
			}
		}
		k.send(`{"type":"subscribe","channel":"%s","offset":"-1"}`, all[7])
		k.say("subscribed")
		k.say("data")
		k.bye()
		s.idle()
	}, append([]mode{tcp}, loopModes...)...)
}
