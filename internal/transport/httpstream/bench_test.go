package httpstream_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"twohop/internal/engine/memlog"
	"twohop/internal/transport/httpstream"
	"twohop/internal/transport/transporttest"
)

// sinkWriter is a response of which only the size is of interest.
type sinkWriter struct {
	hd    http.Header
	bytes int
}

func (w *sinkWriter) Header() http.Header { return w.hd }
func (w *sinkWriter) WriteHeader(int)     {}
func (w *sinkWriter) Write(b []byte) (int, error) {
	w.bytes += len(b)
	return len(b), nil
}

func benchSite(b *testing.B) *site {
	s := serve(b, mode{Name: "none", Serve: func(testing.TB, *httpstream.Handler) transporttest.Endpoint { return transporttest.Endpoint{} }},
		setup{memory: memlog.Options{MaxBytes: 8 << 30}})
	s.serveOnce("PUT", "c", asJSON, "")
	return s
}

// serveOnce calls the handler without a connection.
func (s *site) serveOnce(method, path, contentType, body string) http.Header {
	r := httptest.NewRequest(method, "/v1/stream/"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if w.Code >= 300 {
		s.t.Fatal(w.Body)
	}
	return w.Header()
}

// The handler alone, for a poll with nothing new and with ten records.
func BenchmarkPoll(b *testing.B) {
	for _, records := range []int{0, 10} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			s := benchSite(b)
			at := s.serveOnce("HEAD", "c", "", "").Get("Stream-Next-Offset")
			for range records {
				s.serveOnce("POST", "c", asJSON, `{"id":123456,"name":"a seat somewhere"}`)
			}
			r := httptest.NewRequest("GET", "/v1/stream/c?offset="+at, nil)
			w := &sinkWriter{hd: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.hd)
				s.handler.ServeHTTP(w, r)
			}
		})
	}
}

// The handler alone, for a publish of one record and of a hundred.
func BenchmarkPublish(b *testing.B) {
	one := `{"id":123456,"name":"a seat somewhere","price":12.5,"note":"` + strings.Repeat("x", 50) + `"}`
	for name, body := range map[string]string{"records=1": one, "records=100": "[" + strings.Repeat(one+",", 99) + one + "]"} {
		b.Run(name, func(b *testing.B) {
			s := benchSite(b)
			r := httptest.NewRequest("POST", "/v1/stream/c", nil)
			r.Header.Set("Content-Type", asJSON)
			r.ContentLength = int64(len(body))
			w := &sinkWriter{hd: http.Header{}}
			in := bytes.NewReader([]byte(body))
			b.ReportAllocs()
			for b.Loop() {
				clear(w.hd)
				in.Reset([]byte(body))
				r.Body = bodyOf{in}
				s.handler.ServeHTTP(w, r)
			}
		})
	}
}

type bodyOf struct{ *bytes.Reader }

func (bodyOf) Close() error { return nil }

// A record from its publish until a hundred SSE responses have it, on each mode
// of real connections.
func BenchmarkFanOut(b *testing.B) {
	const readers = 100
	for _, m := range append([]mode{tcp}, loopModes...) {
		b.Run(m.Name, func(b *testing.B) {
			s := serve(b, m, setup{memory: memlog.Options{MaxBytes: 8 << 30}})
			s.create("c", asJSON)
			got := make(chan error, 2*readers) // a record and the end
			for range readers {
				f := s.follow("c", "offset=now")
				f.say(s, "control")
				go func() {
					for {
						e, err := f.next()
						if err != nil || e.name == "control" {
							got <- err
						}
						if err != nil {
							return
						}
					}
				}()
			}
			b.ReportAllocs()
			for b.Loop() {
				s.post("c", asJSON, `{"id":1}`)
				for range readers {
					if err := <-got; err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/readers, "ns/delivery")
		})
	}
}
