package multi_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"twohop/internal/transport/multi"
	"twohop/internal/wire/websocket"
)

const subscribeC = `{"type":"subscribe","id":7,"channel":"c","offset":"-1"}`

// However a message is cut into frames, and these into bytes, it is the same
// message.
func TestMessagesInPieces(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asJSON)
		whole := masked(fin|opText, []byte(subscribeC))
		var byFragments, withPings []byte
		for i, c := range []byte(subscribeC) {
			first := byte(opMore)
			if i == 0 {
				first = opText
			}
			if i == len(subscribeC)-1 {
				first |= fin
			}
			byFragments = append(byFragments, masked(first, []byte{c})...)
			withPings = append(append(withPings, masked(first, []byte{c})...), masked(fin|opPong, []byte("unasked"))...)
		}
		empty := append(masked(opText, nil), append(masked(opMore, nil), masked(fin|opMore, []byte(subscribeC))...)...)
		longLength := append([]byte{fin | opText, 0x80 | 126, 0, 200, 0, 0, 0, 0}, subscribeC+strings.Repeat(" ", 200-len(subscribeC))...)
		for name, b := range map[string][]byte{"whole": whole, "a fragment for each byte": byFragments, "pongs between fragments": withPings,
			"empty fragments": empty, "16 bits of length, a mask of zeros": longLength} {
			for _, step := range []int{1, 7, len(b)} {
				k := s.connect()
				wrote := make(chan error)
				go func() {
					var err error
					for rest := b; len(rest) > 0 && err == nil; {
						n := min(step, len(rest))
						_, err = k.c.Write(rest[:n])
						rest = rest[n:]
					}
					wrote <- err
				}()
				if f := k.say("subscribed"); f.Channel != "c" || string(f.ID) != "7" {
					t.Errorf("%s, by %d: %s", name, step, f.raw)
				}
				if err := <-wrote; err != nil {
					t.Fatalf("%s, by %d: %v", name, step, err)
				}
				k.bye()
			}
		}
		s.idle()
	}, plain...)
}

// What breaks RFC 6455 ends the connection with its code, and only that.
func TestBrokenFrames(t *testing.T) {
	huge := func(first byte, n uint64) []byte {
		return append(binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, n), 1, 2, 3, 4)
	}
	closing := func(code int, reason string) []byte {
		return masked(fin|opClose, append([]byte{byte(code >> 8), byte(code)}, reason...))
	}
	deflated, _ := websocket.Deflate(nil, []byte(`{"type":"ping"}`+strings.Repeat(" ", 300)))
	bomb, _ := websocket.Deflate(nil, bytes.Repeat([]byte(" "), 5000))
	cases := map[string]struct {
		bytes []byte
		code  int
	}{
		"unmasked":                       {append([]byte{fin | opText, 15}, `{"type":"ping"}`...), 1002},
		"reserved bit 1":                 {masked(fin|0x40|opText, []byte("{}")), 1002},
		"reserved bit 2":                 {masked(fin|0x20|opText, []byte("{}")), 1002},
		"reserved bit 3":                 {masked(fin|0x10|opText, []byte("{}")), 1002},
		"reserved opcode":                {masked(fin|3, []byte("{}")), 1002},
		"reserved control opcode":        {masked(fin|11, nil), 1002},
		"control frame in fragments":     {masked(opPing, nil), 1002},
		"control frame of 126 bytes":     {masked(fin|opPing, make([]byte, 126)), 1002},
		"continuation of nothing":        {masked(fin|opMore, []byte("{}")), 1002},
		"a message within another":       {append(masked(opText, []byte("{")), masked(fin|opText, []byte("}"))...), 1002},
		"a length that is too long":      {[]byte{fin | opText, 0x80 | 126, 0, 5, 0, 0, 0, 0}, 1002},
		"a length of 64 bits, too long":  {huge(fin|opText, 1000), 1002},
		"a negative length":              {huge(fin|opText, 1<<63), 1002},
		"binary":                         {masked(fin|opBinary, []byte("{}")), 1003},
		"not UTF-8":                      {masked(fin|opText, []byte("{\"\xff\"}")), 1007},
		"not UTF-8 in fragments":         {append(masked(opText, []byte("{\"\xc3")), masked(fin|opMore, []byte("\"}"))...), 1007},
		"half a surrogate":               {masked(fin|opText, []byte("\"\xed\xa0\x80\"")), 1007},
		"1 GB declared":                  {huge(fin|opText, 1<<30), 1009},
		"an exabyte declared":            {huge(fin|opText, 1<<60), 1009},
		"too large in fragments":         {append(masked(opText, make([]byte, 3000)), masked(opMore, make([]byte, 3000))...), 1009},
		"a close code of 1005":           {closing(1005, ""), 1002},
		"a close code of 999":            {closing(999, ""), 1002},
		"a close code of 2999":           {closing(2999, ""), 1002},
		"half a close code":              {masked(fin|opClose, []byte{3}), 1002},
		"a close reason that isn't UTF8": {closing(1000, "\xff"), 1007},
		"compressed without agreement":   {masked(fin|compressed|opText, deflated), 1002},
		"no JSON":                        {masked(fin|opText, []byte("hello")), 4000},
		"an empty message":               {masked(fin|opText, nil), 4000},
		"no object":                      {masked(fin|opText, []byte(`[{"type":"ping"}]`)), 4000},
		"no type":                        {masked(fin|opText, []byte(`{"channel":"c"}`)), 4000},
		"an unknown type":                {masked(fin|opText, []byte(`{"type":"data","channel":"c"}`)), 4000},
		"a member of a wrong type":       {masked(fin|opText, []byte(`{"type":"subscribe","channel":7}`)), 4000},
		"a wrong type deep inside":       {masked(fin|opText, []byte(`{"type":"subscribe","channels":["c"]}`)), 4000},
		"an id that is none":             {masked(fin|opText, []byte(`{"type":"ping","id":-1}`)), 4000},
		"two JSON values":                {masked(fin|opText, []byte(`{"type":"ping"}{"type":"ping"}`)), 4000},
	}
	inflated := map[string]struct {
		bytes []byte
		code  int
	}{
		"no compressed data":            {masked(fin|compressed|opText, []byte("\xff\xff\xff")), 1007},
		"too large after decompression": {masked(fin|compressed|opText, bomb), 1009},
		"a compressed control frame":    {masked(fin|compressed|opPing, nil), 1002},
		"a compressed continuation":     {append(masked(compressed|opText, deflated[:2]), masked(fin|compressed|opMore, deflated[2:])...), 1002},
		"compressed, but not UTF-8":     {masked(fin|compressed|opText, []byte("\x02\x08\x00\x00\x00\xff\xff")), 1007},
		"binary, compressed":            {masked(fin|compressed|opBinary, deflated), 1003},
		"not compressed, but too large": {masked(fin|opText, make([]byte, 5000)), 1009},
	}
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{MessageBytes: 4096, Heartbeat: time.Hour}})
		s.create("c", asJSON)
		other := s.connect()
		other.send(subscribeC)
		other.say("subscribed")
		try := func(name string, b []byte, code int, fields ...string) {
			t.Helper()
			k := s.connect(fields...)
			k.send(subscribeC)
			k.say("subscribed")
			go func() { _, _ = k.c.Write(b) }() // of which the server may not want all
			if code >= 4000 {
				k.refused("invalid_frame")
			}
			if got, reason := k.closed(); got != code || reason == "" {
				t.Errorf("%s: closed with %d %q, want %d", name, got, reason, code)
			}
		}
		for name, c := range cases {
			try(name, c.bytes, c.code)
		}
		for name, c := range inflated {
			try(name, c.bytes, c.code, "Sec-WebSocket-Extensions", "permessage-deflate")
		}
		s.publish("c", "1")
		if f := other.say("data"); f.content() != "1," {
			t.Errorf("the other one got %s", f.raw)
		}
		other.bye()
		s.idle()
	}, plain...)
}

// Control frames are answered, wherever they stand.
func TestControlFrames(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asJSON)
		k := s.connect()
		pong := func(want string) {
			t.Helper()
			if op, b, err := k.read(); op != opPong || string(b) != want || err != nil {
				t.Fatalf("%d %q %v, want a pong with %q", op, b, err, want)
			}
		}
		k.write(masked(fin|opPing, []byte("hello")))
		pong("hello")
		long := strings.Repeat("x", 125)
		k.write(masked(fin|opPing, []byte(long)))
		pong(long)
		k.write(masked(fin|opPing, nil))
		pong("")
		k.write(masked(fin|opPong, []byte("nobody asked")))
		k.write(masked(opText, []byte(subscribeC[:9])))
		k.write(masked(fin|opPing, []byte("between fragments")))
		pong("between fragments")
		k.write(masked(fin|opMore, []byte(subscribeC[9:])))
		k.say("subscribed")
		k.send(`{"type":"ping","id":"mine"}`)
		if f := k.say("pong"); string(f.ID) != `"mine"` {
			t.Errorf("%s", f.raw)
		}
		k.send(`{"type":"ping"}`)
		if f := k.say("pong"); f.ID != nil {
			t.Errorf("%s", f.raw)
		}
		k.send(`{"type":"pong"}`)
		for code, want := range map[string]int{"": 0, "\x03\xe8": 1000, "\x03\xe9bye": 1001, "\x0f\xa0": 4000} {
			k := s.connect()
			k.write(masked(fin|opClose, []byte(code)))
			k.closes(want)
		}
		k.bye()
		s.idle()
	}, plain...)
}

// A flood of pings gets few pongs, and the last one of them.
func TestFloodOfPings(t *testing.T) {
	const pings, together = 20_000, 100
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		k := s.connect()
		go func() {
			var b []byte
			for i := range pings {
				b = append(b, masked(fin|opPing, binary.BigEndian.AppendUint32(nil, uint32(i)))...)
				if (i+1)%together == 0 {
					if _, err := k.c.Write(b); err != nil {
						return
					}
					b = b[:0]
				}
			}
		}()
		for n, last := 1, -1; last != pings-1; n++ {
			op, b, err := k.read()
			if err != nil || op != opPong {
				t.Fatalf("%d %q %v", op, b, err)
			}
			i := int(binary.BigEndian.Uint32(b))
			if i <= last || n > 4*pings/together {
				t.Fatalf("pong %d, the %dth, after %d", i, n, last)
			}
			last = i
		}
		k.bye()
	}, plain...)
}

// Messages as large as they may be, and compressed ones, come through.
func TestLargeMessages(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		const limit = 256 << 10
		s := serve(t, m, setup{Options: multi.Options{MessageBytes: limit}})
		s.create("c", asText)
		k := s.connect("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits; server_no_context_takeover")
		if k.welcome.MaxMessage != limit {
			t.Errorf("%s", k.welcome.raw)
		}
		head, tail := `{"type":"publish","id":1,"channel":"c","text":"`, `"}`
		text := strings.Repeat("abcdefgh", limit/8)[:limit-len(head)-len(tail)]
		k.send(head + text + tail)
		k.say("published")
		small, ok := websocket.Deflate(nil, []byte(head+text+tail))
		if !ok {
			t.Fatal("it did not become smaller")
		}
		k.write(masked(compressed|opText, small[:100]))
		k.write(masked(fin|opMore, small[100:]))
		k.say("published")
		k.send(`{"type":"subscribe","channel":"c","offset":"-1"}`)
		k.say("subscribed")
		got := ""
		for len(got) < 2*len(text) {
			f := k.say("data")
			got += f.content()
		}
		if got != text+text {
			t.Errorf("%d bytes, want twice %d", len(got), len(text))
		}
		k.bye()
	}, plain...)
}

// A client that tears the connection down, at any point, is forgotten.
func TestCutConnections(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{})
		s.create("c", asJSON)
		b := masked(fin|opText, []byte(subscribeC))
		for i := 0; i <= len(b); i += 5 {
			k := s.connect()
			k.write(b[:i])
			if i%2 == 0 {
				_ = k.c.Close()
				continue
			}
			if c, ok := k.c.(interface{ CloseWrite() error }); ok {
				_ = c.CloseWrite()
				_, _ = io.Copy(io.Discard, k.r)
			}
			_ = k.c.Close()
		}
		s.idle()
	}, plain...)
}

// Whoever begins a message ends it in time.
func TestMessageThatNeverEnds(t *testing.T) {
	run(t, func(t *testing.T, m mode) {
		s := serve(t, m, setup{Options: multi.Options{MessageTime: time.Minute, MessageBytes: 1000}})
		s.create("c", asJSON)
		// Many small fragments: the sum is too large.
		k := s.connect()
		k.write(masked(opText, []byte(`{"type":"subscribe","x":"`)))
		go func() {
			for {
				pause(time.Millisecond)
				if _, err := k.c.Write(masked(opMore, []byte("xxxxxxxxxx"))); err != nil {
					return
				}
			}
		}()
		k.closes(1009)
		// Empty ones, forever: the time is up.
		e := s.connect()
		e.send(subscribeC)
		e.say("subscribed")
		begin := time.Now()
		e.write(masked(opText, []byte("{")))
		go func() {
			for {
				pause(time.Second)
				if _, err := e.c.Write(masked(opMore, nil)); err != nil {
					return
				}
			}
		}()
		e.closes(4008)
		if took := time.Since(begin); took < time.Minute || took > time.Minute+15*time.Second {
			t.Errorf("after %v", took)
		}
	}, bubble...)
}
