package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"twohop/client"
)

// publishStatus tells a person how a publish goes: one line that is rewritten
// on a terminal, notices and a summary elsewhere.
type publishStatus struct {
	w        io.Writer
	channel  string
	quiet    bool
	terminal bool
	begun    time.Time
	drawn    bool // the terminal's line is not empty

	mu struct { // guards what callbacks report; never held while writing
		sync.Mutex
		records, duplicates uint64
		last                client.Ack
		trouble             error // since when the server does not answer
		told                bool  // of the trouble
		back                bool  // it answers again
	}
}

func newPublishStatus(a *app, c *publishCmd) *publishStatus {
	return &publishStatus{w: a.Stderr, channel: c.Channel, quiet: c.Quiet, terminal: a.StderrIsTerminal, begun: time.Now()}
}

// ticks says when to show the status.
func (s *publishStatus) ticks() *time.Ticker { return time.NewTicker(200 * time.Millisecond) }

// acknowledged takes a batch's acknowledgement.
func (s *publishStatus) acknowledged(a client.Ack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.records += uint64(a.Records) //nolint:gosec // a count
	if a.Duplicate {
		s.mu.duplicates += uint64(a.Records) //nolint:gosec // a count
	}
	if a.Offset != "" {
		s.mu.last = a
	}
	if s.mu.trouble != nil {
		s.mu.back, s.mu.trouble = s.mu.told, nil
	}
}

// retrying takes a failure that is not the end.
func (s *publishStatus) retrying(err error) {
	s.mu.Lock()
	if s.mu.trouble == nil {
		s.mu.trouble, s.mu.told = err, false
	}
	s.mu.Unlock()
}

// waiting takes a failure that is not the end, while nothing else shows it.
func (s *publishStatus) waiting(err error) {
	s.retrying(err)
	s.show()
}

// show tells of trouble, once, and draws the terminal's line.
func (s *publishStatus) show() {
	s.mu.Lock()
	trouble, back := s.mu.trouble, s.mu.back
	if s.mu.told {
		trouble = nil
	}
	s.mu.told, s.mu.back = s.mu.trouble != nil, false
	records, last := s.mu.records, s.mu.last
	s.mu.Unlock()
	if s.quiet {
		return
	}
	if back {
		s.notice("the server answers again")
	}
	if trouble != nil {
		s.notice(messageOf(trouble) + "; trying again")
	}
	if s.terminal && records > 0 {
		rate := float64(records) / time.Since(s.begun).Seconds()
		_, _ = fmt.Fprintf(s.w, "\r\x1b[K%s records, %s/s, at %s", thousands(records), thousands(uint64(rate)), last.Offset)
		s.drawn = true
	}
}

// givenUp tells of records that were read and are left to the next run.
func (s *publishStatus) givenUp(n int) {
	if !s.quiet {
		s.notice(count(uint64(n), "record") + " of an unfinished batch left out: run the command again with the whole input") //nolint:gosec // a count
	}
}

// notice writes one whole line.
func (s *publishStatus) notice(text string) {
	s.clear()
	_, _ = fmt.Fprintf(s.w, "twohop: %s\n", text)
}

func (s *publishStatus) clear() {
	if s.drawn {
		_, _ = io.WriteString(s.w, "\r\x1b[K")
		s.drawn = false
	}
}

// summary tells what was published, at the end.
func (s *publishStatus) summary(err error) {
	s.show()
	s.clear()
	s.mu.Lock()
	records, duplicates, last := s.mu.records, s.mu.duplicates, s.mu.last
	s.mu.Unlock()
	if s.quiet || err != nil && !errors.Is(err, errInterrupted) && records == 0 {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "published %s to %s in %v", count(records, "record"), s.channel, time.Since(s.begun).Round(time.Millisecond))
	if duplicates > 0 {
		fmt.Fprintf(&b, ", of which %s had been there before", thousands(duplicates))
	}
	if last.Level != "" {
		fmt.Fprintf(&b, "; kept in %s", last.Level)
	}
	if last.Offset != "" {
		fmt.Fprintf(&b, "; at %s", last.Offset)
	}
	_, _ = fmt.Fprintln(s.w, b.String())
}

// count is "1 record" or "1,234 records".
func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}

// thousands writes a number with commas.
func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
