//go:build linux

package httpstream

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"twohop"
	"twohop/internal/hub"
	"twohop/internal/park"
	"twohop/internal/wire"
)

// ask is a GET on its way to an answer.
type ask struct {
	q       query
	accepts bool   // Accept: text/event-stream
	match   string // If-None-Match
	cors    string // header lines for a page of another origin
	lastID  string
	beat    time.Duration // between heartbeats
}

// get serves the GET at the start of b. It returns true when the connection is
// not to be read on for now: it was handed over.
func (r *reader) get(b []byte) (stop bool) {
	p := r.p
	var a ask
	if string(p.req.Method) != http.MethodGet || p.req.ContentLength > 0 || !p.fields(&a) {
		r.handOver(b)
		return true
	}
	simple := a.lastID == "" && p.query(&a.q) // others are judged before the channel is looked at, which renews its TTL
	ch, name, ok := p.channel(simple)
	if !ok {
		r.handOver(b)
		return true
	}
	r.close = p.closes()
	if ch == nil && simple {
		if ch = p.h.hub.TryOpen(name); ch != nil {
			defer ch.Close()
		}
	}
	if ch == nil {
		r.open(b, name, a)
	} else {
		r.begin(b, ch, ch.Locate(a.q.from), &a)
	}
	return false
}

// channel is the request's channel, if it is one that clients may read and write
// and its name needs no decoding: as it is read now, if it is to be looked at, or
// nil if it has to be opened.
func (p *parkedLoop) channel(look bool) (ch *hub.Channel, name string, ok bool) {
	if path, found := bytes.CutPrefix(p.req.Path, []byte(streamPrefix)); found && look {
		if ch = p.h.hub.Peek(path); ch != nil {
			return ch, ch.Name(), !twohop.Reserved(ch.Name())
		}
	}
	name, ok = p.channelName()
	return nil, name, ok
}

// channelName is the name of the request's channel, without a look at it.
func (p *parkedLoop) channelName() (string, bool) {
	path, found := bytes.CutPrefix(p.req.Path, []byte(streamPrefix))
	if !found {
		return "", false
	}
	name := string(path)
	return name, twohop.CheckName(name, p.h.opts.NameBytes) == nil && !twohop.Reserved(name)
}

// fields reads the header fields of a request that matter here. It returns false
// if the server may not be asked so, or one is given twice: then it is for the
// full HTTP server to say what that means.
func (p *parkedLoop) fields(a *ask) bool {
	var host, origin []byte
	a.beat = p.h.opts.heartbeat(&p.req)
	seen := 0
	for i := range p.req.Fields[:p.req.N] {
		f, bit := &p.req.Fields[i], 0
		switch len(f.Name) {
		case 4:
			if f.Is("host") {
				host = f.Value
			}
		case 6:
			if f.Is("accept") {
				bit, a.accepts = 1, bytes.Contains(f.Value, []byte("text/event-stream"))
			} else if f.Is("origin") {
				bit, origin = 2, f.Value
			}
		case 13:
			if f.Is("if-none-match") {
				bit, a.match = 4, string(f.Value)
			} else if f.Is("last-event-id") {
				bit, a.lastID = 8, string(f.Value)
			}
		}
		if seen&bit != 0 {
			return false
		}
		seen |= bit
	}
	return p.known(host) && (len(origin) == 0 || p.cors(a, string(host), string(origin)))
}

// known reports whether the server may be asked for under such a name.
func (p *parkedLoop) known(host []byte) bool {
	if p.h.opts.Hosts == nil || string(host) == p.host {
		return true
	}
	name := string(host)
	if !p.h.opts.Hosts.Allow(name) {
		return false
	}
	p.host = name
	return true
}

// cors makes the header lines for a page of another origin; false refuses it.
func (p *parkedLoop) cors(a *ask, host, origin string) bool {
	hd := http.Header{}
	r := &http.Request{Method: http.MethodGet, Host: host, Header: http.Header{"Origin": {origin}}}
	if p.h.origin(hd, r) != nil {
		return false
	}
	hd.Del("Vary") // is common to all answers
	var b strings.Builder
	if hd.Write(&b) != nil {
		return false
	}
	a.cors = b.String()
	return true
}

// query reads the request's query, if it is a simple one. In a fan-out one client
// asks like the other, so the last one is remembered.
func (p *parkedLoop) query(q *query) bool {
	raw, last := p.req.Query, &p.asked
	if len(raw) > 0 && bytes.Equal(raw, last.raw) {
		*q = last.query
		return true
	}
	if !q.simple(raw) {
		return false
	}
	last.raw, last.query = append(last.raw[:0], raw...), *q
	return true
}

// simple reads a query of offset, live, cursor, budget and encoding, as clients
// write them. It returns false for all else, good or bad.
func (q *query) simple(raw []byte) bool {
	given := false
	for seen := 0; len(raw) > 0; {
		pair := raw
		if i := bytes.IndexByte(raw, '&'); i >= 0 {
			pair, raw = raw[:i], raw[i+1:]
		} else {
			raw = nil
		}
		key, value, ok := bytes.Cut(pair, []byte{'='})
		if !ok {
			return false
		}
		bit, ok := q.one(key, value)
		if !ok || seen&bit != 0 {
			return false
		}
		seen |= bit
		given = given || bit == 1
	}
	return given || q.live == poll
}

// one reads one parameter and returns its bit.
func (q *query) one(key, value []byte) (bit int, ok bool) {
	var err error
	switch string(key) {
	case "offset":
		q.from, err = twohop.ParseFrom(string(value))
		return 1, err == nil
	case "live":
		switch string(value) {
		case "sse":
			q.live = sse
		case "long-poll":
			q.live = longPoll
		default:
			return 0, false
		}
		return 2, true
	case "cursor":
		q.token, err = strconv.ParseUint(string(value), 10, 64)
		q.hasToken = true
		return 4, err == nil && q.token <= maxCacheToken
	case "budget":
		q.budget, err = parseBudget(string(value))
		return 8, err == nil
	case "encoding":
		q.base64 = true
		return 16, string(value) == "base64"
	}
	return 0, false
}

// opened is a channel that was opened elsewhere, and maybe a page that was read.
type opened struct {
	r     *reader
	a     ask
	bytes []byte // of the request, for the full HTTP server if it is to be refused
	ch    *hub.Channel
	at    twohop.Offset
	view  *hub.View
	err   error
}

// elsewhere begins work for the GET at the start of b that may take time; it is
// posted back when it is done.
func (r *reader) elsewhere(b []byte, a ask, work func(ctx context.Context, o *opened)) {
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		b = b[:i+4]
	}
	o := &opened{r: r, a: a, bytes: bytes.Clone(b)}
	r.state = busy
	r.p.h.stats.Polls.Add(1) // whatever comes of it
	r.c.SetDue(0)
	go func() {
		work(context.Background(), o) //nolint:forbidigo // the engine bounds its own time
		r.p.loop.Post(o)
	}()
}

// open opens a channel that is not live, or finds where a read begins.
func (r *reader) open(b []byte, name string, a ask) {
	h, raw := r.p.h, string(r.p.req.Query)
	r.elsewhere(b, a, func(ctx context.Context, o *opened) {
		if o.a.q, o.err = parseQuery(raw, a.lastID); o.err == nil {
			if o.ch, o.err = h.hub.Open(ctx, name); o.err == nil {
				o.at, o.err = h.locate(ctx, o.ch, &o.a.q)
			}
		}
	})
}

// fetch reads a page from the engine.
func (r *reader) fetch(b []byte, ch *hub.Channel, at twohop.Offset, a ask) {
	h, name := r.p.h, ch.Info().Name
	r.elsewhere(b, a, func(ctx context.Context, o *opened) {
		if o.ch, o.err = h.hub.Open(ctx, name); o.err == nil {
			o.view, o.err = o.ch.Read(ctx, at)
		}
	})
}

// Turn implements park.Task: the request is answered, or refused.
func (o *opened) Turn() bool {
	r := o.r
	defer r.p.h.stats.Polls.Add(-1)
	if o.ch != nil {
		defer o.ch.Close()
	}
	if !r.c.Open() {
		return false
	}
	r.state = idle
	switch {
	case o.err != nil:
		r.handOver(append(o.bytes, r.in...))
		return false
	case o.view != nil:
		r.answer(o.bytes, o.ch, o.view, &o.a)
	default:
		r.begin(o.bytes, o.ch, o.at, &o.a)
	}
	r.again()
	return false
}

// begin answers a GET of an open channel, or begins to.
func (r *reader) begin(b []byte, ch *hub.Channel, at twohop.Offset, a *ask) {
	if a.q.live == poll && a.q.atTail() {
		if v, err := ch.ReadTail(); err == nil {
			r.answer(b, ch, v, a)
			return
		}
	}
	if a.q.live != poll && ch.AtTail(at, &r.p.nothing) {
		r.answer(b, ch, &r.p.nothing, a)
		return
	}
	if v := ch.TryRead(at); v != nil {
		r.answer(b, ch, v, a)
		return
	}
	r.fetch(b, ch, at, *a)
}

// answer begins with a page; b begins with the request.
func (r *reader) answer(b []byte, ch *hub.Channel, v *hub.View, a *ask) {
	p := r.p
	r.cors, r.budget = a.cors, a.q.budget
	switch a.q.live {
	case sse:
		r.stream(b, ch, v, a)
	case longPoll:
		r.token = wire.NextCacheToken(p.loop.Time(), a.q.token, a.q.hasToken)
		r.now = !a.q.cacheable()
		switch {
		case len(v.Data) > 0:
			r.page(ch.Info(), v, longPollPage, a.match)
		case v.Closed:
			r.empty(ch.Info(), v)
		default:
			if r.wait(b, ch, v.Next, a) {
				r.c.SetDue(p.h.opts.LongPoll)
			}
		}
	case poll:
		if len(v.Data) == 0 {
			ch.KeepRest(v)
		}
		r.token = wire.CacheToken(p.loop.Time())
		r.now = !a.q.cacheable()
		r.page(ch.Info(), v, pollPage, a.match)
	}
	if p.draining && r.g != nil {
		r.finish()
	}
}

// stream begins an SSE response.
func (r *reader) stream(b []byte, ch *hub.Channel, v *hub.View, a *ask) {
	p := r.p
	info := ch.Info()
	r.enc, r.json = a.q.encoding(info.ContentType), info.JSON()
	head := append(p.out[:0], "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\n"+
		"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"...)
	if r.enc == wire.EncodeBase64 {
		head = append(head, "Stream-SSE-Data-Encoding: base64\r\n"...)
	}
	r.beat = a.beat
	head = append(append(append(head, "Stream-Heartbeat: "...), a.beat.String()...), "\r\n"...)
	head = append(p.common(head), a.q.budget.lines()+a.cors...)
	head = append(head, "\r\n"...)
	head = wire.AppendChunk(head, func(dst []byte) []byte { return a.q.budget.appendEvent(wire.SSEOpen(dst, p.h.opts.Retry)) })
	token := wire.NextCacheToken(p.loop.Time(), a.q.token, a.q.hasToken)
	var page []byte // that is sent as all have it: who takes nothing is to have no copy of its own
	if len(v.Data) == 0 {
		head = r.appendFrame(head, v, token) // not worth keeping
	} else if page = r.frame(v, token); len(head)+len(page) <= park.MaxCopy {
		head, page = append(head, page...), nil
	}
	p.out = head
	if !r.wait(b, ch, v.Next, a) {
		return
	}
	maxAge := p.h.opts.MaxAge
	r.ends = seconds(maxAge*4/5 + rand.N(maxAge*2/5)) //nolint:gosec // jitter, not a secret
	p.h.opts.Answered(false, http.StatusOK, 0)
	r.close, r.reset, r.in = true, a.accepts || a.lastID != "", nil
	p.h.delivered(v)
	r.send(head)
	r.c.Queue(page)
	if v.Closed {
		r.finish()
		return
	}
	r.nextBeat()
	if !v.UpToDate {
		r.catchUp()
	}
}

var began = time.Now()

// seconds says when d will have gone by, in seconds since the process began.
func seconds(d time.Duration) uint32 { return uint32((time.Since(began) + d) / time.Second) } //nolint:gosec // a hundred years

// heartbeat keeps an SSE response alive, or ends it at its age.
func (r *reader) heartbeat() {
	if r.left() < park.TickEvery {
		r.conclude()
		return
	}
	r.nextBeat()
	if !r.c.Blocked() {
		r.c.Queue(heartbeatChunk)
	}
}

// nextBeat plans the next heartbeat, or the end, if that comes earlier.
func (r *reader) nextBeat() {
	r.c.SetDue(max(min(r.beat, r.left()), time.Millisecond))
}

// left is how long an SSE response may go on.
func (r *reader) left() time.Duration { return time.Duration(r.ends)*time.Second - time.Since(began) }

var heartbeatChunk = wire.AppendChunk(nil, func(dst []byte) []byte { return append(dst, wire.SSEHeartbeat...) })

// conclude ends a live response cleanly, with what waits for its budget to be
// spent.
func (r *reader) conclude() {
	if r.live == sse && r.state == waiting {
		r.catchUp()
	}
	if r.g != nil {
		r.finish()
	}
}

// finish ends a live response cleanly.
func (r *reader) finish() {
	if r.live == longPoll {
		r.close = r.close || r.p.draining
		r.nothing()
		return
	}
	r.leave()
	if r.c.Blocked() {
		r.state, r.last = ending, true
		r.c.SetDue(r.p.h.opts.MaxAge) // for a slow reader to take what was written
		return
	}
	if r.c.Write(lastChunk) {
		r.end()
	}
}

var lastChunk = []byte("0\r\n\r\n")

// frame is a view as a chunk of an SSE response.
func (r *reader) frame(v *hub.View, token uint64) []byte {
	return v.Frame(chunkedSSE+int(r.enc), hub.FrameKey{Token: token}, aroundSSE, func(dst []byte) []byte {
		return r.appendFrame(dst, v, token)
	})
}

func (r *reader) appendFrame(dst []byte, v *hub.View, token uint64) []byte {
	return wire.AppendChunk(dst, func(dst []byte) []byte {
		data := v.Data
		if r.json && r.enc == wire.EncodeBase64 && len(data) > 0 {
			data = wire.JSONArray(make([]byte, 0, len(data)+2), data)
		}
		return wire.SSEData(dst, r.enc, data, wire.Control{Next: v.Next, CacheToken: token, UpToDate: v.UpToDate, Closed: v.Closed})
	})
}

// largePage is from where on copying the records into a frame costs more than a
// header for each reader.
const largePage = 64 << 10

// page answers a poll, or a long poll that has something to tell.
func (r *reader) page(info twohop.Info, v *hub.View, framing int, match string) {
	p := r.p
	if match != "" && !r.now && matches(match, wire.ETag(v.From, v.Next, v.UpToDate, v.Closed)) {
		framing = notModified
	}
	if r.cors != "" || r.now || r.close || len(v.Data) >= largePage {
		r.ownPage(&info, v, framing)
	} else {
		second := p.today()
		r.c.Queue(v.Frame(framing, hub.FrameKey{
			Token: r.token, Room: wire.CacheTokenRoom(time.Unix(second, 0), r.token), Second: second, Budget: int64(r.budget),
		}, aroundPage, func(dst []byte) []byte {
			return appendPage(r.pageHead(dst, &info, v, framing), &info, v, framing)
		}))
	}
	if framing == notModified {
		p.h.opts.Answered(false, http.StatusNotModified, 0)
	} else {
		p.h.opts.Answered(false, http.StatusOK, 0)
		p.h.delivered(v)
	}
	r.rest()
}

// ownPage answers with a header of this reader's own. The records are sent as all
// have them unless they are few: who takes nothing is to have no copy of its own.
func (r *reader) ownPage(info *twohop.Info, v *hub.View, framing int) {
	dst := r.pageHead(r.p.out[:0], info, v, framing)
	data := v.Data
	switch {
	case framing == notModified || len(data) <= park.MaxCopy:
		dst, data = appendPage(dst, info, v, framing), nil
	case info.JSON():
		dst, data = append(dst, '['), data[:len(data)-1]
	}
	r.p.out = dst
	r.send(dst)
	r.c.Queue(data)
	if len(data) > 0 && info.JSON() {
		r.c.Queue(arrayEnd)
	}
}

var arrayEnd = []byte{']'}

// appendPage appends the body of the answer to a poll or long poll.
func appendPage(dst []byte, info *twohop.Info, v *hub.View, framing int) []byte {
	switch {
	case framing == notModified:
		return dst
	case info.JSON():
		return wire.JSONArray(dst, v.Data)
	}
	return append(dst, v.Data...)
}

// pageHead appends its header.
func (r *reader) pageHead(dst []byte, info *twohop.Info, v *hub.View, framing int) []byte {
	p := r.p
	if framing == notModified {
		dst = append(dst, "HTTP/1.1 304 Not Modified\r\n"...)
	} else {
		dst = append(dst, "HTTP/1.1 200 OK\r\n"...)
	}
	dst = append(append(append(dst, "Content-Type: "...), info.ContentType...), "\r\n"...)
	dst = p.place(dst, info, v, r.token)
	switch {
	case r.now:
		dst = append(dst, "Cache-Control: no-store\r\n"...)
	case v.UpToDate && framing != longPollPage:
		dst = append(dst, "Cache-Control: public, max-age=1\r\n"...)
	default:
		dst = append(dst, "Cache-Control: public, max-age=60, stale-while-revalidate=300\r\n"...)
	}
	if !r.now {
		dst = append(append(append(dst, "ETag: "...), wire.ETag(v.From, v.Next, v.UpToDate, v.Closed)...), "\r\n"...)
	}
	dst = append(append(p.common(dst), r.budget.lines()...), r.lines()...)
	if framing == notModified {
		return append(dst, "\r\n"...)
	}
	n := len(v.Data)
	if info.JSON() {
		n = max(2, n+1)
	}
	dst = strconv.AppendInt(append(dst, "Content-Length: "...), int64(n), 10)
	return append(dst, "\r\n\r\n"...)
}

// place appends the header lines that say where a page ends.
func (p *parkedLoop) place(dst []byte, info *twohop.Info, v *hub.View, token uint64) []byte {
	dst = v.Next.AppendTo(append(dst, "Stream-Next-Offset: "...))
	dst = info.Start.AppendTo(append(dst, "\r\nStream-Start-Offset: "...))
	dst = strconv.AppendUint(append(dst, "\r\nStream-Cursor: "...), token, 10)
	if v.UpToDate {
		dst = append(dst, "\r\nStream-Up-To-Date: true"...)
	}
	if v.Closed {
		dst = append(dst, "\r\nStream-Closed: true"...)
	}
	return append(dst, "\r\n"...)
}

// today is the present second.
func (p *parkedLoop) today() int64 {
	now := p.loop.Time()
	if s := now.Unix(); s != p.dated {
		p.dated = s
		p.date = now.UTC().AppendFormat(p.date[:0], http.TimeFormat)
	}
	return p.dated
}

// common appends the header lines that every answer has.
func (p *parkedLoop) common(dst []byte) []byte {
	p.today()
	dst = append(append(dst, "Date: "...), p.date...)
	return append(dst, "\r\nX-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: cross-origin\r\nVary: Origin\r\nStream-Extensions: "+extensions+"\r\n"...)
}

// nothing ends a long poll that waits, with a 204, or with what came but waits
// for its budget to be spent.
func (r *reader) nothing() {
	if r.c.Blocked() {
		r.c.Close()
		return
	}
	ch, v := r.g.ch, &r.p.nothing
	if !ch.AtTail(r.at, v) {
		r.c.SetDue(catchWait) // if it turns out that there is no news, it ends then
		r.visit(&memo{from: r.at, view: ch.TryRead(r.at)})
		return
	}
	r.leave()
	r.empty(ch.Info(), v)
	r.again()
}

// empty is the 204 of a long poll.
func (r *reader) empty(info twohop.Info, v *hub.View) {
	dst := append(r.p.out[:0], "HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\n"...)
	dst = r.p.place(dst, &info, v, r.token)
	dst = append(r.p.common(dst), r.budget.lines()+r.lines()...)
	dst = append(dst, "\r\n"...)
	r.p.out = dst
	r.p.h.opts.Answered(false, http.StatusNoContent, 0)
	r.send(dst)
	r.rest()
}

var _ park.Task = (*opened)(nil)
