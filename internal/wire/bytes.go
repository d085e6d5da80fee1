package wire

import "bytes"

// OneRecord takes the whole body as one record.
func OneRecord(body []byte) Records {
	return Records{Data: body, Ends: []uint32{uint32(len(body))}} //nolint:gosec // bodies are far smaller than 4 GiB
}

// LineRecords cuts a body into its lines, each with its line break; the last
// one may lack it.
func LineRecords(body []byte) Records {
	r := Records{Data: body, Ends: make([]uint32, 0, bytes.Count(body, []byte{'\n'})+1)}
	for pos := 0; pos < len(body); {
		i := bytes.IndexByte(body[pos:], '\n')
		if i < 0 {
			pos = len(body)
		} else {
			pos += i + 1
		}
		r.Ends = append(r.Ends, uint32(pos)) //nolint:gosec // bodies are far smaller than 4 GiB
	}
	return r
}
