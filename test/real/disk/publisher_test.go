//go:build real && linux

package disk_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"

	"twohop/test/rig"
)

const recordBytes = 64 << 10

// record is the n-th record of a channel: large, and nothing that a store could
// compress.
func record(n int) string {
	random := rand.New(rand.NewPCG(uint64(n), 0)) //nolint:gosec // no secret
	pad := make([]byte, recordBytes*3/4)
	for i := range pad {
		pad[i] = byte(random.Uint32())
	}
	return fmt.Sprintf(`{"n":%d,"pad":%q}`, n, base64.StdEncoding.EncodeToString(pad))
}

// publisher publishes one record after the other, each until it is acknowledged.
type publisher struct {
	t       *testing.T
	s       *server
	channel string
	acked   []string // the offset of each record
}

func newPublisher(t *testing.T, s *server, channel string) *publisher {
	t.Helper()
	made := s.request(http.MethodPut, "/v1/stream/"+channel, rig.JSON, "")
	if made.Status != http.StatusCreated {
		t.Fatalf("creating %s: %+v", channel, made)
	}
	return &publisher{t: t, s: s, channel: channel}
}

// publish sends the next record, or repeats the one that was not acknowledged.
func (p *publisher) publish() *answer {
	p.t.Helper()
	a := p.s.request(http.MethodPost, "/v1/stream/"+p.channel, rig.Header{
		"Content-Type": "application/json", "Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": strconv.Itoa(len(p.acked)),
	}, record(len(p.acked)))
	if a.Status == http.StatusOK || a.Status == http.StatusNoContent {
		if level := a.Header.Get("Stream-Durability"); level != "disk" {
			p.t.Fatalf("acknowledged at level %q", level)
		}
		p.acked = append(p.acked, a.Header.Get("Stream-Next-Offset"))
	}
	return a
}

// mustPublish gets a record acknowledged.
func (p *publisher) mustPublish() {
	p.t.Helper()
	n := len(p.acked)
	rig.WaitFor(p.t, "a publish to be acknowledged", func() bool {
		a := p.publish()
		if a.Status >= 400 && a.Code != "storage_full" && a.Code != "unknown_outcome" {
			p.t.Fatalf("record %d is answered %d %s: %s", n, a.Status, a.Code, a.Message)
		}
		return len(p.acked) > n
	})
}

// fill publishes until the disk is full, and stays so though the store may still
// find some room by itself; it returns how that is said.
func (p *publisher) fill() (refusal *answer) {
	p.t.Helper()
	refused := 0
	rig.WaitFor(p.t, "the disk to be full", func() bool {
		for refusal = p.publish(); refusal.Status < 400; refusal = p.publish() {
			refused = 0
		}
		if refusal.Code != "unknown_outcome" { // it was on its way when the disk became full
			refused++
		}
		return refused == 40 // for a second
	})
	return refusal
}

// verify reads everything: what was acknowledged is there, in order, where its
// acknowledgement said, and after it at most the record whose outcome is open.
func (p *publisher) verify() {
	p.t.Helper()
	at, n := "-1", 0
	for {
		a := p.s.request(http.MethodGet, "/v1/stream/"+p.channel+"?offset="+at, nil, "")
		if a.Status != http.StatusOK {
			p.t.Fatalf("reading at %s: %d %s: %s", at, a.Status, a.Code, a.Message)
		}
		var page []json.RawMessage
		if err := json.Unmarshal([]byte(a.Body), &page); err != nil {
			p.t.Fatal(err)
		}
		for _, got := range page {
			if string(got) != record(n) {
				p.t.Fatalf("record %d is %.40s", n, got)
			}
			n++
		}
		at = a.Header.Get("Stream-Next-Offset")
		if n > 0 && n <= len(p.acked) && p.acked[n-1] != at {
			p.t.Fatalf("record %d ends at %s, it was acknowledged at %s", n-1, at, p.acked[n-1])
		}
		if a.Header.Get("Stream-Up-To-Date") == "true" {
			break
		}
	}
	if n != len(p.acked) && n != len(p.acked)+1 {
		p.t.Fatalf("%d records are there, %d were acknowledged", n, len(p.acked))
	}
}
