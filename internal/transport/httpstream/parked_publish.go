//go:build linux

package httpstream

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"twohop"
	"twohop/internal/wire"
)

// publish is a POST whose answer is due.
type publish struct {
	r     *reader
	a     twohop.Append
	lines string // of its answer's header
	ack   twohop.Ack
	err   error
	done  bool
	came  time.Time
}

// post serves a POST; b begins with it, for the full HTTP server if it is
// refused before anything was done. It returns false when the connection was
// handed over.
func (r *reader) post(body, b []byte) bool {
	p := r.p
	name, ok := p.channelName()
	var a ask
	if !ok || len(p.req.Query) > 0 || int64(len(body)) > p.h.opts.BodyBytes || !p.fields(&a) {
		r.handOver(b)
		return false
	}
	contentType, hd, ok := p.publishFields()
	u := &publish{r: r, came: time.Now()}
	if !ok || p.h.fill(&u.a, name, contentType, hd, body) != nil {
		r.handOver(b)
		return false
	}
	if len(body) > 0 && &u.a.Data[0] == &body[0] {
		u.a.Data = bytes.Clone(body) // what was read is overwritten by the next read
	}
	r.close, r.cors = p.closes(), a.cors
	u.lines = r.lines()
	r.c.SetDue(0)
	r.c.Favor()
	p.h.stats.Publishing.Add(1)
	r.pubs = append(r.pubs, u)
	p.h.hub.Engine().Append(context.Background(), &u.a, u.finish) //nolint:forbidigo // what was taken on is carried out
	return true
}

// publishFields finds the content type, and the other fields where they matter.
// It returns false if there are two content types.
func (p *parkedLoop) publishFields() (contentType string, hd http.Header, ok bool) {
	given := false
	for i := range p.req.Fields[:p.req.N] {
		f := &p.req.Fields[i]
		switch c := f.Name[0] | 0x20; {
		case c == 'c' && f.Is("content-type"):
			if given {
				return "", nil, false
			}
			given = true
			if string(f.Value) == "application/json" {
				contentType = "application/json" // without allocating
			} else {
				contentType = string(f.Value)
			}
		case c == 's', c == 'p', c == 'i':
			if hd == nil {
				hd = http.Header{}
			}
			hd.Add(string(f.Name), string(f.Value))
		}
	}
	return contentType, hd, true
}

// finish takes the engine's answer, on whatever goroutine.
func (u *publish) finish(ack twohop.Ack, err error) {
	u.ack, u.err = ack, err
	u.r.p.loop.Post(u)
}

// Turn implements park.Task.
func (u *publish) Turn() bool {
	u.done = true
	if u.r.c.Open() && u.r.pubs[0] == u {
		u.r.flush()
	}
	u.r.p.h.stats.Publishing.Add(-1)
	return false
}

// flush sends the answers that are complete, in the order of the requests, and
// goes on with what arrived meanwhile.
func (r *reader) flush() {
	if r.c.Blocked() {
		r.c.SetDue(wire.AnswerTime)
		return
	}
	out, n := r.p.out[:0], 0
	for n < len(r.pubs) && r.pubs[n].done {
		out = r.pubs[n].append(out)
		n++
	}
	r.p.out = out
	if n > 0 {
		left := copy(r.pubs, r.pubs[n:])
		clear(r.pubs[left:])
		r.pubs = r.pubs[:left]
		r.send(out)
	}
	if r.state == idle {
		r.rest()
	}
	r.again()
}

// append appends the answer.
func (u *publish) append(dst []byte) []byte {
	p := u.r.p
	if u.err != nil {
		return p.errorBytes(dst, http.MethodPost, u.a.Channel, u.lines, u.err, time.Since(u.came))
	}
	status := appendStatus(&u.a, u.ack)
	p.h.opts.Answered(true, status, time.Since(u.came))
	if status == http.StatusOK {
		dst = append(dst, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"...)
	} else {
		dst = append(dst, "HTTP/1.1 204 No Content\r\n"...)
	}
	if !u.ack.Offset.IsZero() {
		dst = u.ack.Offset.AppendTo(append(dst, "Stream-Next-Offset: "...))
		dst = append(dst, "\r\n"...)
	}
	dst = append(append(dst, "Stream-Durability: "...), u.ack.Level.String()...)
	dst = strconv.AppendInt(append(dst, "\r\nStream-Readers: "...), int64(p.h.hub.Readers(u.a.Channel)), 10)
	dst = append(dst, "\r\n"...)
	if u.ack.Closed {
		dst = append(dst, "Stream-Closed: true\r\n"...)
	}
	if u.ack.Duplicate {
		dst = append(dst, "Stream-Duplicate: true\r\n"...)
	} else {
		p.h.stats.Published.Add(int64(len(u.a.Ends)))
	}
	if t := u.a.Producer; t != nil {
		dst = strconv.AppendUint(append(dst, "Producer-Epoch: "...), t.Epoch, 10)
		dst = strconv.AppendUint(append(dst, "\r\nProducer-Seq: "...), u.ack.Seq, 10)
		dst = append(dst, "\r\n"...)
	}
	dst = append(p.common(dst), u.lines...)
	return append(dst, "\r\n"...)
}

// answerWriter is an http.ResponseWriter that keeps an answer.
type answerWriter struct {
	hd     http.Header
	status int
	body   bytes.Buffer
}

func (w *answerWriter) Header() http.Header         { return w.hd }
func (w *answerWriter) WriteHeader(s int)           { w.status = s }
func (w *answerWriter) Write(b []byte) (int, error) { return w.body.Write(b) }

// errorBytes makes an error's answer as the full HTTP server would.
func (p *parkedLoop) errorBytes(dst []byte, method, channel, lines string, err error, took time.Duration) []byte {
	w := &answerWriter{hd: http.Header{}}
	r := &http.Request{Method: method, URL: &url.URL{Path: streamPrefix + channel}, Header: http.Header{}}
	p.h.fail(w, r, err)
	p.h.opts.Answered(method == http.MethodPost, w.status, took)
	w.hd.Del("Connection")
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(w.status), 10)
	dst = append(append(append(dst, ' '), http.StatusText(w.status)...), "\r\n"...)
	var b strings.Builder
	_ = w.hd.Write(&b) // a Builder takes all
	dst = append(append(append(p.common(dst), lines...), b.String()...), "\r\n"...)
	return append(dst, w.body.Bytes()...)
}

// refuse answers a long poll with an error.
func (r *reader) refuse(err error) {
	r.send(r.p.errorBytes(nil, http.MethodGet, "", r.lines(), err, 0))
	r.rest()
	r.again()
}
