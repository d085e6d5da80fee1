package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"twohop"
	"twohop/client"
)

// errEnough ends a follow that has printed as many records as it was to.
var errEnough = errors.New("enough")

// followOutput prints events. What it was given is written out when write
// returns.
type followOutput struct {
	w       *bufio.Writer
	json    bool
	prefix  bool   // lines begin with their channel
	left    uint64 // records still to print, if counted
	counted bool

	partial string // the channel whose line is not ended yet, with prefix
}

func newFollowOutput(w io.Writer, asJSON, prefix bool, records uint64) *followOutput {
	return &followOutput{w: bufio.NewWriterSize(w, 64<<10), json: asJSON, prefix: prefix, left: records, counted: records > 0}
}

// write prints one event. errEnough says that it was the last.
func (o *followOutput) write(channel string, e *client.Event) error {
	if e.Reset != nil && o.json {
		o.object(followObject{Channel: channel, Offset: e.Offset, Reset: resetOf(e.Reset)})
	}
	records := e.Records
	if !e.JSON && (o.json || o.prefix || o.counted) {
		records = nil
		for _, b := range e.Records {
			records = append(records, bytes.SplitAfter(b, []byte{'\n'})...)
		}
		if n := len(records); n > 0 && len(records[n-1]) == 0 {
			records = records[:n-1] // what follows the last line break is nothing
		}
	}
	all, enough := len(records), false
	if o.counted {
		enough = uint64(len(records)) >= o.left
		records = records[:min(uint64(len(records)), o.left)]
		o.left -= uint64(len(records))
	}
	for i, r := range records {
		offset := ""
		if i == all-1 {
			offset = e.Offset
		}
		o.record(channel, r, e.JSON, offset)
	}
	if err := o.w.Flush(); err != nil {
		return err
	}
	if enough {
		return errEnough
	}
	return nil
}

// record prints one record, or line.
func (o *followOutput) record(channel string, r []byte, isJSON bool, offset string) {
	if isJSON {
		r = oneLine(r)
	}
	if o.json {
		f := followObject{Channel: channel, Offset: offset}
		switch {
		case isJSON:
			f.Data = r
		case utf8.Valid(r):
			text := string(r)
			f.Text = &text
		default:
			f.Base64 = r
		}
		o.object(f)
		return
	}
	if o.prefix && o.partial != channel {
		if o.partial != "" {
			o.put("\n")
		}
		o.put(channel + ": ")
	}
	o.put(string(r))
	if isJSON {
		o.put("\n")
	}
	o.partial = ""
	if !isJSON && !bytes.HasSuffix(r, []byte{'\n'}) {
		o.partial = channel
	}
}

// put writes into the buffer, whose error Flush returns.
func (o *followOutput) put(s string) { _, _ = o.w.WriteString(s) }

// followObject is a line of -o json.
type followObject struct {
	Channel string          `json:"channel"`
	Offset  string          `json:"offset,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	Text    *string         `json:"text,omitempty"`
	Base64  []byte          `json:"base64,omitempty"`
	Reset   *followReset    `json:"reset,omitempty"`
}

type followReset struct {
	Reason twohop.ResetReason `json:"reason"`
	Missed uint64             `json:"missed"`
}

func resetOf(r *client.Reset) *followReset { return &followReset{Reason: r.Reason, Missed: r.Missed} }

func (o *followOutput) object(f followObject) {
	o.put(string(marshal(f)))
	o.put("\n")
}

// oneLine is a JSON value without line breaks, which can only be space between
// tokens.
func oneLine(v []byte) []byte {
	if bytes.IndexByte(v, '\n') < 0 && bytes.IndexByte(v, '\r') < 0 {
		return v
	}
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, v)
}

// followNotices tells a person on the standard error what is not output.
type followNotices struct {
	w     io.Writer
	quiet bool
	down  map[string]bool // channels whose trouble was told; "" is the connection to all
}

// retrying tells of a failure that is not the end, once.
func (n *followNotices) retrying(channel string, err error) {
	if n.down[channel] {
		return
	}
	n.down[channel] = true
	if client.IsCode(err, twohop.CodeNotFound) || client.IsCode(err, twohop.CodeGone) {
		n.say(channel, "does not exist; waiting for it")
		return
	}
	n.say(channel, messageOf(err)+"; trying again")
}

// event tells that a trouble is over, and of a reset.
func (n *followNotices) event(channel string, e *client.Event) {
	if e.Reset != nil {
		n.say(channel, "reset: "+e.Reset.String())
		return
	}
	for _, what := range []string{channel, ""} {
		if n.down[what] {
			delete(n.down, what)
			n.say(what, "going on")
		}
	}
}

func (n *followNotices) say(channel, text string) {
	if channel != "" {
		text = channel + ": " + text
	}
	if !n.quiet {
		_, _ = fmt.Fprintf(n.w, "twohop: %s\n", text)
	}
}
