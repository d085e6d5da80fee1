package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// BenchmarkSSEParser reads a response of small events.
func BenchmarkSSEParser(b *testing.B) {
	var s bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&s, "id: %s\nevent: data\ndata:[{\"seat\":\"A1\",\"free\":true}]\n\nevent: control\ndata:{\"streamNextOffset\":\"%s\"}\n\n", offsetOf(i), offsetOf(i))
	}
	in := bytes.NewReader(s.Bytes())
	b.SetBytes(int64(s.Len()))
	b.ReportAllocs()
	for b.Loop() {
		in.Reset(s.Bytes())
		p := newSSEParser(in, 1<<20)
		for {
			if _, err := p.next(); err != nil {
				if !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
				break
			}
		}
	}
}

// BenchmarkSplitArray cuts a page of small JSON records.
func BenchmarkSplitArray(b *testing.B) {
	page := []byte("[" + strings.Repeat(`{"seat":"A1","free":true},`, 9_999) + "{}]")
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		if records, err := splitArray(page); err != nil || len(records) != 10_000 {
			b.Fatal(err)
		}
	}
}
