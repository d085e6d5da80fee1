package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"twohop": main})
}

// TestScripts runs the scripts in testdata/script. Each has an address of its
// own in $ADDR.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			address, err := freeAddress()
			e.Setenv("ADDR", address)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fetch": fetch,
		},
	})
}

// freeAddress is a loopback address that nobody listened on a moment ago.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// fetch is the scripts' command "fetch METHOD URL STATUS [BODY]". It waits for a
// server that does not listen yet, and prints the answer's body.
func fetch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: fetch METHOD URL STATUS [BODY]")
	}
	body := ""
	if len(args) == 4 {
		body = args[3]
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		status, answer, err := request(ctx, args[0], args[1], body)
		if err == nil {
			_, _ = fmt.Fprintf(ts.Stdout(), "%s", answer)
			if strconv.Itoa(status) != args[2] {
				ts.Fatalf("status %d, want %s: %s", status, args[2], answer)
			}
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("no answer: %v", err)
		case <-retry.C:
		}
	}
}

func request(ctx context.Context, method, url, body string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "text/plain")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}
