package httpstream_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"twohop"
)

// way is a transport: a way to read a channel until it is closed.
type way struct {
	name string
	read func(s *site, channel, query string, c *collected) error
}

var ways = []way{
	{"poll", func(s *site, channel, query string, c *collected) error { return s.polls(channel, query, "", c) }},
	{"long-poll", func(s *site, channel, query string, c *collected) error {
		return s.polls(channel, query, "&live=long-poll", c)
	}},
	{"sse", func(s *site, channel, query string, c *collected) error { return s.streams(channel, query, "", c) }},
	{"sse as base64", func(s *site, channel, query string, c *collected) error {
		return s.streams(channel, query, "&encoding=base64", c)
	}},
}

// collected is what a reader was given.
type collected struct {
	json    bool
	data    strings.Builder // the records; of JSON with a comma after each
	pages   int
	last    string // the offset to go on from
	tokens  []string
	resets  []event
	answers int
}

// page takes a page, and checks that offsets only grow.
func (c *collected) page(data, next string) error {
	if _, err := twohop.ParseOffset(next); err != nil {
		return err
	}
	if next < c.last {
		return fmt.Errorf("after offset %s came %s", c.last, next)
	}
	if data != "" {
		c.pages++
	}
	c.data.WriteString(data)
	c.last = next
	return nil
}

// polls follows a channel by polls or long polls until it is closed.
func (s *site) polls(channel, query, live string, c *collected) error {
	token := ""
	for {
		r, err := s.try("GET", "stream/"+channel+"?"+query+live+token, "")
		if err != nil {
			return err
		}
		c.answers++
		if r.status != 200 && r.status != 204 {
			return fmt.Errorf("status %d: %s", r.status, r.body)
		}
		if r.status == 204 && (live == "" || r.body != "" || r.get("Stream-Up-To-Date") != "true") {
			return fmt.Errorf("a 204 with %q and %v", r.body, r.header)
		}
		if c.json && r.status == 200 && (!strings.HasPrefix(r.body, "[") || !strings.HasSuffix(r.body, "]")) {
			return fmt.Errorf("%q is not an array", r.body)
		}
		if err := c.page(unwrap(r.body, c.json), r.next()); err != nil {
			return err
		}
		if r.get("Stream-Closed") == "true" {
			return nil
		}
		c.tokens = append(c.tokens, r.get("Stream-Cursor"))
		token = ""
		if live != "" {
			token = "&cursor=" + r.get("Stream-Cursor")
		} else if r.get("Stream-Up-To-Date") == "true" {
			pause(5 * time.Millisecond)
		}
		query = "offset=" + r.next()
	}
}

// streams follows a channel by SSE until it is closed; where a response ends
// before, it goes on with the next one.
func (s *site) streams(channel, query, more string, c *collected) error {
	for {
		f, r, err := s.tryFollow(channel, query+more)
		if err != nil {
			return err
		}
		if f == nil {
			return fmt.Errorf("status %d: %s", r.status, r.body)
		}
		c.answers++
		closed, err := c.response(f)
		f.close()
		if closed || err != nil {
			return err
		}
		query = "offset=" + c.last
	}
}

// response takes one SSE response and reports whether the channel is closed.
func (c *collected) response(f *follower) (closed bool, err error) {
	data, id := "", ""
	for {
		e, err := f.next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		switch e.name {
		case "data":
			if id = e.id; data != "" {
				return false, fmt.Errorf("two data events without a control event between them")
			}
			if data, err = f.records(e, c.json); err != nil {
				return false, err
			}
		case "control":
			k := e.control()
			if at := id + e.id; at != k.StreamNextOffset {
				return false, fmt.Errorf("the id is %q and the control event says %q", at, k.StreamNextOffset)
			}
			if err := c.page(data, k.StreamNextOffset); err != nil {
				return false, err
			}
			data, id = "", ""
			if k.StreamClosed {
				if e, err := f.next(); !errors.Is(err, io.EOF) {
					return true, fmt.Errorf("after the closure came %+v, %w", e, err)
				}
				return true, nil
			}
			c.tokens = append(c.tokens, k.StreamCursor)
		case "reset":
			c.resets = append(c.resets, e)
			c.last = e.id
		}
	}
}
