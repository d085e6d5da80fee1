package disklog

import (
	"bytes"
	"testing"

	"twohop/internal/engine"
)

// Whatever stands in the store, a batch is refused or can be cut anywhere.
func FuzzDecodeStored(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 2, 1, 'a', 'b'}, uint64(0), uint64(2))
	f.Add([]byte{0, 1, 2, 3, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 'a'}, uint64(1), uint64(3))
	f.Fuzz(func(t *testing.T, value []byte, from, to uint64) {
		s, err := decodeStored(batchKey(1, 7), value)
		if err != nil {
			return
		}
		all, ends, whole := s.cut(0, s.count, nil, nil, len(value))
		if !whole || !bytes.Equal(all, s.data) || uint64(len(ends)) != s.count {
			t.Fatalf("%d of %d records, %d of %d bytes", len(ends), s.count, len(all), len(s.data))
		}
		if to %= s.count + 1; from < to {
			part, ends, _ := s.cut(from, to, nil, nil, len(value))
			if uint64(len(ends)) != to-from || !bytes.Contains(s.data, part) {
				t.Fatalf("records %d to %d are %q of %q", from, to, part, s.data)
			}
		}
		_ = s.bytesBefore(s.first + from%(s.count+1))
	})
}

// A channel that an earlier version wrote is the same channel.
func TestDecodeChannelWithCloser(t *testing.T) {
	want := channel{State: engine.State{Name: "a", Epoch: 7, ContentType: "text/plain", Base: 2, Start: 3, Tail: 2, Closed: true, Seq: "s"}, id: 5}
	value := want.encode()
	at := bytes.Index(value, []byte{1, 1, 's'}) // closed, and how long the sequence is
	old := append([]byte{formatCloser}, value[1:at+1]...)
	old = append(append(old, 1, 'p', 4, 9), value[at+1:]...)
	for _, v := range [][]byte{value, old} {
		got, err := decodeChannel("a", v)
		if err != nil || !got.Closed || got.Seq != "s" || got.Start != 3 || !bytes.Equal(got.encode(), value) {
			t.Errorf("%v: %+v, %v", v, got, err)
		}
	}
}

func FuzzDecodeChannel(f *testing.F) {
	f.Add([]byte{formatVersion})
	f.Fuzz(func(_ *testing.T, value []byte) {
		_, _ = decodeChannel("a", value)
		_, _ = decodeProducer(value)
		_, _ = decodeKeyAnswer(value)
	})
}
