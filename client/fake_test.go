package client

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a server of the protocol with one channel in memory. What a test
// wants to go wrong, it does in before and in cut.
type fake struct {
	before func(w http.ResponseWriter, r *http.Request) bool // true: the request is answered
	cut    func(conn int) int                                // bytes that the n-th connection may answer; below 0 is all

	mu struct {
		sync.Mutex
		exists      bool
		contentType string
		records     []string
		closed      bool
		changed     chan struct{}
		producers   map[string][2]uint64 // epoch and highest sequence number
		requests    []string             // method and query of each, in order
		posts       int                  // that were carried out
	}
	pageRecords int
	listener    *pipeListener
}

func newFake(t *testing.T, contentType string, records ...string) (*fake, *Client) {
	t.Helper()
	f := &fake{pageRecords: 2, cut: func(int) int { return -1 }}
	f.mu.exists, f.mu.contentType, f.mu.records = contentType != "", contentType, records
	f.mu.changed, f.mu.producers = make(chan struct{}), map[string][2]uint64{}
	var c *Client
	f.listener, c = serve(t, f)
	f.listener.cut = func(n int) int { return f.cut(n) }
	return f, c
}

// add appends records as another publisher would.
func (f *fake) add(records ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.exists = true
	f.mu.records = append(f.mu.records, records...)
	f.change()
}

func (f *fake) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.closed = true
	f.change()
}

func (f *fake) change() {
	close(f.mu.changed)
	f.mu.changed = make(chan struct{})
}

func (f *fake) content() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.mu.records...)
}

func (f *fake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.mu.requests...)
}

func offsetOf(n int) string { return fmt.Sprintf("%016d_%016d", 1, n) }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.mu.requests = append(f.mu.requests, r.Method+" "+r.URL.RawQuery)
	f.mu.Unlock()
	if f.before != nil && f.before(w, r) {
		return
	}
	f.mu.Lock()
	exists := f.mu.exists
	f.mu.Unlock()
	switch {
	case r.Method == http.MethodPut:
		f.mu.Lock()
		f.mu.exists, f.mu.contentType = true, r.Header.Get("Content-Type")
		w.Header().Set("Stream-Next-Offset", offsetOf(len(f.mu.records)))
		f.mu.Unlock()
		if exists {
			w.WriteHeader(http.StatusOK)
			return
		}
		w.WriteHeader(http.StatusCreated)
	case !exists:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodPost:
		f.publish(w, r)
	default:
		f.read(w, r)
	}
}

// read answers a GET.
func (f *fake) read(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	at := 0
	switch o := q.Get("offset"); o {
	case "-1":
	case "now":
		at = len(f.content())
	default:
		at, _ = strconv.Atoi(strings.TrimLeft(o[17:], "0")) // nothing is 0
	}
	if q.Get("live") == "sse" {
		f.stream(w, r, at)
		return
	}
	deadline := time.After(20 * time.Second)
	for {
		body, next, upToDate, closed, changed := f.page(at)
		if q.Get("live") == "long-poll" && next == at && !closed {
			select {
			case <-changed:
				continue
			case <-deadline:
			case <-r.Context().Done():
				return
			}
		}
		w.Header().Set("Content-Type", f.mu.contentType)
		w.Header().Set("Stream-Next-Offset", offsetOf(next))
		w.Header().Set("Stream-Up-To-Date", fmt.Sprint(upToDate))
		w.Header().Set("Stream-Closed", fmt.Sprint(closed))
		if next == at && q.Get("live") == "long-poll" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = io.WriteString(w, body)
		return
	}
}

// page is what follows at.
func (f *fake) page(at int) (body string, next int, upToDate, closed bool, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next = min(at+f.pageRecords, len(f.mu.records))
	upToDate = next == len(f.mu.records)
	part := f.mu.records[at:next]
	if f.mu.contentType == "application/json" {
		body = "[" + strings.Join(part, ",") + "]"
	} else {
		body = strings.Join(part, "")
	}
	return body, next, upToDate, upToDate && f.mu.closed, f.mu.changed
}

func (f *fake) stream(w http.ResponseWriter, r *http.Request, at int) {
	isJSON := f.mu.contentType == "application/json"
	w.Header().Set("Content-Type", "text/event-stream")
	if !isJSON {
		w.Header().Set("Stream-SSE-Data-Encoding", "base64")
	}
	_, _ = io.WriteString(w, ": hello\n\n")
	flush := http.NewResponseController(w).Flush
	for first := true; ; first = false {
		body, next, upToDate, closed, changed := f.page(at)
		if next > at {
			if !isJSON {
				body = base64.StdEncoding.EncodeToString([]byte(body))
			}
			_, _ = fmt.Fprintf(w, "id: %s\nevent: data\ndata:%s\n\n", offsetOf(next), body)
		}
		if next > at || first || closed {
			control, _ := json.Marshal(map[string]any{"streamNextOffset": offsetOf(next), "upToDate": upToDate, "streamClosed": closed})
			_, _ = fmt.Fprintf(w, "event: control\ndata:%s\n\n", control)
			at = next
		}
		if flush() != nil || closed {
			return
		}
		if !upToDate {
			continue
		}
		select {
		case <-changed:
		case <-time.After(15 * time.Second):
			_, _ = io.WriteString(w, ": \n\n")
		case <-r.Context().Done():
			return
		}
	}
}

// publish answers a POST of an idempotent producer.
func (f *fake) publish(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	id := r.Header.Get("Producer-Id")
	epoch, _ := strconv.ParseUint(r.Header.Get("Producer-Epoch"), 10, 64)
	seq, _ := strconv.ParseUint(r.Header.Get("Producer-Seq"), 10, 64)
	f.mu.Lock()
	defer f.mu.Unlock()
	state, known := f.mu.producers[id]
	due := state[1] + 1
	if !known || epoch > state[0] {
		due = 0
	}
	w.Header().Set("Stream-Next-Offset", offsetOf(len(f.mu.records)))
	w.Header().Set("Stream-Durability", "disk")
	switch {
	case known && epoch < state[0]:
		w.Header().Set("Producer-Epoch", fmt.Sprint(state[0]))
		w.WriteHeader(http.StatusForbidden)
	case seq < due:
		w.Header().Set("Stream-Duplicate", "true")
		w.WriteHeader(http.StatusNoContent)
	case seq > due:
		w.Header().Set("Producer-Expected-Seq", fmt.Sprint(due))
		w.WriteHeader(http.StatusConflict)
	default:
		f.mu.producers[id] = [2]uint64{epoch, seq}
		f.mu.records = append(f.mu.records, cutRecords(string(body), f.mu.contentType, r.Header)...)
		f.mu.posts++
		f.change()
		w.Header().Set("Stream-Next-Offset", offsetOf(len(f.mu.records)))
		w.WriteHeader(http.StatusOK)
	}
}

func cutRecords(body, contentType string, h http.Header) []string {
	if contentType == "application/json" {
		var values []json.RawMessage
		if err := json.Unmarshal([]byte(body), &values); err != nil {
			panic(err)
		}
		var out []string
		for _, v := range values {
			out = append(out, string(v))
		}
		return out
	}
	if h.Get("Stream-Records") != "lines" {
		return []string{body}
	}
	out := strings.SplitAfter(body, "\n")
	if out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}
