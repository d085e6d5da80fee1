package bench

import (
	"bytes"
	"fmt"
)

// mark is what a record carries: the number of its channel, its own number in
// the channel, from 1, and when it was due, in nanoseconds of the bench's clock.
type mark struct {
	channel uint32
	seq     uint64
	at      int64
}

// A mark is written "#channel:seq:at#" in hexadecimal digits of fixed width, so
// that JSON, SSE and page encoding leave it as it is.
const (
	channelDigits = 6
	seqDigits     = 10
	atDigits      = 16
	markLen       = 1 + channelDigits + 1 + seqDigits + 1 + atDigits + 1

	seqAt = 1 + channelDigits + 1
	timAt = seqAt + seqDigits + 1
)

// A record is a JSON object of a chosen size around its mark.
const (
	recordOpen = `{"bench":"`
	recordFill = `","fill":"`
	recordEnd  = `"}`

	// minRecord is the size of the smallest record.
	minRecord = len(recordOpen) + markLen + len(recordFill) + len(recordEnd)
)

// newRecord makes a record of size bytes with an empty mark.
func newRecord(size int) []byte {
	const text = "the seat beside yours was taken a moment ago; "
	r := append(make([]byte, 0, size), recordOpen...)
	r = append(r, make([]byte, markLen)...)
	r = append(r, recordFill...)
	for len(r) < size-len(recordEnd) {
		r = append(r, text[len(r)%len(text)])
	}
	return append(r, recordEnd...)
}

// stamp writes a mark into a record of newRecord.
func stamp(record []byte, m mark) { m.put(record[len(recordOpen):]) }

func (m mark) put(p []byte) {
	p[0], p[seqAt-1], p[timAt-1], p[markLen-1] = '#', ':', ':', '#'
	putHex(p[1:seqAt-1], uint64(m.channel))
	putHex(p[seqAt:timAt-1], m.seq)
	putHex(p[timAt:markLen-1], uint64(m.at)) //nolint:gosec // the clock begins at 0
}

func (m mark) String() string { return fmt.Sprintf("record %d", m.seq) }

func putHex(p []byte, v uint64) {
	const digits = "0123456789abcdef"
	for i := len(p) - 1; i >= 0; i-- {
		p[i] = digits[v&15]
		v >>= 4
	}
}

// hexValues are the values of hexadecimal digits, and 255 for all other bytes.
var hexValues = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i, c := range []byte("0123456789abcdef") {
		t[c] = byte(i) //nolint:gosec // below 16
	}
	return t
}()

func getHex(p []byte) (v uint64, ok bool) {
	for _, c := range p {
		d := hexValues[c]
		if d == 255 {
			return 0, false
		}
		v = v<<4 | uint64(d)
	}
	return v, true
}

// findMark finds the first mark in p; end is the index after it. Without one,
// end is where an unfinished mark may begin: what comes before may be dropped.
func findMark(p []byte) (m mark, end int, ok bool) {
	for at := 0; ; at++ {
		i := bytes.IndexByte(p[at:], '#')
		if i < 0 {
			return mark{}, len(p), false
		}
		at += i
		if len(p)-at < markLen {
			return mark{}, at, false
		}
		if m, ok = parseMark(p[at : at+markLen]); ok {
			return m, at + markLen, true
		}
	}
}

func parseMark(p []byte) (mark, bool) {
	if p[seqAt-1] != ':' || p[timAt-1] != ':' || p[markLen-1] != '#' {
		return mark{}, false
	}
	channel, ok1 := getHex(p[1 : seqAt-1])
	seq, ok2 := getHex(p[seqAt : timAt-1])
	at, ok3 := getHex(p[timAt : markLen-1])
	return mark{uint32(channel), seq, int64(at)}, ok1 && ok2 && ok3 //nolint:gosec // six digits; the clock's own time
}

// scanner finds marks in a stream that comes in pieces.
type scanner struct {
	carry [markLen]byte // an unfinished mark at the end of the last piece
	n     uint8         // its length, less than a mark's
}

// scan calls found for each mark that ends in this piece, in order.
func (s *scanner) scan(p []byte, found func(mark)) {
	if s.n > 0 {
		var seam [2 * markLen]byte
		k := copy(seam[:], s.carry[:s.n])
		j := copy(seam[k:], p)
		m, end, ok := findMark(seam[:k+j])
		s.n = 0
		if ok {
			found(m)
		} else if end < k { // the piece was too short to finish it
			s.n = uint8(copy(s.carry[:], seam[end:k+j])) //nolint:gosec // below markLen
			return
		}
		p = p[end-k:]
	}
	for {
		m, end, ok := findMark(p)
		p = p[end:]
		if !ok {
			s.n = uint8(copy(s.carry[:], p)) //nolint:gosec // below markLen
			return
		}
		found(m)
	}
}

// reset forgets an unfinished mark: what follows does not continue the stream.
func (s *scanner) reset() { s.n = 0 }
