package client

import (
	"net/http"
	"strings"
	"time"
)

// header is what the caller adds to a request.
func (c *Client) header() http.Header {
	if c.opts.Header == nil {
		return nil
	}
	return c.opts.Header()
}

// bearer is the token in a request's header, "" if there is none.
func bearer(h http.Header) string {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// renew gives the server a new token before the one of the handshake runs out,
// and so on. How long one lasts only the answer to a token frame says, so the
// first one is sent again. Where the server refuses one, it ends the connection
// when the last one runs out, and the next connection has a new one.
func (s *socketSession) renew() {
	for token := s.s.token; token != ""; token = bearer(s.c.c.header()) {
		s.c.locked(func() {
			s.lastID++
			s.tokenID = s.lastID
			s.out = append(s.out, &clientFrame{Type: frameToken, ID: s.tokenID, Token: token})
			notify(s.c.kick)
		})
		select {
		case left := <-s.lasts:
			if left == 0 || sleep(s.ctx, max(left*4/5, time.Second)) != nil {
				return
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// renewed takes the answer to a token: how long it lasts, 0 if no other is to
// follow.
func (s *socketSession) renewed(lasts time.Duration) {
	s.tokenID = 0
	s.lasts <- lasts // has room for the one that is under way
}
