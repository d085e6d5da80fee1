package disklog

import (
	"bytes"
	"testing"
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

func FuzzDecodeChannel(f *testing.F) {
	f.Add([]byte{formatVersion})
	f.Fuzz(func(_ *testing.T, value []byte) {
		_, _ = decodeChannel("a", value)
		_, _ = decodeProducer(value)
		_, _ = decodeKeyAnswer(value)
	})
}
