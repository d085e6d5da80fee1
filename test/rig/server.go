package rig

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"
)

// Server is a process of the command that serves. Started again, it is at the
// same address and on the same data.
type Server struct {
	Process
	Addr, URL string

	serving chan string // the address, from its log
}

// Options say how to start a server.
type Options struct {
	Command string   // "serve" if empty
	Data    string   // where its data is, in a directory of the test if empty
	Config  string   // what its file says, if anything
	Args    []string // more of the command line
}

// Serve starts a server and waits until it listens. It is killed at the end of
// the test at the latest.
func Serve(t *testing.T, binary string, o Options) *Server {
	t.Helper()
	if o.Command == "" {
		o.Command = "serve"
	}
	dir := t.TempDir()
	if o.Data == "" {
		o.Data = filepath.Join(dir, "data")
	}
	args := []string{o.Command, "--data", o.Data}
	if o.Config != "" {
		file := filepath.Join(dir, "twohop.yaml")
		if err := os.WriteFile(file, []byte(o.Config), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", file)
	}
	s := &Server{Addr: "127.0.0.1:0", serving: make(chan string, 1)}
	s.Process = Process{t: t, program: binary, args: slices.Concat(args, o.Args), hear: s.listenTo}
	t.Cleanup(s.Kill)
	s.Start()
	return s
}

// Start starts the server again, after Kill or Stop, and waits until it listens.
func (s *Server) Start() {
	s.t.Helper()
	s.start(slices.Concat(s.args, []string{"--listen", s.Addr}))
	select {
	case s.Addr = <-s.serving:
		s.URL = "http://" + s.Addr
	case <-s.ended:
		s.t.Fatalf("the server ended at its start: %v", s.err)
	case <-time.After(Patience):
		s.t.Fatal("the server does not listen")
	}
}

var servingLine = regexp.MustCompile(`msg=serving address=(\S+)`)

func (s *Server) listenTo(line string) {
	if m := servingLine.FindStringSubmatch(line); m != nil {
		s.serving <- m[1]
	}
}
