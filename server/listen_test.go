package server

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
)

// pipes is a listener whose connections come from dial.
type pipes struct {
	net.Listener
	conns chan net.Conn
}

func (p pipes) Accept() (net.Conn, error) { return <-p.conns, nil }

func (p pipes) Close() error { return nil }

func (p pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

func TestLimitedListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pipes{conns: make(chan net.Conn, 3)}
		l := &limitedListener{Listener: p, places: make(chan struct{}, 2), closed: make(chan struct{})}
		for range 3 {
			c := p.dial()
			defer func() { _ = c.Close() }()
		}
		accepted, end := make(chan net.Conn, 3), error(nil)
		go func() {
			defer close(accepted)
			for {
				c, err := l.Accept()
				if err != nil {
					end = err
					return
				}
				accepted <- c
			}
		}()
		synctest.Wait()
		if len(accepted) != 2 {
			t.Fatalf("%d connections of at most 2", len(accepted))
		}
		first := <-accepted
		_ = first.Close()
		_ = first.Close() // a second time gives back no second place
		synctest.Wait()
		if len(accepted) != 2 || len(l.places) != 2 {
			t.Fatalf("%d connections after one place of 2 was given back, %d places taken", len(accepted)+1, len(l.places))
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-accepted
		<-accepted
		<-accepted // closed when Accept has ended
		if !errors.Is(end, net.ErrClosed) {
			t.Errorf("Accept of a closed listener: %v", end)
		}
	})
}
