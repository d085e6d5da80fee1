package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"twohop"
)

// maxSilentSSE is how many SSE responses in a row may bring no event before Auto
// takes long poll.
const maxSilentSSE = 3

// stream reads one SSE response to its end.
func (f *follower) stream() error {
	dog := f.c.watch(f.ctx, f.c.opts.Silence)
	defer dog.stop()
	if f.opts.Transport == Auto {
		dog.proof = proofTime
	}
	req, err := f.request(dog.ctx, SSE)
	if err != nil {
		return err
	}
	begun := time.Now()
	resp, err := dog.do(f.c, req, callTime)
	if err != nil {
		return f.withoutSSE(dog.obstruction(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if err := f.c.noStream(resp, f.channel); err != nil {
		return f.withoutSSE(err)
	}
	dog.heartbeat(resp.Header)
	if f.advised(headerAdvice(resp.Header)) {
		return nil
	}
	s := &sseReader{f: f, dog: dog, isJSON: twohop.IsJSON(f.contentType), base64: resp.Header.Get("Stream-SSE-Data-Encoding") == "base64"}
	s.parser = newSSEParser(dog, f.c.opts.MaxEventBytes)
	err = s.run()
	if s.parser.retry > f.backoff.min {
		f.backoff.min = min(s.parser.retry, f.backoff.max)
	}
	if s.controls == 0 && asEnd(err) {
		if f.silentSSE++; f.silentSSE >= maxSilentSSE {
			err = &obstructed{err}
		}
		return f.withoutSSE(dog.obstruction(err))
	}
	f.silentSSE = 0
	if s.progress || time.Since(begun) >= shortAnswer {
		f.backoff.reset()
		if errors.Is(err, io.EOF) {
			return nil // a clean end: on at once
		}
	} else if errors.Is(err, io.EOF) {
		return endedEarly()
	}
	return err
}

// asEnd reports whether the response broke off, as opposed to the follower
// having reached its end or the server's having told something.
func asEnd(err error) bool {
	fail, ok := errors.AsType[*failure](err)
	return errors.Is(err, io.EOF) || ok && fail.retry && fail.reset == nil
}

// noStream is why a response is not one of SSE. What a twohop server says holds
// for other transports too.
func (c *Client) noStream(resp *http.Response, channel string) error {
	if resp.StatusCode != http.StatusOK {
		fail := c.refused(resp, channel)
		if !fail.told && noSSE(resp.StatusCode) {
			return &obstructed{fail}
		}
		return fail
	}
	if ct, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); ct != "text/event-stream" {
		return &obstructed{malformed("an SSE response of type %q", ct)}
	}
	return nil
}

// noSSE reports whether a status may mean that the server has no SSE here.
func noSSE(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusMethodNotAllowed ||
		status == http.StatusNotAcceptable || status == http.StatusNotImplemented
}

// probe makes a request for SSE, and returns when its response has begun.
func (c *Client) probe(r *http.Request) error {
	dog := c.watch(r.Context(), proofTime)
	defer dog.stop()
	dog.proof = proofTime
	r.Header.Set("Accept", "text/event-stream")
	resp, err := dog.do(c, r.WithContext(dog.ctx), callTime)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := c.noStream(resp, ""); err != nil {
		return err
	}
	_, err = dog.Read(make([]byte, 1))
	return err
}

// withoutSSE makes Auto go on with long poll, if SSE does not get through.
func (f *follower) withoutSSE(err error) error {
	if _, ok := errors.AsType[*obstructed](err); ok && f.opts.Transport == Auto && f.ctx.Err() == nil {
		f.c.opts.Logger.DebugContext(f.ctx, "SSE does not get through, going on with long poll", "channel", f.channel, "error", err)
		f.c.path.block(SSE)
		return nil
	}
	if errors.Is(err, io.EOF) {
		return endedEarly()
	}
	return err
}

// sseReader takes the events of one SSE response.
type sseReader struct {
	f      *follower
	dog    *watchdog
	parser *sseParser
	isJSON bool
	base64 bool

	records  [][]byte // of data events whose control event is still to come
	size     int      // bytes in records
	controls int      // control and reset events so far
	progress bool     // it brought records
}

// run reads until the response ends: io.EOF when it ended cleanly.
func (s *sseReader) run() error {
	for {
		if err := s.f.ctx.Err(); err != nil { // also if more was read already
			return err
		}
		e, err := s.parser.next()
		switch {
		case errors.Is(err, errTooLarge):
			return tooLarge(err)
		case err == io.EOF: //nolint:errorlint // the parser returns it bare
			return io.EOF
		case err != nil:
			return s.dog.failure(err)
		}
		switch e.kind {
		case "data":
			err = s.data(e.data)
		case "control":
			s.controls++
			err = s.control(e.data)
		case "reset":
			s.controls++
			err = s.reset(e.data)
		case "advice":
			if s.f.advised(eventAdvice(e.data)) {
				return errLeft
			}
		case "drain":
			err = drainOf(e.data)
		}
		if err != nil {
			return err
		}
	}
}

// data keeps the records of a data event until its control event says what
// offset is after them.
func (s *sseReader) data(b []byte) error {
	if s.size += len(b); s.size > s.f.c.opts.MaxEventBytes {
		return tooLarge(errTooLarge)
	}
	if s.base64 {
		var err error
		if b, err = decodeBase64(b); err != nil {
			return err
		}
	} else {
		b = bytes.Clone(b) // from the parser's buffer
	}
	records, err := splitPage(b, s.isJSON)
	if err != nil {
		return err
	}
	if s.records == nil {
		s.records = records
	} else {
		s.records = append(s.records, records...)
	}
	return nil
}

func (s *sseReader) control(b []byte) error {
	var c struct {
		Next     string `json:"streamNextOffset"`
		Token    string `json:"streamCursor"`
		UpToDate bool   `json:"upToDate"`
		Closed   bool   `json:"streamClosed"`
	}
	if err := json.Unmarshal(b, &c); err != nil || c.Next == "" {
		return malformed("a control event without an offset")
	}
	records := s.records
	s.progress = s.progress || len(records) > 0
	s.records, s.size = nil, 0
	if c.Token != "" {
		s.f.cacheToken = c.Token
	}
	return s.f.take(records, c.Next, c.UpToDate || c.Closed, c.Closed)
}

func (s *sseReader) reset(b []byte) error {
	var fields resetFields
	if err := json.Unmarshal(b, &fields); err != nil || fields.Reason == "" {
		return malformed("a reset event without a reason")
	}
	s.records, s.size = nil, 0
	if err := s.f.reset(fields.reset()); err != nil {
		return err
	}
	if fields.Reason == twohop.ResetEpoch {
		return io.EOF // the new log may be of another type, which the next page tells
	}
	return nil
}

// drainOf reads the data of a drain event.
func drainOf(b []byte) error {
	var d struct {
		Delay int64 `json:"delay"`
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return malformed("a drain event that is no JSON")
	}
	return &drained{milliseconds(d.Delay)}
}
