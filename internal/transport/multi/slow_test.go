package multi_test

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"twohop/internal/engine/memlog"
	"twohop/internal/hub"
	"twohop/internal/transport/multi"
)

// halting reads so many bytes at a time, and makes a pause after each time.
type halting struct {
	io.Reader
	each, left int
	pause      time.Duration
}

func (h *halting) Read(b []byte) (int, error) {
	if h.left == 0 {
		pause(h.pause)
		h.left = h.each
	}
	n, err := h.Reader.Read(b[:min(len(b), h.left)])
	h.left -= n
	return n, err
}

// The answer to a ping counts although a write takes longer than its time: the
// answer came meanwhile.
func TestAnswerDuringALongWrite(t *testing.T) {
	const beat, records = 10 * time.Second, 8
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{Heartbeat: beat}, hub: hub.Options{PageBytes: 50_000}})
		s.create("a", asText)
		for range records { // each is a page
			s.publish("a", strings.Repeat("x", 100_000))
		}
		k := s.connect()
		k.r = bufio.NewReader(&halting{Reader: k.c, each: 50_000, left: 50_000, pause: beat * 3 / 2})
		k.send(`{"type":"subscribe","channel":"a","offset":"-1"}`)
		k.say("subscribed")
		pings := 0
		for got := 0; got < records; {
			switch f, err := k.next(); {
			case err != nil:
				t.Fatalf("after %d records and %d pings: %v", got, pings, err)
			case f.Type == "data":
				got++
			case f.Type == "ping":
				pings++
				k.send(`{"type":"pong"}`)
			}
		}
		if pings == 0 {
			t.Error("there was no ping")
		}
		k.bye()
	}, bubble...)
}

// A message has its time to arrive, without the time in which the server wrote
// and took nothing.
func TestMessageDuringALongWrite(t *testing.T) {
	const beat = 40 * time.Second
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{Heartbeat: beat, MessageTime: beat / 2}})
		s.create("a", asText)
		for _, writing := range []bool{false, true} { // when the rest comes
			k := s.connect()
			k.send(`{"type":"subscribe","channel":"a"}`)
			k.say("subscribed")
			message := masked(fin|opText, []byte(`{"type":"ping","id":1,"x":"`+strings.Repeat("x", 20_000)+`"}`))
			k.write(message[:1000])
			synctest.Wait()
			s.publish("a", strings.Repeat("y", 200_000))
			if writing {
				synctest.Wait()
			}
			wrote := make(chan error, 1)
			go func() {
				_, err := k.c.Write(message[1000:])
				wrote <- err
			}()
			pause(beat + time.Second) // the server looks for what is late
			k.say("data")
			for f := (frame{}); f.Type != "pong"; { // after a ping, perhaps
				var err error
				if f, err = k.next(); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-wrote; err != nil {
				t.Error(err)
			}
			k.bye()
		}
	}, bubble...)
}

// A client that is not read from, as what it asked for takes long, is not cut off
// for an answer that nobody read; one that does not answer is, afterwards.
func TestAnswerThatIsNotRead(t *testing.T) {
	const beat = 10 * time.Second
	run(t, func(t *testing.T, m mode) {
		e := &gated{Engine: memlog.Open(memlog.Options{})}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		s := serve(t, m, setup{engine: e, Options: multi.Options{Heartbeat: beat}})
		s.create("a", asText)
		k := s.connect()
		open := e.shut()
		k.send(`{"type":"subscribe","channel":"a","tailRecords":1}`)
		k.say("ping")
		wrote := make(chan error, 1)
		go func() {
			_, err := k.c.Write(masked(fin|opText, []byte(`{"type":"pong"}`)))
			wrote <- err
		}()
		pause(6 * beat)
		open()
		k.say("subscribed")
		if err := <-wrote; err != nil {
			t.Error(err)
		}
		k.say("ping")
		k.closes(4008)
	}, bubble...)
}
