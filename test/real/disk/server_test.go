//go:build real && linux

package disk_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"twohop/test/rig"
)

// startServer runs the command with its data in a directory.
func startServer(t *testing.T, binary, data string, options ...string) *server {
	t.Helper()
	options = append([]string{"--sse-heartbeat", "1s"}, options...)
	return &server{t, rig.Serve(t, binary, rig.Options{Data: data, Args: options})}
}

type server struct {
	t *testing.T
	*rig.Server
}

// answer is what the server says to a request.
type answer struct {
	rig.Answer `json:"-"`

	Code    string `json:"code"` // of an error, like what follows
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

func (s *server) request(method, path string, header rig.Header, body string) *answer {
	s.t.Helper()
	said, err := rig.Send(s.t.Context(), method, s.URL+path, header, body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := &answer{Answer: *said}
	if a.Status >= http.StatusBadRequest {
		if err := json.Unmarshal([]byte(a.Body), a); err != nil {
			s.t.Errorf("%s %s: status %d with a body that is not the form of errors: %q", method, path, a.Status, a.Body)
		}
	}
	return a
}
