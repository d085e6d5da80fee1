package wire

// Records is a body cut into records, as in twohop.Batch.
type Records struct {
	Data []byte
	Ends []uint32
}

// JSONRecords checks that body is one JSON value (RFC 8259, in UTF-8) and cuts
// it into records: the elements of an array, or the value itself. Line breaks
// between tokens become spaces, which keeps each record on one line.
func JSONRecords(body []byte) (Records, error) {
	s := scanner{in: body}
	i := s.space(0)
	array := i < len(body) && body[i] == '['
	if array {
		i = s.space(i + 1)
	}
	c := cutter{body: body, from: i, ends: make([]uint32, 0, 1+len(body)/128)}
	for !array || len(c.ends) > 0 || i == len(body) || body[i] != ']' {
		from := i
		if i = s.value(i, 0); i < 0 {
			return Records{}, s.err
		}
		c.add(from, i, s.broken)
		if i < len(body) && body[i] <= ' ' {
			i = s.space(i)
		}
		if !array || i == len(body) || body[i] != ',' {
			break
		}
		if i++; i < len(body) && body[i] <= ' ' {
			i = s.space(i)
		}
	}
	if array {
		if i == len(body) || body[i] != ']' {
			s.fail(i, "',' or ']'")
			return Records{}, s.err
		}
		i = s.space(i + 1)
	}
	if i < len(body) {
		s.fail(i, "nothing after the value")
		return Records{}, s.err
	}
	return c.records(), nil
}

// CheckJSON says what is wrong with text that has to be one JSON value.
func CheckJSON(text []byte) error {
	s := scanner{in: text}
	i := s.value(s.space(0), 0)
	if i >= 0 {
		if i = s.space(i); i == len(text) {
			return nil
		}
		s.fail(i, "nothing after the value")
	}
	return s.err
}

// cutter collects records. As long as each begins one byte after the one before
// it, which is how most arrays are written, all are copied at once.
type cutter struct {
	body []byte
	from int // of the first record; data is body from there on
	ends []uint32
	data []byte // once they are copied one by one
}

// add adds a checked value. broken says that there may be line breaks in it.
func (c *cutter) add(from, to int, broken bool) {
	if c.data == nil {
		if at := c.from + c.size(); from == at && !broken {
			c.ends = append(c.ends, uint32(to-c.from+1)) //nolint:gosec // bodies are far smaller than 4 GiB
			return
		}
		c.data = make([]byte, 0, len(c.body)+1)
		if n := c.size(); n > 0 {
			c.data = append(append(c.data, c.body[c.from:c.from+n-1]...), ',')
		}
	}
	c.data = append(appendOneLine(c.data, c.body[from:to]), ',')
	c.ends = append(c.ends, uint32(len(c.data))) //nolint:gosec // as above
}

func (c *cutter) size() int {
	if n := len(c.ends); n > 0 {
		return int(c.ends[n-1])
	}
	return 0
}

func (c *cutter) records() Records {
	if n := c.size(); c.data == nil && n > 0 {
		end := min(c.from+n, len(c.body)) // with the byte after the last, if there is one
		c.data = append([]byte(nil), c.body[c.from:end]...)
		c.data = append(c.data[:n-1], ',')
	}
	return Records{Data: fitting(c.data), Ends: fitting(c.ends)}
}

// fitting is s without much more room than it takes: it is kept for long, and
// counted as what it holds.
func fitting[T any](s []T) []T {
	if cap(s)-len(s) > 64+len(s)/8 {
		return append([]T(nil), s...)
	}
	return s
}

// appendOneLine appends a checked JSON value with spaces for line breaks, which
// can only stand between tokens.
func appendOneLine(dst, v []byte) []byte {
	n := len(dst)
	dst = append(dst, v...)
	for i, c := range dst[n:] {
		if c == '\n' || c == '\r' {
			dst[n+i] = ' '
		}
	}
	return dst
}

// JSONArray appends the records of a JSON batch as an array.
func JSONArray(dst, data []byte) []byte {
	dst = append(dst, '[')
	if len(data) > 0 {
		dst = append(dst, data[:len(data)-1]...)
	}
	return append(dst, ']')
}
