package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"
)

// recordSeq is the records of an input; an error ends it. A record is valid
// until the next one is asked for.
type recordSeq = iter.Seq2[[]byte, error]

// records cuts the input into records for a channel.
func (c *publishCmd) records(input io.Reader, channelIsJSON bool) recordSeq {
	var seq recordSeq
	switch {
	case c.JSON && len(c.Messages) > 0:
		seq = jsonRecords(strings.NewReader(strings.Join(c.Messages, "\n")))
	case c.JSON:
		seq = jsonRecords(input)
	case len(c.Messages) > 0:
		seq = messageRecords(c.Messages)
	default:
		seq = lineRecords(input)
	}
	if channelIsJSON && !c.JSON {
		seq = mapRecords(seq, jsonString)
	}
	if c.Key != "" {
		seq = mapRecords(seq, c.changeEvent)
	}
	return seq
}

// maxLine is the longest line that is read at all. Servers take less or as much.
const maxLine = 64 << 20

// lineRecords gives lines with their line breaks. What follows the last line
// break is a line too.
func lineRecords(r io.Reader) recordSeq {
	return func(yield func([]byte, error) bool) {
		br := bufio.NewReaderSize(r, 64<<10)
		var long []byte
		for n := 1; ; {
			part, err := br.ReadSlice('\n')
			line := part
			if len(long) > 0 || errors.Is(err, bufio.ErrBufferFull) {
				long = append(long, part...)
				line = long
			}
			switch {
			case len(line) > maxLine:
				yield(nil, &failure{message: fmt.Sprintf("line %d has more than %d bytes", n, maxLine),
					hint: "what was before it is published; split it, or publish the file with curl --data-binary"})
				return
			case errors.Is(err, bufio.ErrBufferFull):
				continue
			case err != nil && !errors.Is(err, io.EOF):
				yield(nil, &failure{message: fmt.Sprintf("the input cannot be read after line %d", n-1), err: err})
				return
			}
			if len(line) > 0 && !yield(line, nil) || err != nil {
				return
			}
			long = long[:0]
			n++
		}
	}
}

// messageRecords gives each message with a line break, as echo does.
func messageRecords(messages []string) recordSeq {
	return func(yield func([]byte, error) bool) {
		for _, m := range messages {
			if !yield([]byte(m+"\n"), nil) {
				return
			}
		}
	}
}

// jsonRecords gives JSON values that stand in a row, with or without lines.
func jsonRecords(r io.Reader) recordSeq {
	return func(yield func([]byte, error) bool) {
		d := json.NewDecoder(r)
		for n := 1; ; n++ {
			var v json.RawMessage
			err := d.Decode(&v)
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil && !utf8.Valid(v) {
				err = errors.New("it is not UTF-8")
			}
			if err != nil {
				yield(nil, &failure{message: fmt.Sprintf("JSON value %d, near byte %d of the input", n, d.InputOffset()), err: err,
					hint: "what was before it is published; without --json lines are published as text"})
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// mapRecords applies f to each record.
func mapRecords(seq recordSeq, f func([]byte) []byte) recordSeq {
	return func(yield func([]byte, error) bool) {
		for record, err := range seq {
			if err == nil {
				record = f(record)
			}
			if !yield(record, err) {
				return
			}
		}
	}
}

// jsonString makes a JSON string of a line, without its line break. Bytes that
// are not UTF-8 become U+FFFD.
func jsonString(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	line = bytes.TrimSuffix(line, []byte{'\r'})
	return marshal(string(line))
}

// changeEvent makes the change event that sets the key to a JSON value.
func (c *publishCmd) changeEvent(value []byte) []byte {
	var headers struct {
		Operation string `json:"operation"`
	}
	headers.Operation = "upsert"
	return marshal(struct {
		Type    string          `json:"type"`
		Key     string          `json:"key"`
		Value   json.RawMessage `json:"value"`
		Headers any             `json:"headers"`
	}{c.Type, c.Key, value, headers})
}

// marshal is json.Marshal of a value that always can be, and without escapes
// for HTML.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("twohop: a value that does not marshal: %v", err)) // strings and checked JSON do
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}
