package livecomments

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// The channels of the demo.
const (
	Prefix    = "demos/live-comments/"
	comments  = Prefix + "comments"
	reactions = Prefix + "reactions"
	state     = Prefix + "state"
)

// origin is what every record of the demo begins with, in this order: who
// published it, the how many-th of theirs in this channel it is, counted from 1
// without holes, and when. The numbers are how readers know that they missed
// nothing, whatever the server says.
type origin struct {
	Source string  `json:"s"`
	Number uint64  `json:"n"`
	Time   float64 `json:"t"` // Unix time in milliseconds
}

type comment struct {
	origin
	Name string `json:"name"`
	Text string `json:"text"`
}

type reaction struct {
	origin
	Counts counts `json:"r"`
}

// counts is how often each reaction was made.
type counts map[string]uint64

// kinds are the reactions that count.
var kinds = []string{"heart", "laugh", "like", "fire", "wow"}

// maxReactions is what one record may add to a kind: anybody can publish.
const maxReactions = 10_000

// fold adds a record of the reactions' channel; what is none adds nothing.
func (c counts) fold(record []byte) {
	var r reaction
	if json.Unmarshal(record, &r) != nil {
		return
	}
	for _, kind := range kinds {
		c[kind] += min(r.Counts[kind], maxReactions)
	}
}

func milliseconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1000 }

// mark reads source and number of a record without decoding it: a crowd reads
// tens of thousands a second. ok is false for what the demo did not make.
func mark(record []byte) (source []byte, number uint64, ok bool) {
	rest, ok := bytes.CutPrefix(record, []byte(`{"s":"`))
	if !ok {
		return nil, 0, false
	}
	source, rest, ok = bytes.Cut(rest, []byte(`","n":`))
	if !ok || len(source) == 0 || len(source) > maxSource || bytes.IndexByte(source, '"') >= 0 {
		return nil, 0, false
	}
	digits, _, ok := bytes.Cut(rest, []byte(","))
	if !ok {
		return nil, 0, false
	}
	number, err := strconv.ParseUint(string(digits), 10, 53)
	return source, number, err == nil && number > 0
}

const maxSource = 32 // bytes of a source's name
