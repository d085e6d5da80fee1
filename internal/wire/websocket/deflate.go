package websocket

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// MinDeflate is the size from which on messages are compressed.
const MinDeflate = 256

// tail is what RFC 7692 takes off the end of a message; the empty last block
// after it lets the decompressor find an end.
const (
	tail = "\x00\x00\xff\xff"
	last = "\x01\x00\x00\xff\xff"
)

// writers are reset to nothing between messages: each stands for itself.
var writers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is one
	}
	return w
}}

// Deflate appends the compressed payload of a text message. ok is false, and
// nothing appended, if the message is small or doesn't become smaller.
func Deflate(dst, text []byte) (out []byte, ok bool) {
	if len(text) < MinDeflate {
		return dst, false
	}
	to := appender{dst}
	w := writers.Get().(*flate.Writer)
	w.Reset(&to)
	_, err := w.Write(text)
	if err == nil {
		err = w.Flush()
	}
	w.Reset(nil)
	writers.Put(w)
	if size := len(to.b) - len(dst) - len(tail); err == nil && size > 0 && size < len(text) {
		return to.b[:len(dst)+size], true
	}
	return dst, false
}

// AppendDeflated appends a text message, compressed if that makes it smaller.
func AppendDeflated(dst, text []byte) []byte {
	p := scratch.Get().(*[]byte)
	payload, ok := Deflate((*p)[:0], text)
	if ok {
		dst = append(AppendTextHeader(dst, len(payload), true), payload...)
	} else {
		dst = AppendText(dst, text)
	}
	if cap(payload) <= maxScratch {
		*p = payload[:0]
	}
	scratch.Put(p)
	return dst
}

const maxScratch = 64 << 10

var scratch = sync.Pool{New: func() any { return new([]byte) }}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// inflater is a decompressor and its input.
type inflater struct {
	in  input
	out io.ReadCloser
}

var inflaters = sync.Pool{New: func() any {
	f := &inflater{}
	f.out = flate.NewReader(&f.in)
	return f
}}

// Inflate decompresses the payload of a message, of which at most limit bytes
// may come.
func Inflate(payload []byte, limit int) ([]byte, error) {
	f := inflaters.Get().(*inflater)
	text, err := f.inflate(payload, limit)
	f.in = input{}
	inflaters.Put(f)
	return text, err
}

func (f *inflater) inflate(payload []byte, limit int) ([]byte, error) {
	f.in = input{b: payload}
	if err := f.out.(flate.Resetter).Reset(&f.in, nil); err != nil {
		return nil, err
	}
	text := make([]byte, 0, min(limit, 4*len(payload)+64)+1)
	for {
		n, err := f.out.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		switch {
		case len(text) > limit:
			return nil, errTooLarge
		case err == io.EOF:
			// A sender may end its last block as such; RFC 7692 7.2.3.4 has it add
			// one empty byte.
			if rest := payload[min(f.in.pos, len(payload)):]; len(rest) > 0 && !bytes.Equal(rest, []byte{0}) {
				return nil, errDeflate
			}
			return text, nil
		case err != nil:
			return nil, errDeflate
		case len(text) == cap(text):
			text = grow(text, 1, limit+1-len(text))
		}
	}
}

// input is a payload with what was taken off its end. It is an io.ByteReader,
// so that the decompressor takes no more than it needs.
type input struct {
	b   []byte
	pos int
}

func (in *input) ReadByte() (byte, error) {
	i := in.pos
	if i >= len(in.b)+len(tail+last) {
		return 0, io.EOF
	}
	in.pos++
	if i < len(in.b) {
		return in.b[i], nil
	}
	return (tail + last)[i-len(in.b)], nil
}

func (in *input) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c, err := in.ReadByte()
		if err != nil {
			if n > 0 {
				err = nil
			}
			return n, err
		}
		p[n] = c
		n++
	}
	return n, nil
}
