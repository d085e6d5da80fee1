package httpstream_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing/synctest"
	"time"
)

const patience = 30 * time.Second // of tests in real time

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) get(header string) string { return r.header.Get(header) }

func (r reply) next() string { return r.get("Stream-Next-Offset") }

// problem is the form that all errors have.
type problem struct {
	Code, Message, Hint, Reason, Start, Tail string
	Missed                                   *uint64
}

// problem reads the body of an error.
func (r reply) problem() (p problem) {
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		p.Message = fmt.Sprintf("status %d with %q: %v", r.status, r.body, err)
	}
	return p
}

// ask begins a request. path is what follows /v1/; headers are names and values
// in turn.
func (s *site) ask(ctx context.Context, method, path, body string, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.Base+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return s.Client.Do(req)
}

// try makes a request and reads the answer. It may be called by any goroutine.
func (s *site) try(method, path, body string, headers ...string) (reply, error) {
	resp, err := s.ask(context.Background(), method, path, body, headers...)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(b)}, err
}

// do is try for the test's own goroutine.
func (s *site) do(method, path, body string, headers ...string) reply {
	s.t.Helper()
	r, err := s.try(method, path, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// must is do for a request that is expected to succeed.
func (s *site) must(method, path, body string, headers ...string) reply {
	s.t.Helper()
	r := s.do(method, path, body, headers...)
	if r.status >= 300 {
		s.t.Fatalf("%s %s: status %d: %s", method, path, r.status, r.body)
	}
	return r
}

func (s *site) create(channel, contentType string, headers ...string) reply {
	s.t.Helper()
	return s.must("PUT", "stream/"+channel, "", append(headers, "Content-Type", contentType)...)
}

func (s *site) publish(channel, contentType, body string, headers ...string) reply {
	s.t.Helper()
	return s.must("POST", "stream/"+channel, body, append(headers, "Content-Type", contentType)...)
}

func (s *site) closeChannel(channel string) reply {
	s.t.Helper()
	return s.must("POST", "stream/"+channel, "", "Stream-Closed", "true")
}

func (s *site) read(channel, query string, headers ...string) reply {
	s.t.Helper()
	return s.do("GET", "stream/"+channel+"?"+query, "", headers...)
}

// settle waits until a channel has n live readers that have read all there is,
// as far as the mode can tell.
func (s *site) settle(channel string, n int) {
	s.t.Helper()
	if s.mode.Virtual {
		synctest.Wait()
	}
	for end := time.Now().Add(patience); s.hub.Readers(channel) != n; {
		if time.Now().After(end) {
			s.t.Fatalf("%d readers of %s, want %d", s.hub.Readers(channel), channel, n)
		}
		pause(time.Millisecond)
	}
}

func pause(d time.Duration) { <-time.After(d) }

// expect checks an answer's status and, for an error, its code and form.
func (s *site) expect(r reply, status int, code string) {
	s.t.Helper()
	if r.status != status {
		s.t.Errorf("status %d, want %d: %s", r.status, status, r.body)
		return
	}
	if code == "" {
		return
	}
	p := r.problem()
	if p.Code != code || p.Message == "" || p.Hint == "" {
		s.t.Errorf("error %+v, want code %s with a message and a hint", p, code)
	}
	if r.get("Content-Type") != "application/json" || r.get("X-Content-Type-Options") != "nosniff" || r.get("Cache-Control") != "no-store" {
		s.t.Errorf("the error %s has the headers %v", code, r.header)
	}
}

// event is one block of an SSE response. A comment has the name ":".
type event struct{ name, id, data string }

// control reads a control event.
func (e event) control() (c struct {
	StreamNextOffset, StreamCursor string
	UpToDate, StreamClosed         bool
}) {
	if err := json.Unmarshal([]byte(e.data), &c); err != nil || e.name != "control" {
		c.StreamNextOffset = fmt.Sprintf("not a control event: %+v", e)
	}
	return c
}

// follower reads an SSE response.
type follower struct {
	*http.Response
	in     *bufio.Reader
	cancel context.CancelFunc
}

// tryFollow begins an SSE response. An answer that is none comes as a reply.
func (s *site) tryFollow(channel, query string, headers ...string) (*follower, reply, error) {
	ctx, cancel := context.WithCancel(context.Background())
	resp, err := s.ask(ctx, "GET", "stream/"+channel+"?live=sse&"+query, "", headers...)
	if err != nil {
		cancel()
		return nil, reply{}, err
	}
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		return &follower{resp, bufio.NewReader(resp.Body), cancel}, reply{status: resp.StatusCode, header: resp.Header}, nil
	}
	defer cancel()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return nil, reply{resp.StatusCode, resp.Header, string(b)}, err
}

// follow begins an SSE response that the test closes at its end.
func (s *site) follow(channel, query string, headers ...string) *follower {
	s.t.Helper()
	f, r, err := s.tryFollow(channel, query, headers...)
	if err != nil {
		s.t.Fatal(err)
	}
	if f == nil {
		s.t.Fatalf("following %s?%s: status %d: %s", channel, query, r.status, r.body)
	}
	s.t.Cleanup(f.close)
	return f
}

func (f *follower) close() {
	f.cancel()
	_ = f.Body.Close()
}

// next is the next event, or io.EOF where the response ended cleanly.
func (f *follower) next() (e event, err error) {
	var data []string
	for begun := false; ; begun = true {
		line, err := f.in.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) && (begun || line != "") {
				err = io.ErrUnexpectedEOF
			}
			return e, err
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			e.data = strings.Join(data, "\n")
			return e, nil
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			e.name = ":"
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			data = append(data, value)
		}
	}
}

// must is next where there has to be an event.
func (f *follower) must(s *site) event {
	s.t.Helper()
	e, err := f.next()
	if err != nil {
		s.t.Fatalf("no further event: %v", err)
	}
	return e
}

// say reads the next event that is no comment and checks its name.
func (f *follower) say(s *site, name string) event {
	s.t.Helper()
	for {
		e := f.must(s)
		if e.name == ":" {
			continue
		}
		if e.name != name {
			s.t.Fatalf("got %+v, want an event %q", e, name)
		}
		return e
	}
}

// ends checks that the response ends cleanly, with no further event.
func (f *follower) ends(s *site) {
	s.t.Helper()
	if e, err := f.next(); !errors.Is(err, io.EOF) {
		s.t.Errorf("got %+v, %v, want the end", e, err)
	}
}

// records is a data event's content as it was published, JSON without the
// brackets.
func (f *follower) records(e event, json bool) (string, error) {
	if f.Header.Get("Stream-Sse-Data-Encoding") == "base64" {
		b, err := base64.StdEncoding.DecodeString(e.data)
		if err != nil {
			return "", err
		}
		return unwrap(string(b), json), nil
	}
	return unwrap(e.data, json), nil
}

// unwrap takes the brackets from a JSON array, and puts a comma after its last
// element, so that arrays can be joined.
func unwrap(s string, json bool) string {
	if !json || s == "" {
		return s
	}
	if s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"); s != "" {
		s = strings.TrimSuffix(s, ",") + ","
	}
	return s
}
